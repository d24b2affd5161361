/** A peer's connection to the sequencer, which is made again whenever it is lost, until the sequencer stays away. */
import { type Clock, withLimit } from "../../base/clock.js";
import { asGradmeshError, GradmeshError } from "../../base/errors.js";
import type { Channel } from "../../peer/channel.js";
import { parseMessage } from "../../peer/message.js";
import { type FollowerMessage, type SequencerMessage, sequencerMessageSchema } from "./ledger-messages.js";

export interface LedgerLinkLimits {
  /** How long the sequencer may be away. */
  readonly reconnectLimitMs: number;
  /** Of a connection on which nothing is heard, it is taken to be lost. Well above the sequencer's beats. */
  readonly silenceLimitMs: number;
}

export interface LedgerLinkOptions {
  readonly connect: (signal: AbortSignal) => Promise<Channel>;
  readonly clock: Clock;
  readonly random: () => number;
  readonly limits: LedgerLinkLimits;
  /** The first word on a new channel. */
  readonly greeting: () => FollowerMessage;
  /** One at a time, in order. What it throws is the connection's end for good. */
  readonly onMessage: (message: SequencerMessage) => Promise<void> | void;
  /** Until the next greeting, nothing can be sent. */
  readonly onLost: () => void;
  /** ERR_UNREACHABLE, the sequencer's final word, or what onMessage threw; the connection is over for good. */
  readonly onFailure: (error: GradmeshError) => void;
}

const FIRST_BACKOFF_MS = 50;
const BACKOFF_MS_MAX = 2000;
/** 50 ms doubled six times is past the longest back-off. */
const DOUBLINGS_MAX = 6;

/** What ends the connection for good, and not only a channel. */
class Fatal extends Error {
  override readonly cause: GradmeshError;

  constructor(cause: unknown) {
    super("the ledger's connection is over");
    this.cause = asGradmeshError(cause);
  }
}

/** The sequencer sends this peer away, and may not the next time. */
class Later extends GradmeshError {}

function dismissal({ code, reason, final }: SequencerMessage & { type: "dismissed" }): GradmeshError {
  const message = `the sequencer dismissed this peer: ${reason}`;
  return final ? new GradmeshError(code, message) : new Later(code, message);
}

export class LedgerLink {
  readonly #options: LedgerLinkOptions;
  readonly #stop = new AbortController();
  readonly #done: Promise<void>;
  #channel: Channel | null = null;
  /** The sequencer has said something on the channel at hand. */
  #answered = false;

  /** Starts to connect at once. */
  constructor(options: LedgerLinkOptions) {
    this.#options = options;
    this.#done = this.#run();
  }

  /** Sends while a channel is open, drops otherwise: what still matters is for the next greeting's answer to bring again. */
  send(message: FollowerMessage): void {
    // A channel that cannot send closes, which is seen where it is read.
    this.#channel?.send(message).catch(() => {});
  }

  async #run(): Promise<void> {
    const { clock, random, limits, onFailure } = this.#options;
    const { signal } = this.#stop;
    let awaySince = clock.now();
    let attempt = 0;
    for (;;) {
      const leftMs = awaySince + limits.reconnectLimitMs - clock.now();
      const cause = await this.#attempt(Math.max(1, leftMs));
      if (signal.aborted) return;
      if (cause instanceof Fatal) return onFailure(cause.cause);
      if (this.#answered) [awaySince, attempt] = [clock.now(), 0];
      this.#answered = false;
      if (clock.now() - awaySince >= limits.reconnectLimitMs) return onFailure(this.#unreachable(cause));
      const backoff = Math.min(BACKOFF_MS_MAX, FIRST_BACKOFF_MS * 2 ** attempt) * (0.5 + random() / 2);
      attempt = Math.min(attempt + 1, DOUBLINGS_MAX);
      await clock.sleep(backoff, signal).catch(() => {});
    }
  }

  #unreachable(cause: unknown): GradmeshError {
    const why = cause === undefined ? "it closed the connection" : asGradmeshError(cause).message;
    return new GradmeshError(
      "ERR_UNREACHABLE",
      `the ledger's sequencer was away for ${this.#options.limits.reconnectLimitMs} ms (${why}); check that its process runs`,
      { cause },
    );
  }

  /** One connection, to its end. Gives why it ended, undefined where the other side closed it. */
  async #attempt(limitMs: number): Promise<unknown> {
    const { clock, connect } = this.#options;
    const { signal } = this.#stop;
    try {
      const channel = await withLimit(clock, limitMs, "connecting to the ledger", signal, async (limited) => {
        const made = await connect(limited);
        // A connection that came too late is nobody's.
        if (limited.aborted) void made.close().catch(() => {});
        return made;
      });
      await this.#converse(channel);
      return undefined;
    } catch (error) {
      return error;
    }
  }

  async #converse(channel: Channel): Promise<void> {
    const { greeting, onLost } = this.#options;
    const over = new AbortController();
    let heard = 0;
    this.#channel = channel;
    void this.#watch(channel, () => heard, over.signal);
    try {
      this.send(greeting());
      for await (const raw of channel.messages()) {
        heard += 1;
        if (this.#stop.signal.aborted) return;
        await this.#hear(raw);
      }
    } finally {
      over.abort();
      this.#channel = null;
      onLost();
      await channel.close().catch(() => {});
    }
  }

  async #hear(raw: unknown): Promise<void> {
    try {
      const message = parseMessage(sequencerMessageSchema, raw);
      if (message.type === "dismissed") throw dismissal(message);
      this.#answered = true;
      await this.#options.onMessage(message);
    } catch (error) {
      throw error instanceof Later ? error : new Fatal(error);
    }
  }

  /** Gives up a channel on which nothing is heard for too long. */
  async #watch(channel: Channel, heard: () => number, signal: AbortSignal): Promise<void> {
    const { clock, limits } = this.#options;
    for (let before = heard(); ; before = heard()) {
      try {
        await clock.sleep(limits.silenceLimitMs, signal);
      } catch {
        return;
      }
      if (heard() === before) {
        await channel.close().catch(() => {});
        return;
      }
    }
  }

  async close(): Promise<void> {
    this.#stop.abort(new GradmeshError("ERR_CLOSED", "the ledger's connection is closed"));
    await this.#channel?.close().catch(() => {});
    await this.#done;
  }
}
