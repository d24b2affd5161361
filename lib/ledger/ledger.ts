/** The sequencer: puts signed events in their order, one at a time, and on disk before anybody hears of them. */
import { existsSync } from "node:fs";
import type { Clock } from "../base/clock.js";
import { asGradmeshError, GradmeshError } from "../base/errors.js";
import { createLedger, replayOwn } from "./begin.js";
import type { Account, EventBody, Hash, LedgerEvent, LedgerRecord, SignedEvent } from "./events.js";
import { type Head, signHead } from "./head.js";
import { Listeners, type Subscriber } from "./listeners.js";
import { encodeEvent, placeEvent, recordHash } from "./record.js";
import { isRefusal, Replica, type Rules, snapshotDue } from "./replica.js";
import { type Signer, signEvent } from "./sign.js";
import { SignatureChecker } from "./signatures.js";
import { openStore, type Store } from "./store.js";

/** That an event is on disk in its place, in the ledger whose head this is. Keep it: a ledger without it was cut. */
export interface Receipt {
  readonly seq: number;
  /** Of a ledger that holds the record: `head.count` is greater than `seq`. */
  readonly head: Head;
}

export interface SequencerOptions<State, Effect> {
  readonly path: string;
  readonly signer: Signer;
  readonly clock: Pick<Clock, "wall">;
  readonly rules: Rules<State, Effect>;
  /** Of a new ledger. A ledger that is there must begin with the same. */
  readonly genesis?: EventBody<"RunCreated">;
  /** That check signatures; as many as the machine has cores where it is not said. */
  readonly threads?: number;
}

/** Events that wait for their signature's check or their place; more are refused. */
const WAITING_MAX = 32_768;
/** Events of one transaction. */
const GROUP_EVENTS = 1024;
/** Groups whose signatures are checked while one is written. */
const GROUPS_AHEAD = 3;

interface Waiting {
  /** Already signed, or the sequencer's own, which it signs when its turn comes. */
  readonly content: { readonly signed: SignedEvent; readonly bytes: Buffer } | LedgerEvent;
  resolve(receipt: Receipt): void;
  reject(error: unknown): void;
}

interface Group {
  readonly entries: Waiting[];
  readonly signatures: Promise<Uint8Array>;
}

function isOwn(content: Waiting["content"]): content is LedgerEvent {
  return "kind" in content;
}

export class Sequencer<State, Effect> {
  readonly #signer: Signer;
  readonly #clock: Pick<Clock, "wall">;
  readonly #store: Store;
  readonly #replica: Replica<State, Effect>;
  readonly #checker: SignatureChecker;
  readonly #listeners = new Listeners<Effect>();
  readonly #waiting: Waiting[] = [];
  #head: Head;
  #pump: Promise<void> | null = null;
  #failure: GradmeshError | null = null;

  private constructor(options: SequencerOptions<State, Effect>, store: Store) {
    this.#signer = options.signer;
    this.#clock = options.clock;
    this.#store = store;
    this.#checker = new SignatureChecker(options.threads);
    this.#replica = new Replica(options.rules);
    this.#head = replayOwn(store, this.#replica, options);
  }

  /**
   * Opens the ledger, or makes it where there is none. What was acknowledged before a crash is there; the chain, the rules and
   * the signed head are checked.
   * @throws ERR_CONFIG where it is another run's, or cannot begin; ERR_LEDGER where it is damaged; ERR_IO from the system.
   */
  static open<State, Effect>(options: SequencerOptions<State, Effect>): Sequencer<State, Effect> {
    const store = existsSync(options.path) ? openStore(options.path) : createLedger(options);
    try {
      return new Sequencer(options, store);
    } catch (error) {
      store.close();
      throw error;
    }
  }

  get ledgerId(): Hash {
    return this.#replica.ledgerId;
  }
  get account(): Account {
    return this.#signer.account;
  }
  /** Read it, never change it. */
  get state(): State {
    return this.#replica.state;
  }
  /** Signed, of what is on disk. */
  get head(): Head {
    return this.#head;
  }
  /** Records on disk. */
  get count(): number {
    return this.#head.count;
  }

  /**
   * Gives the event the next place. Resolves when it is on disk; events that wait together share a transaction.
   * @throws ERR_LEDGER saying why the event is refused, and nothing is recorded then; ERR_IO where the disk fails, ERR_CLOSED.
   */
  submit(signed: SignedEvent): Promise<Receipt> {
    return this.#enqueue(() => ({ signed, bytes: encodeEvent(signed) }));
  }

  /** The same for an event of the sequencer's own, which it signs with its next nonce. */
  append(event: LedgerEvent): Promise<Receipt> {
    return this.#enqueue(() => event);
  }

  /** Records on disk, in order, from one on. */
  records(from = 0, to = this.count): Generator<LedgerRecord> {
    return this.#store.records(from, to);
  }

  /** Their bytes, as they are sent and hashed, some hundreds at a time. */
  pages(from: number, to: number): Generator<Buffer[]> {
    return this.#store.pages(from, to);
  }

  /** Called with each record that is on disk and what it did. Returns how to stop it. */
  onEffects(listener: Subscriber<Effect>): () => void {
    return this.#listeners.add(listener);
  }

