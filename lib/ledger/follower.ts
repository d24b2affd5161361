/** A peer's own copy of the ledger: it takes records from anywhere, and believes none that it has not checked itself. */
import { existsSync } from "node:fs";
import { asGradmeshError, GradmeshError } from "../base/errors.js";
import type { Account, Hash, LedgerRecord } from "./events.js";
import { encodeHead, type Head, provenEquivocation, verifyHead } from "./head.js";
import { Listeners, type Subscriber } from "./listeners.js";
import { decodeRecord, EVENT_OFFSET, recordHash } from "./record.js";
import { replay } from "./replay.js";
import { isRefusal, Replica, type Rules } from "./replica.js";
import { KeyRing } from "./sign.js";
import { SignatureChecker } from "./signatures.js";
import { createStore, openStore, type Store } from "./store.js";

export interface FollowerOptions<State, Effect> {
  readonly path: string;
  /** From the run's ticket: a ledger that does not begin with it is another's. */
  readonly ledgerId: Hash;
  readonly rules: Rules<State, Effect>;
  readonly threads?: number;
}

/** Two things that one account signed and only one of which can be, as EquivocationProven wants them. */
export interface Evidence {
  readonly account: Account;
  readonly first: string;
  readonly second: string;
}

interface Fresh {
  readonly record: LedgerRecord;
  readonly bytes: Uint8Array;
}

export class Follower<State, Effect> {
  readonly ledgerId: Hash;
  readonly #store: Store;
  readonly #replica: Replica<State, Effect>;
  readonly #checker: SignatureChecker;
  readonly #keys = new KeyRing();
  readonly #listeners = new Listeners<Effect>();
  #head: Head | undefined;
  #evidence: Evidence | undefined;
  #turn: Promise<unknown> = Promise.resolve();
  #failure: GradmeshError | null = null;

  private constructor(options: FollowerOptions<State, Effect>, store: Store) {
    this.ledgerId = options.ledgerId;
    this.#store = store;
    this.#checker = new SignatureChecker(options.threads);
    this.#replica = new Replica(options.rules);
    this.#head = replay(store, this.#replica);
  }

  /** @throws ERR_CONFIG where the file is another ledger's; ERR_LEDGER where it is damaged; ERR_IO from the system. */
  static open<State, Effect>(options: FollowerOptions<State, Effect>): Follower<State, Effect> {
    const { path, ledgerId } = options;
    const store = existsSync(path) ? openStore(path) : createStore(path, { ledgerId, records: [] });
    try {
      if (store.ledgerId !== ledgerId)
        throw new GradmeshError("ERR_CONFIG", `the ledger ${path} is ${store.ledgerId}, not ${ledgerId}`);
      return new Follower(options, store);
    } catch (error) {
      store.close();
      throw error;
    }
  }

  /** Read it, never change it. */
  get state(): State {
    return this.#replica.state;
  }
  /** Records that were checked and are on disk: the number of the next. */
  get count(): number {
    return this.#replica.count;
  }
  /** Author of the first record; "" before it. */
  get sequencer(): Account {
    return this.#replica.sequencer;
  }
  /** The last signed head that was checked. */
  get head(): Head | undefined {
    return this.#head;
  }
  /** Set once the sequencer is seen to have signed two ledgers. */
  get evidence(): Evidence | undefined {
    return this.#evidence;
  }

  /**
   * Checks the next records, as their bytes, and keeps them, and the sequencer's head of them where it came along. Records that are kept
   * already are passed over.
   * @throws ERR_LEDGER naming the first record or head that does not hold, those before are kept; ERR_IO, ERR_CLOSED.
   */
  take(records: readonly Uint8Array[], head?: Head): Promise<void> {
    const done = this.#turn.then(() => this.#take(records, head));
    this.#turn = done.catch(() => {});
    return done;
  }

  /** Records on disk, in order, from one on. */
  records(from = 0, to = this.count): Generator<LedgerRecord> {
    return this.#store.records(from, to);
  }

  /** Called with each record that is on disk and what it did. Returns how to stop it. */
  onEffects(listener: Subscriber<Effect>): () => void {
    return this.#listeners.add(listener);
  }

