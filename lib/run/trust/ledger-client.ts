/**
 * A peer's way to the run's ledger: its own checked copy of it, kept up to date over a connection that may be lost and made
 * again, and the peer's events, each signed once and recorded once.
 *
 * An event is signed with a nonce of its own when its turn comes, and stays the same bytes however often it is sent: the rules
 * take a nonce only once. After a loss the peer first follows the ledger to where it then stood; had the event been recorded,
 * it is there, and else it is sent again. Where the first sending was only late, one of the two is refused; so a refusal
 * counts only once all records are here that were there when it was made, and the event is not among them.
 */
import type { Clock } from "../../base/clock.js";
import { GradmeshError } from "../../base/errors.js";
import type { Account, Hash, LedgerEvent, LedgerRecord, SignedEvent } from "../../ledger/events.js";
import type { Follower } from "../../ledger/follower.js";
import { decodeHead, type Head } from "../../ledger/head.js";
import type { Subscriber } from "../../ledger/listeners.js";
import { encodeEvent } from "../../ledger/record.js";
import type { Rules } from "../../ledger/replica.js";
import { secretOf, signEvent, signerOf } from "../../ledger/sign.js";
import { vrfProve } from "../../ledger/vrf.js";
import type { Channel } from "../../peer/channel.js";
import type { Identity } from "../../peer/identity.js";
import { LedgerLink, type LedgerLinkLimits } from "./ledger-link.js";
import type { SequencerMessage } from "./ledger-messages.js";
import { Waiters } from "./waiters.js";

export interface LedgerClientOptions<State, Effect> {
  /** This peer's copy; closing it is its opener's affair, after the client's `close`. */
  readonly follower: Follower<State, Effect>;
  readonly rules: Pick<Rules<State, Effect>, "nonceOf">;
  readonly identity: Identity;
  /** Opens a channel of LEDGER_PROTOCOL to the sequencer. */
  readonly connect: (signal: AbortSignal) => Promise<Channel>;
  readonly clock: Clock;
  readonly random: () => number;
  readonly limits?: Partial<LedgerLinkLimits>;
  /**
   * The connection is over for good: ERR_UNREACHABLE; ERR_LEDGER where the sequencer sent what does not hold (see
   * `follower.evidence`); its last word. All who wait are told the same.
   */
  readonly onFailure?: (error: GradmeshError) => void;
}

export const ledgerLinkLimits: LedgerLinkLimits = { reconnectLimitMs: 120_000, silenceLimitMs: 10_000 };

/** Nonces follow the clock, so that a restarted peer goes on above those that it had signed. */
const NONCES_PER_MS = 1000n;

/** Events that wait for their turn; more are refused. */
const QUEUE_MAX = 4096;

interface Submission {
  readonly event: LedgerEvent;
  readonly resolve: () => void;
  readonly reject: (reason: unknown) => void;
  /** Nobody waits for it any more: not sent if it was not yet. */
  dropped: boolean;
}

/** The submission whose turn it is. */
interface Current {
  readonly submission: Submission;
  readonly signed: SignedEvent;
  readonly bytes: Uint8Array;
  /** Of its last sending, on the channel at hand; null where that is lost. */
  id: number | null;
  /** What the sequencer says against it, and the records that must be here before it counts. */
  refusal: { readonly error: GradmeshError; readonly count: number } | null;
}

export class LedgerClient<State, Effect> {
  readonly account: Account;
  readonly #options: LedgerClientOptions<State, Effect>;
  readonly #signer: ReturnType<typeof signerOf>;
  readonly #link: LedgerLink;
  readonly #waiters = new Waiters<State>();
  readonly #stopListening: () => void;
  readonly #queue: Submission[] = [];
  #current: Current | null = null;
  /** Heads of receipts, of records that have not come yet. */
  #promised: Head[] = [];
  /** Records that were there when the channel at hand was greeted; null while there is none. */
  #there: number | null = null;
  #ids = 0;
  /** Of the last event that was signed. */
  #signedNonce = 0n;
  #failure: GradmeshError | null = null;