  /** Waits for what was submitted, then lets the file go. */
  async close(): Promise<void> {
    this.#failure ??= new GradmeshError("ERR_CLOSED", `the ledger ${this.#store.path} is closed`);
    await this.#pump;
    await this.#checker.close();
    this.#store.close();
  }

  #enqueue(content: () => Waiting["content"]): Promise<Receipt> {
    return new Promise((resolve, reject) => {
      if (this.#failure !== null) throw this.#failure;
      if (this.#waiting.length >= WAITING_MAX)
        throw new GradmeshError("ERR_LEDGER", `${WAITING_MAX} events wait already; submit it again later`);
      this.#waiting.push({ content: content(), resolve, reject });
      this.#pump ??= this.#run();
    });
  }

  async #run(): Promise<void> {
    const groups: Group[] = [];
    // Whatever is submitted in the same turn of the event loop is of one group.
    await new Promise((resolve) => setImmediate(resolve));
    while (this.#waiting.length > 0 || groups.length > 0) {
      while (this.#waiting.length > 0 && groups.length < GROUPS_AHEAD) groups.push(this.#nextGroup());
      const { entries, signatures } = groups.shift()!;
      try {
        this.#commit(entries, await signatures);
      } catch (error) {
        for (const { reject } of entries) reject(error);
      }
    }
    this.#pump = null;
  }

  #nextGroup(): Group {
    const entries = this.#waiting.splice(0, GROUP_EVENTS);
    const foreign = entries.flatMap(({ content }) => (isOwn(content) ? [] : [content.bytes]));
    const signatures = this.#checker.check(this.ledgerId, foreign);
    // It is awaited in its turn; until then its failure is nobody's.
    signatures.catch(() => {});
    return { entries, signatures };
  }

  /** One transaction. What is refused, is refused alone. */
  #commit(entries: readonly Waiting[], signatures: Uint8Array): void {
    const from = this.#replica.count;
    const placed: Placed<Effect>[] = [];
    const accepted: { entry: Waiting; seq: number }[] = [];
    let checked = 0;
    for (const entry of entries) {
      const holds = isOwn(entry.content) || signatures[checked++] === 1;
      try {
        if (this.#failure !== null && this.#failure.code !== "ERR_CLOSED") throw this.#failure;
        if (!holds) throw new GradmeshError("ERR_LEDGER", badSignature);
        if (this.#isDue() && !isAdvance(entry.content)) this.#placeNext({ kind: "Advanced" }, placed);
        this.#placeNext(entry.content, placed);
        accepted.push({ entry, seq: this.#replica.count - 1 });
      } catch (error) {
        if (!isRefusal(error)) this.#failure = asGradmeshError(error);
        entry.reject(error);
      }
    }
    if (placed.length === 0) return;
    this.#write(from, placed, accepted);
  }

  #write(
    from: number,
    placed: readonly Placed<Effect>[],
    accepted: readonly { entry: Waiting; seq: number }[],
  ): void {
    const head = signHead(this.#signer, this.ledgerId, this.#replica.count, this.#replica.hash);
    try {
      this.#store.append(
        from,
        placed.map(({ bytes }) => bytes),
        head,
      );
    } catch (error) {
      // The state is ahead of the disk now: only the disk is right, so nothing more is taken.
      this.#failure = error as GradmeshError;
      for (const { entry } of accepted) entry.reject(error);
      return;
    }
    this.#head = head;
    for (const { entry, seq } of accepted) entry.resolve({ seq, head });
    for (const { record, effects } of placed) this.#listeners.emit(record, effects);
  }

  #now(): number {
    return Math.max(this.#replica.time, Math.floor(this.#clock.wall()));
  }

  #isDue(): boolean {
    const { rules, state } = this.#replica;
    return rules.isDue?.(state, this.#now()) ?? false;
  }

  /** Behind a snapshot, where one is due. */
  #placeNext(content: Waiting["content"], placed: Placed<Effect>[]): void {
    if (snapshotDue(this.#replica.count))
      placed.push(this.#place({ kind: "Snapshot", state: this.#replica.digest() }));
    placed.push(this.#place(content));
  }

  #sign(event: LedgerEvent): SignedEvent {
    const { rules, state } = this.#replica;
    return signEvent(this.#signer, this.ledgerId, rules.nonceOf(state, this.account) + 1n, event);
  }

  /** Puts the event in the chain and the state, or throws and changes nothing. */
  #place(content: Waiting["content"]): Placed<Effect> {
    const { count: seq, hash: previous } = this.#replica;
    const time = this.#now();
    const signed = isOwn(content) ? this.#sign(content) : content.signed;
    const bytes = placeEvent({ seq, previous, time }, isOwn(content) ? encodeEvent(signed) : content.bytes);
    const { author, nonce, event, signature } = signed;
    const record: LedgerRecord = { seq, previous, time, author, nonce, event, signature };
    return { record, bytes, effects: this.#replica.apply(record, recordHash(bytes)) };
  }
}

const isAdvance = (content: Waiting["content"]) => isOwn(content) && content.kind === "Advanced";

interface Placed<Effect> {
  readonly record: LedgerRecord;
  readonly bytes: Buffer;
  readonly effects: readonly Effect[];
}

const badSignature =
  "the signature is not the author's over this event for this ledger; sign it for this ledger's id, with the author's key";
