/** The sequencer's side of the ledger protocol: takes events from peers, and sends each peer the records that it lacks. */
import { type Clock, withLimit } from "../../base/clock.js";
import { asGradmeshError, GradmeshError } from "../../base/errors.js";
import type { SignedEvent } from "../../ledger/events.js";
import { encodeHead } from "../../ledger/head.js";
import type { Receipt, Sequencer } from "../../ledger/ledger.js";
import { decodeEvent } from "../../ledger/record.js";
import type { Channel } from "../../peer/channel.js";
import { parseMessage } from "../../peer/message.js";
import {
  BATCH_BYTES,
  BATCH_RECORDS_MAX,
  type FollowerMessage,
  followerMessageSchema,
  type SequencerMessage,
} from "./ledger-messages.js";
import { type RateLimit, Rates } from "./rate.js";
import { nextWord, REASON_CHARACTERS_MAX } from "./words.js";

export interface LedgerServerLimits {
  /** Connections; more are sent away. A peer has one, its newest. */
  sessionsMax: number;
  /** Events of one peer that are not answered yet; no more of its messages are read until one is. */
  submitsMax: number;
  /** Events of one peer; a faster one waits. */
  rate: RateLimit;
  /** Time for the first word. */
  helloLimitMs: number;
  /** A peer hears something at least so often. */
  beatMs: number;
  /** Time in which a peer must take a message. */
  sendLimitMs: number;
}

export const ledgerServerLimits: LedgerServerLimits = {
  sessionsMax: 512,
  submitsMax: 64,
  rate: { burst: 512, intervalMs: 5 },
  helloLimitMs: 10_000,
  beatMs: 2500,
  sendLimitMs: 60_000,
};

/** Peers whose rates are remembered. */
const PEERS_MAX = 4096;

/** What is used of lib/ledger's sequencer, whatever its rules. */
export interface ServedLedger
  extends Pick<Sequencer<unknown, unknown>, "ledgerId" | "head" | "count" | "pages" | "onEffects"> {
  /** @param peerId who has sent it, which need not be its author. */
  submit(signed: SignedEvent, peerId: string): Promise<Receipt>;
}

export interface LedgerServerOptions {
  readonly sequencer: ServedLedger;
  /** Whether a peer is served, which is asked when it connects. */
  readonly isMember: (peerId: string) => boolean;
  readonly clock: Clock;
  readonly limits?: Partial<LedgerServerLimits>;
}

/** Not now: a peer may be admitted yet, and a sequencer come back. */
class Later extends GradmeshError {}

/** One connection. */
interface Session {
  readonly channel: Channel;
  readonly over: AbortController;
  /** Submitted events whose answers are not sent. */
  pending: number;
  /** An answer was sent. */
  answered: PromiseWithResolvers<void>;
}

export class LedgerServer {
  readonly #options: LedgerServerOptions;
  readonly #limits: LedgerServerLimits;
  readonly #rates: Rates;
  readonly #sessions = new Map<string, Session>();
  readonly #stopListening: () => void;
  #closed = false;
  /** There are new records. */
  #grown = Promise.withResolvers<void>();