  async close(): Promise<void> {
    this.#failure ??= new GradmeshError("ERR_CLOSED", `the ledger ${this.#store.path} is closed`);
    await this.#turn;
    await this.#checker.close();
    this.#store.close();
  }

  async #take(records: readonly Uint8Array[], head: Head | undefined): Promise<void> {
    const { fresh, torn } = this.#decode(records);
    const bytes = fresh.map((entry) => entry.bytes);
    const signatures = await this.#checker.check(
      this.ledgerId,
      bytes.map((record) => record.subarray(EVENT_OFFSET)),
    );
    if (this.#failure !== null) throw this.#failure;
    const from = this.count;
    const effects: (readonly Effect[])[] = [];
    let refusal: unknown;
    try {
      for (const [index, entry] of fresh.entries()) effects.push(this.#apply(entry, signatures[index] === 1));
      if (torn !== undefined) throw torn;
      if (head !== undefined) this.#checkHead(head, bytes, from);
    } catch (error) {
      refusal = error;
      if (!isRefusal(error)) this.#failure = asGradmeshError(error);
    }
    const kept = bytes.slice(0, effects.length);
    if (kept.length > 0 || refusal === undefined)
      this.#write(from, kept, refusal === undefined ? head : undefined);
    for (const [index, effect] of effects.entries()) this.#listeners.emit(fresh[index]!.record, effect);
    if (refusal !== undefined) throw refusal;
  }

  /** Those that are not kept yet, up to the first that is no record: `torn` says why. */
  #decode(records: readonly Uint8Array[]): { fresh: Fresh[]; torn?: GradmeshError } {
    const fresh: Fresh[] = [];
    for (const bytes of records)
      try {
        const record = decodeRecord(bytes);
        if (record.seq >= this.count) fresh.push({ record, bytes });
      } catch (error) {
        const { code, message } = asGradmeshError(error);
        const seq = this.count + fresh.length;
        return { fresh, torn: new GradmeshError(code, `record ${seq}: ${message}`, { cause: error }) };
      }
    return { fresh };
  }

  #apply({ record, bytes }: Fresh, signed: boolean): readonly Effect[] {
    const hash = recordHash(bytes);
    if (!signed)
      throw new GradmeshError(
        "ERR_LEDGER",
        `record ${record.seq}: the signature is not that of ${record.author} over this event for this ledger`,
      );
    if (this.count === 0 && hash !== this.ledgerId)
      throw new GradmeshError(
        "ERR_LEDGER",
        `record 0: its hash is ${hash}, but the ledger is ${this.ledgerId}`,
      );
    return this.#replica.apply(record, hash);
  }

  /** `bytes` are the records from number `from` on, which are not on disk yet. */
  #checkHead(head: Head, bytes: readonly Uint8Array[], from: number): void {
    const name = `the head of ${head.count} records`;
    const refuse = (reason: string): never => {
      throw new GradmeshError("ERR_LEDGER", `${name} ${reason}`);
    };
    if (head.count < 1 || !verifyHead(head, this.ledgerId, this.sequencer, this.#keys))
      refuse("is not signed by the sequencer");
    if (head.count > this.count)
      refuse(`was signed, but only ${this.count} came: the rest is withheld; ask for it`);
    const last = bytes[head.count - 1 - from] ?? this.#store.read(head.count - 1);
    const hash = recordHash(last);
    if (hash === head.hash) return;
    const other = this.#store.head(head.count);
    if (other !== undefined) this.#prove(other, head);
    refuse(`is ${head.hash}, but the records that came here make ${hash}: the sequencer leads two ledgers`);
  }

  #prove(one: Head, other: Head): void {
    const [first, second] = [encodeHead(one), encodeHead(other)];
    const account = provenEquivocation(first, second, this.ledgerId, this.sequencer, this.#keys);
    this.#evidence = { account, first: first.toString("hex"), second: second.toString("hex") };
  }

  #write(from: number, bytes: readonly Uint8Array[], head: Head | undefined): void {
    try {
      this.#store.append(from, bytes, head);
    } catch (error) {
      // The state is ahead of the disk now: only the disk is right, so nothing more is taken.
      this.#failure = error as GradmeshError;
      throw error;
    }
    if (head !== undefined && head.count > (this.#head?.count ?? 0)) this.#head = head;
  }
}
