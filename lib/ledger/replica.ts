/** A ledger as far as it was followed: the chain of its records, and the state that the rules make of them. */
import { GradmeshError } from "../base/errors.js";
import type { Account, Hash, LedgerRecord } from "./events.js";
import { recordHash, ZERO_HASH } from "./record.js";

/** What events mean; lib/ledger/rules holds the rules of a run. */
export interface Rules<State, Effect> {
  emptyState(): State;
  /**
   * First all checks, then the changes, in place. The caller has checked chain and signature.
   * @throws ERR_LEDGER saying why the record is refused; nothing is changed then.
   */
  apply(state: State, record: LedgerRecord, ledgerId: Hash): readonly Effect[];
  /** Of the author's last event; 0 before the first. */
  nonceOf(state: State, account: Account): bigint;
  /** Equal states, equal digests. @throws ERR_LEDGER for a state that no right rules lead to. */
  stateDigest(state: State): Hash;
  /** Whether time alone changes the state by then. The sequencer lets it pass first, so that no refused event pays for it. */
  isDue?(state: State, time: number): boolean;
}

/** Whether it says why a record is not taken; after any other error the state may be half changed. */
export function isRefusal(error: unknown): error is GradmeshError {
  return error instanceof GradmeshError && error.code === "ERR_LEDGER";
}

/** Every record whose number is a multiple of it is a Snapshot, and no other is. */
export const SNAPSHOT_RECORDS = 1024;

export function snapshotDue(seq: number): boolean {
  return seq > 0 && seq % SNAPSHOT_RECORDS === 0;
}

function refuse(seq: number, reason: string): never {
  throw new GradmeshError("ERR_LEDGER", `record ${seq}: ${reason}`);
}

export class Replica<State, Effect> {
  readonly rules: Rules<State, Effect>;
  readonly state: State;
  /** Records so far. */
  count = 0;
  /** Of the last record; zeros before the first. */
  hash: Hash = ZERO_HASH;
  /** Of the last record, in milliseconds since the epoch. */
  time = 0;
  /** Hash of the first record; zeros before it. */
  ledgerId: Hash = ZERO_HASH;
  /** Author of the first record, who orders the others; "" before it. */
  sequencer: Account = "";
  #digest = { count: -1, hash: ZERO_HASH };

  constructor(rules: Rules<State, Effect>) {
    this.rules = rules;
    this.state = rules.emptyState();
  }

  /**
   * Takes the next record, whose signature the caller has checked, or checks meanwhile. `hash` is its own.
   * @throws ERR_LEDGER naming the record and its field; nothing is changed then.
   */
  apply(record: LedgerRecord, hash: Hash = recordHash(record)): readonly Effect[] {
    this.#checkPlace(record);
    const first = this.count === 0;
    const ledgerId = first ? hash : this.ledgerId;
    this.#checkSnapshot(record);
    const effects = this.#applyRules(record, ledgerId);
    if (first) {
      this.ledgerId = ledgerId;
      this.sequencer = record.author;
    }
    this.count += 1;
    this.hash = hash;
    this.time = record.time;
    return effects;
  }

  /** Of the state; a sequencer asks for it to write a Snapshot, and again as it checks its own. */
  digest(): Hash {
    if (this.#digest.count !== this.count)
      this.#digest = { count: this.count, hash: this.rules.stateDigest(this.state) };
    return this.#digest.hash;
  }

  #checkPlace(record: LedgerRecord): void {
    const { seq, previous, time, event } = record;
    if (seq !== this.count) refuse(this.count, `seq is ${seq}`);
    if (previous !== this.hash)
      refuse(seq, `previous is ${previous}, but the record before has the hash ${this.hash}`);
    if (time < this.time) refuse(seq, `time is ${time}, before that of the record before, ${this.time}`);
    if ((event.kind === "RunCreated") !== (seq === 0))
      refuse(seq, seq === 0 ? `the first event is ${event.kind}, not RunCreated` : "a second RunCreated");
  }

  #checkSnapshot({ seq, author, event }: LedgerRecord): void {
    const due = snapshotDue(seq);
    if (event.kind !== "Snapshot") {
      if (due) refuse(seq, `a ${event.kind} stands where a Snapshot is due`);
      return;
    }
    if (!due) refuse(seq, `a Snapshot stands where none is due; every ${SNAPSHOT_RECORDS}th record is one`);
    if (author !== this.sequencer) refuse(seq, "a Snapshot that is not by the sequencer");
    const digest = this.digest();
    if (event.state !== digest) refuse(seq, `the Snapshot says ${event.state}, but the state is ${digest}`);
  }

  #applyRules(record: LedgerRecord, ledgerId: Hash): readonly Effect[] {
    try {
      return this.rules.apply(this.state, record, ledgerId);
    } catch (error) {
      if (!(error instanceof GradmeshError)) throw error;
      const what = `record ${record.seq} (${record.event.kind} by ${record.author})`;
      throw new GradmeshError(error.code, `${what}: ${error.message}`, {
        cause: error,
        detail: error.detail,
      });
    }
  }
}
