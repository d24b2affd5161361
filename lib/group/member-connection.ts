/** A peer's connection to the coordinator, which is made again whenever it is lost, until the coordinator stays away. */
import { type Clock, withLimit } from "../base/clock.js";
import { asGradmeshError, GradmeshError } from "../base/errors.js";
import type { Channel } from "../peer/channel.js";
import { parseMessage } from "../peer/message.js";
import { type CoordinatorMessage, coordinatorMessageSchema, type PeerMessage } from "./messages.js";

export interface ConnectionOptions {
  /** The coordinator's address, for error messages. */
  address: string;
  connect(signal: AbortSignal): Promise<Channel>;
  clock: Clock;
  random: () => number;
  /** How long the coordinator may stay away; asked whenever it is away, as the run's own limit is learnt later. */
  reconnectLimitMs(): number;
  /** A channel is open, its first words are due. */
  onOpen(): void;
  onMessage(message: CoordinatorMessage): void;
  /** ERR_UNREACHABLE or ERR_PROTOCOL; the connection is over for good. */
  onFailure(error: GradmeshError): void;
}

export interface Connection {
  /** Sends while a channel is open, drops otherwise: what still matters later is for `onOpen` to say again. */
  send(message: PeerMessage): void;
  close(): Promise<void>;
}

const FIRST_BACKOFF_MS = 50;
const BACKOFF_MS_MAX = 2000;
/** Silence of the coordinator that is borne until its welcome tells the run's own limit. */
const ANSWER_LIMIT_MS = 10_000;
/** Time for the last words, such as a leave, before the channel is closed. */
const CLOSE_LIMIT_MS = 1000;

class LastingConnection implements Connection {
  readonly #options: ConnectionOptions;
  readonly #stop = new AbortController();
  #channel: Channel | null = null;
  #limits = { beatMs: ANSWER_LIMIT_MS / 4, silenceLimitMs: ANSWER_LIMIT_MS };
  #heardAt = 0;
  /** Settles once the last message has left. */
  #sent: Promise<void> = Promise.resolve();
  /** The coordinator answered this channel's hello. */
  #welcomed = false;

  constructor(options: ConnectionOptions) {
    this.#options = options;
    void this.#run();
  }

  /** Connects, converses, and connects again, until the end. */
  async #run(): Promise<void> {
    const { clock, random } = this.#options;
    const { signal } = this.#stop;
    let awaySince = clock.now();
    let attempt = 0;
    let cause: unknown;
    while (!signal.aborted) {
      const reconnectLimitMs = this.#options.reconnectLimitMs();
      try {
        await this.#converse(await this.#open(Math.max(1, awaySince + reconnectLimitMs - clock.now())));
        cause = undefined;
      } catch (error) {
        cause = error;
      }
      if (signal.aborted) return;
      if (this.#welcomed) {
        awaySince = clock.now();
        attempt = 0;
      }
      this.#welcomed = false;
      if (clock.now() - awaySince >= this.#options.reconnectLimitMs()) {
        this.#fail(this.#unreachable(cause));
        return;
      }
      const backoff = Math.min(BACKOFF_MS_MAX, FIRST_BACKOFF_MS * 2 ** attempt) * (0.5 + random() / 2);
      // 50 ms doubled six times is past the longest back-off.
      attempt = Math.min(attempt + 1, 6);
      await clock.sleep(backoff, signal).catch(() => {});
    }
  }

  #open(limitMs: number): Promise<Channel> {
    const { clock, address } = this.#options;
    const { signal } = this.#stop;
    const connect = async (inner: AbortSignal) => {
      const channel = await this.#options.connect(inner);
      // A connection that came too late is nobody's.
      if (inner.aborted) void channel.close().catch(() => {});
      return channel;
    };
    return withLimit(clock, limitMs, `connecting to ${address}`, signal, connect);
  }

  #unreachable(cause: unknown): GradmeshError {
    const { address } = this.#options;
    const why = cause === undefined ? "it closed the connection" : asGradmeshError(cause).message;
    const cure = "check that its process runs and that the address can be reached from here";
    const text = `the coordinator at ${address} was away for ${this.#options.reconnectLimitMs()} ms (${why}); ${cure}`;
    return new GradmeshError("ERR_UNREACHABLE", text, { cause });
  }

  /** Speaks over one channel until it is closed or silent. */
  async #converse(channel: Channel): Promise<void> {
    const over = new AbortController();
    this.#channel = channel;
    this.#heardAt = this.#options.clock.now();
    void this.#beat(channel, over.signal);
    this.#options.onOpen();
    try {
      for await (const raw of channel.messages()) {
        this.#heardAt = this.#options.clock.now();
        if (!this.#stop.signal.aborted) this.#hear(raw);
      }
    } finally {
      over.abort();
      this.#channel = null;
      await channel.close().catch(() => {});
    }
  }

  #hear(raw: unknown): void {
    let message: CoordinatorMessage;
    try {
      message = parseMessage(coordinatorMessageSchema, raw);
    } catch (error) {
      this.#fail(asGradmeshError(error));
      return;
    }
    if (message.type === "welcome") {
      this.#limits = { beatMs: message.beatMs, silenceLimitMs: message.silenceLimitMs };
      this.#welcomed = true;
    }
    if (message.type !== "beat") this.#options.onMessage(message);
  }

  /** Beats, and gives up a channel on which the coordinator answers nothing. */
  async #beat(channel: Channel, signal: AbortSignal): Promise<void> {
    const { clock } = this.#options;
    const sleep = () =>
      clock.sleep(this.#limits.beatMs, signal).then(
        () => true,
        () => false,
      );
    for (let beatAt = clock.now(); await sleep(); beatAt = clock.now()) {
      const now = clock.now();
      const { silenceLimitMs } = this.#limits;
      // A peer that was itself stopped must first read what came meanwhile.
      if (now - beatAt > silenceLimitMs / 2) this.#heardAt = now;
      if (now - this.#heardAt > silenceLimitMs) {
        await channel.close().catch(() => {});
        return;
      }
      if (this.#welcomed) this.send({ type: "beat" });
    }
  }

  send(message: PeerMessage): void {
    if (this.#channel !== null) this.#sent = this.#channel.send(message).catch(() => {});
  }

  #fail(error: GradmeshError): void {
    if (this.#stop.signal.aborted) return;
    this.#options.onFailure(error);
    void this.close();
  }

  async close(): Promise<void> {
    if (this.#stop.signal.aborted) return;
    this.#stop.abort(new GradmeshError("ERR_CLOSED", "the member is closed"));
    const channel = this.#channel;
    const sent = new AbortController();
    const late = this.#options.clock.sleep(CLOSE_LIMIT_MS, sent.signal).catch(() => {});
    await Promise.race([this.#sent, late]);
    sent.abort();
    await channel?.close().catch(() => {});
  }
}

/** Starts to connect at once. */
export function createConnection(options: ConnectionOptions): Connection {
  return new LastingConnection(options);
}