  constructor(options: LedgerClientOptions<State, Effect>) {
    this.#options = options;
    const { follower, identity, connect, clock, random, limits } = options;
    this.#signer = signerOf(identity);
    this.account = this.#signer.account;
    this.#stopListening = follower.onEffects((record) => this.#recorded(record));
    this.#link = new LedgerLink({
      connect,
      clock,
      random,
      limits: { ...ledgerLinkLimits, ...limits },
      greeting: () => ({ type: "follow", ledgerId: follower.ledgerId, from: follower.count }),
      onMessage: (message) => this.#hear(message),
      onLost: () => this.#lost(),
      onFailure: (error) => {
        this.#fail(error);
        options.onFailure?.(error);
      },
    });
  }

  get id(): Hash {
    return this.#options.follower.ledgerId;
  }
  /** What this peer's copy adds up to. Read it, never change it. */
  get state(): State {
    return this.#options.follower.state;
  }

  /**
   * Signs and submits, after those submitted before; resolves once this peer's copy holds the event. When the signal aborts
   * first, an event whose turn has come may still be recorded.
   * @throws ERR_LEDGER where the rules refuse it; the signal's reason; ERR_UNREACHABLE, ERR_CLOSED.
   */
  submit(event: LedgerEvent, signal?: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      signal?.throwIfAborted();
      if (this.#failure !== null) throw this.#failure;
      if (this.#queue.length >= QUEUE_MAX)
        throw new GradmeshError("ERR_LEDGER", `${QUEUE_MAX} events wait to be submitted already`);
      const abort = () => {
        submission.dropped = true;
        reject(signal?.reason);
      };
      const done = () => signal?.removeEventListener("abort", abort);
      const submission: Submission = {
        event,
        resolve: () => {
          done();
          resolve();
        },
        reject: (reason) => {
          done();
          reject(reason);
        },
        dropped: false,
      };
      signal?.addEventListener("abort", abort, { once: true });
      this.#queue.push(submission);
      this.#advance();
    });
  }

  /** The first that `find` finds, now or after a later record. @throws the signal's reason; ERR_UNREACHABLE, ERR_CLOSED. */
  until<T>(find: (state: State) => T | null, signal?: AbortSignal): Promise<T> {
    return this.#waiters.until(this.state, find, signal);
  }

  /** Called with each record that is in this peer's copy and what it did. Returns how to stop it. */
  onEffects(listener: Subscriber<Effect>): () => void {
    return this.#options.follower.onEffects(listener);
  }

  /** A proof of the verifiable random function under this peer's key. */
  prove(alpha: Uint8Array): string {
    return vrfProve(secretOf(this.#options.identity), alpha);
  }

  async close(): Promise<void> {
    this.#fail(new GradmeshError("ERR_CLOSED", "the ledger's connection is closed"));
    await this.#link.close();
    this.#stopListening();
  }

  async #hear(message: SequencerMessage): Promise<void> {
    if (message.type === "following") this.#there = message.count;
    else if (message.type === "records") await this.#take(message);
    else if (message.type === "receipt") {
      this.#promised.push(decodeHead(message.head));
      await this.#checkPromises();
    } else if (message.type === "refused" && message.id === this.#current?.id) {
      const error = new GradmeshError(message.code, `the event is refused: ${message.reason}`);
      this.#current.refusal = { error, count: message.count };
    }
    this.#advance();
  }

  async #take({ records, head }: SequencerMessage & { type: "records" }): Promise<void> {
    const { follower } = this.#options;
    try {
      await follower.take(records, head === null ? undefined : decodeHead(head));
      await this.#checkPromises();
    } finally {
      // Also of those before one that does not hold.
      this.#waiters.changed(this.state);
    }
  }

  /** What receipts said will be, must be what came. */
  async #checkPromises(): Promise<void> {
    const { follower } = this.#options;
    const due = this.#promised.filter(({ count }) => count <= follower.count);
    this.#promised = this.#promised.filter(({ count }) => count > follower.count);
    for (const head of due) await follower.take([], head);
  }

  #recorded({ author, nonce, signature }: LedgerRecord): void {
    const current = this.#current;
    if (author !== this.account || current === null || nonce !== current.signed.nonce) return;
    this.#current = null;
    if (signature === current.signed.signature) current.submission.resolve();
    else
      current.submission.reject(
        new GradmeshError(
          "ERR_LEDGER",
          `another event of ${author} took its nonce ${nonce}; two processes use this peer's key`,
        ),
      );
  }

  #lost(): void {
    this.#there = null;
    if (this.#current === null) return;
    this.#current.id = null;
    this.#current.refusal = null;
  }

  /** Does what is next: ends a refused event, sends one that is not sent, begins with one that waits. */
  #advance(): void {
    const { count } = this.#options.follower;
    const current = this.#current;
    if (current?.refusal != null && current.refusal.count <= count) {
      this.#current = null;
      current.submission.reject(current.refusal.error);
    }
    // Before it is up to date it knows neither the next nonce nor what became of an event that was under way.
    if (this.#failure !== null || this.#there === null || count < this.#there) return;
    this.#current ??= this.#next();
    if (this.#current === null || this.#current.id !== null) return;
    this.#ids = (this.#ids + 1) % 2 ** 32;
    this.#current.id = this.#ids;
    this.#link.send({ type: "submit", id: this.#ids, event: this.#current.bytes });
  }

  #next(): Current | null {
    for (let submission = this.#queue.shift(); submission !== undefined; submission = this.#queue.shift()) {
      if (submission.dropped) continue;
      try {
        const signed = signEvent(this.#signer, this.id, this.#nextNonce(), submission.event);
        return { submission, signed, bytes: encodeEvent(signed), id: null, refusal: null };
      } catch (error) {
        // A value that cannot be written.
        submission.reject(error);
      }
    }
    return null;
  }

  /** Larger than any this key has signed, also before a restart: two events of one nonce would be an offence. */
  #nextNonce(): bigint {
    const { clock, rules } = this.#options;
    const byTime = BigInt(Math.floor(clock.wall())) * NONCES_PER_MS;
    const known = rules.nonceOf(this.state, this.account);
    if (known > this.#signedNonce) this.#signedNonce = known;
    this.#signedNonce = byTime > this.#signedNonce ? byTime : this.#signedNonce + 1n;
    return this.#signedNonce;
  }

  #fail(error: GradmeshError): void {
    if (this.#failure !== null) return;
    this.#failure = error;
    this.#current?.submission.reject(error);
    this.#current = null;
    for (const { reject } of this.#queue.splice(0)) reject(error);
    this.#waiters.fail(error);
  }
}