  constructor(options: LedgerServerOptions) {
    this.#options = options;
    this.#limits = { ...ledgerServerLimits, ...options.limits };
    this.#rates = new Rates(this.#limits.rate, PEERS_MAX);
    this.#stopListening = options.sequencer.onEffects(() => {
      this.#grown.resolve();
      this.#grown = Promise.withResolvers();
    });
  }

  /** Serves a peer until its channel closes; never rejects. For Host.handle(LEDGER_PROTOCOL, ...). */
  async serve(channel: Channel): Promise<void> {
    const session: Session = {
      channel,
      over: new AbortController(),
      pending: 0,
      answered: Promise.withResolvers(),
    };
    void channel.closed.then(() => end(session, "the channel is closed"));
    try {
      this.#admit(session);
      const words = channel.messages()[Symbol.asyncIterator]();
      const from = await this.#hello(session, words);
      await Promise.race([this.#stream(session, from), this.#listen(session, words)]);
    } catch (error) {
      // Of a session that is over, nobody reads the reason.
      if (!session.over.signal.aborted) await this.#dismiss(session, asGradmeshError(error));
    } finally {
      end(session, "the session is over");
      if (this.#sessions.get(channel.remote) === session) this.#sessions.delete(channel.remote);
      await channel.close().catch(() => {});
    }
  }

  #admit(session: Session): void {
    const { remote } = session.channel;
    if (this.#closed) throw new Later("ERR_CLOSED", "the ledger is closed");
    if (!this.#options.isMember(remote))
      throw new Later("ERR_UNAUTHORIZED", `${remote} takes no part in the run`);
    const older = this.#sessions.get(remote);
    if (older !== undefined) void this.#replace(older);
    else if (this.#sessions.size >= this.#limits.sessionsMax)
      throw new Later("ERR_REFUSED", "too many peers follow the ledger");
    this.#sessions.set(remote, session);
  }

  async #replace(older: Session): Promise<void> {
    const reason = "a newer connection of the same peer id replaced this one";
    await this.#dismiss(older, new GradmeshError("ERR_REFUSED", reason));
    end(older, "it was replaced");
    await older.channel.close().catch(() => {});
  }

  async #dismiss(session: Session, error: GradmeshError): Promise<void> {
    const { code, message } = error;
    const reason = message.slice(0, REASON_CHARACTERS_MAX);
    const final = !(error instanceof Later);
    await this.#send(session, { type: "dismissed", code, reason, final }).catch(() => {});
  }

  async #send({ channel, over }: Session, message: SequencerMessage): Promise<void> {
    const { sendLimitMs } = this.#limits;
    const what = `sending to ${channel.remote}`;
    await withLimit(this.#options.clock, sendLimitMs, what, over.signal, () => channel.send(message));
  }

  /** The first word, and its answer. Gives the first record that the peer lacks. */
  async #hello(session: Session, words: AsyncIterator<unknown>): Promise<number> {
    const { sequencer, clock } = this.#options;
    const { signal } = session.over;
    const word = await nextWord(session.channel, words, {
      clock,
      limitMs: this.#limits.helloLimitMs,
      signal,
    });
    const message = parseMessage(followerMessageSchema, word);
    if (message.type !== "follow")
      throw new GradmeshError("ERR_PROTOCOL", `the first word is ${message.type}, not follow`);
    const { ledgerId, from } = message;
    if (ledgerId !== sequencer.ledgerId)
      throw new GradmeshError(
        "ERR_UNAUTHORIZED",
        `the run's ledger is ${sequencer.ledgerId}, not ${ledgerId}`,
      );
    if (from > sequencer.count)
      throw new GradmeshError(
        "ERR_LEDGER",
        `the ledger has ${sequencer.count} records here, and ${from} there; the sequencer's was cut`,
      );
    await this.#send(session, { type: "following", count: sequencer.count });
    return from;
  }

  /** Sends what the peer lacks, and then what comes. What a slow peer lacks stays on disk: nothing is queued for it. */
  async #stream(session: Session, from: number): Promise<never> {
    const { sequencer } = this.#options;
    const { signal } = session.over;
    for (let [next, first] = [from, true]; ; first = false) {
      signal.throwIfAborted();
      const grown = this.#grown.promise;
      const { count } = sequencer;
      if (first || next < count) next = await this.#sendRecords(session, next);
      else if (!(await this.#within(this.#limits.beatMs, grown, signal)))
        await this.#send(session, { type: "beat" });
    }
  }

  /** Whether the event came in so many milliseconds. @throws the signal's reason. */
  async #within(limitMs: number, event: Promise<void>, signal: AbortSignal): Promise<boolean> {
    const timer = new AbortController();
    const either = AbortSignal.any([timer.signal, signal]);
    const late = this.#options.clock.sleep(limitMs, either).then(
      () => false,
      () => true,
    );
    const came = await Promise.race([event.then(() => true), late]);
    timer.abort();
    signal.throwIfAborted();
    return came;
  }

  /** Those up to the head as it is now, and the head. Gives the number of the next. */
  async #sendRecords(session: Session, from: number): Promise<number> {
    const { sequencer } = this.#options;
    const { head } = sequencer;
    let records: Buffer[] = [];
    let bytes = 0;
    for (const page of sequencer.pages(from, head.count))
      for (const record of page) {
        if (records.length >= BATCH_RECORDS_MAX || bytes >= BATCH_BYTES) {
          await this.#send(session, { type: "records", records, head: null });
          records = [];
          bytes = 0;
        }
        records.push(record);
        bytes += record.length;
      }
    await this.#send(session, { type: "records", records, head: encodeHead(head) });
    return head.count;
  }

  async #listen(session: Session, words: AsyncIterator<unknown>): Promise<void> {
    const { signal } = session.over;
    for (;;) {
      while (session.pending >= this.#limits.submitsMax) {
        await session.answered.promise;
        signal.throwIfAborted();
      }
      const { done, value } = await words.next();
      if (done === true) return;
      const message = parseMessage(followerMessageSchema, value);
      if (message.type !== "submit")
        throw new GradmeshError("ERR_PROTOCOL", `${message.type} came a second time`);
      await this.#slow(session.channel.remote, signal);
      session.pending += 1;
      void this.#submit(session, message);
    }
  }

  /** A peer that submits too fast is read no further until it may. */
  async #slow(peerId: string, signal: AbortSignal): Promise<void> {
    const { clock } = this.#options;
    for (;;) {
      const waitMs = this.#rates.take(peerId, clock.now());
      if (waitMs === 0) return;
      await clock.sleep(waitMs, signal);
    }
  }

  /** Never rejects: an answer that cannot be sent has a closing channel, which ends the session. */
  async #submit(session: Session, { id, event }: FollowerMessage & { type: "submit" }): Promise<void> {
    const { sequencer } = this.#options;
    const answer = await this.#record(event, session.channel.remote).then(
      ({ seq, head }): SequencerMessage => ({ type: "receipt", id, seq, head: encodeHead(head) }),
      (error): SequencerMessage => {
        const { code, message } = asGradmeshError(error);
        const reason = message.slice(0, REASON_CHARACTERS_MAX);
        return { type: "refused", id, code, reason, count: sequencer.count };
      },
    );
    await this.#send(session, answer).catch((error) => end(session, asGradmeshError(error).message));
    session.pending -= 1;
    session.answered.resolve();
    session.answered = Promise.withResolvers();
  }

  async #record(event: Uint8Array, peerId: string) {
    return this.#options.sequencer.submit(decodeEvent(event), peerId);
  }

  /** Ends every session; the sequencer's file is its opener's affair. */
  async close(): Promise<void> {
    this.#closed = true;
    this.#stopListening();
    const sessions = [...this.#sessions.values()];
    for (const session of sessions) end(session, "the ledger is closed");
    await Promise.all(sessions.map(({ channel }) => channel.close().catch(() => {})));
  }
}

function end({ over, answered, channel }: Session, why: string): void {
  over.abort(new GradmeshError("ERR_CLOSED", `the session of ${channel.remote} is over: ${why}`));
  answered.resolve();
}
