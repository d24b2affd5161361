/** Checks a whole ledger from its first byte, believing nothing, and names the record and the field where it does not hold. */
import { GradmeshError } from "../base/errors.js";
import type { Account, Hash, LedgerRecord } from "./events.js";
import { type Head, verifyHead } from "./head.js";
import { locate } from "./locate.js";
import { decodeRecord, EVENT_OFFSET, recordHash, ZERO_HASH } from "./record.js";
import { isRefusal, Replica, type Rules } from "./replica.js";
import { KeyRing } from "./sign.js";
import { SignatureChecker } from "./signatures.js";

/** Where a ledger's bytes come from: a store, or an export. */
export interface AuditSource {
  readonly ledgerId: Hash;
  pages(from: number, to?: number): Iterable<readonly Buffer[]>;
  heads(): Iterable<Head>;
  head(count?: number): Head | undefined;
  /** "ok", or what is wrong with the file that holds it. */
  integrity(): string;
}

export interface AuditFault {
  /** The record that does not hold, or that is missing; absent where it is no record that does not. */
  readonly seq?: number;
  /** The field, where it can be known. */
  readonly field?: string;
  readonly reason: string;
}

export interface AuditReport<State> {
  readonly ledgerId: Hash;
  readonly sequencer: Account;
  /** Records that hold, from the first. */
  readonly count: number;
  /** Hash of the last of them, and its time in milliseconds since the epoch. */
  readonly hash: Hash;
  readonly time: number;
  /** The last signed head. */
  readonly head: Head | undefined;
  /** After all records whose chain and rules hold: where a signature does not, some of them are not counted. */
  readonly state: State;
  /** Its digest, as a snapshot would have it; null where something does not hold. */
  readonly stateDigest: Hash | null;
  /** The first thing that does not hold; null where all does. */
  readonly fault: AuditFault | null;
}

export interface AuditOptions<State, Effect> {
  readonly rules: Rules<State, Effect>;
  readonly threads?: number;
  /** What is known from elsewhere: the id from another peer's copy, a head from a receipt. */
  readonly ledgerId?: Hash;
  readonly known?: Pick<Head, "count" | "hash">;
  /** Called with each record that holds by chain and rules, and the state after it, which the next record changes. */
  readonly onRecord?: (record: LedgerRecord, effects: readonly Effect[], state: State) => void;
  readonly signal?: AbortSignal;
}

/** Pages whose signatures are checked while others are read. */
const PAGES_AHEAD = 4;

/** @throws ERR_ABORTED, or whatever the signal's reason is; a ledger that does not hold is a report, not an error. */
export async function audit<State, Effect>(
  source: AuditSource,
  options: AuditOptions<State, Effect>,
): Promise<AuditReport<State>> {
  const run = new AuditRun(source, options);
  try {
    const chainFault = await run.followChain();
    const fault = (await run.badSignature()) ?? chainFault ?? run.checkEnd();
    return run.report(fault);
  } finally {
    await run.close();
  }
}

class AuditRun<State, Effect> {
  readonly #source: AuditSource;
  readonly #options: AuditOptions<State, Effect>;
  readonly #replica: Replica<State, Effect>;
  readonly #checker: SignatureChecker;
  readonly #keys = new KeyRing();
  readonly #checks: { readonly from: number; readonly result: Promise<Uint8Array> }[] = [];
  #firstBad: number | undefined;
  #heads: Iterator<Head>;
  #nextHead: Head | undefined;
  #lastHead: Head | undefined;
  /** Hash of the record at which a known head ends. */
  #knownHash: Hash | undefined;

  constructor(source: AuditSource, options: AuditOptions<State, Effect>) {
    this.#source = source;
    this.#options = options;
    this.#replica = new Replica(options.rules);
    this.#checker = new SignatureChecker(options.threads);
    this.#heads = source.heads()[Symbol.iterator]();
  }

  close(): Promise<void> {
    return this.#checker.close();
  }

  /** Reads all records; the first that breaks the chain, the rules or a signed head, without a look at signatures of events. */
  async followChain(): Promise<AuditFault | undefined> {
    try {
      this.#advanceHead();
      for (const page of this.#source.pages(0)) {
        this.#options.signal?.throwIfAborted();
        const fault = this.#takePage(page);
        if (fault !== undefined) return fault;
        while (this.#checks.length > PAGES_AHEAD) await this.#settleOldest();
        if (this.#firstBad !== undefined) return undefined;
      }
    } catch (error) {
      // Of the file: a page that cannot be read.
      if (isRefusal(error)) return { seq: this.#replica.count, reason: error.message };
      throw error;
    }
    return undefined;
  }

  /** The first record with a bad signature. Only those before a break of the chain are checked. */
  async badSignature(): Promise<AuditFault | undefined> {
    while (this.#checks.length > 0) await this.#settleOldest();
    if (this.#firstBad === undefined) return undefined;
    const reason =
      "the signature does not hold: kind, author, nonce, body or signature is not what was signed";
    return this.#locate(this.#firstBad, reason);
  }

  /** What is left to check once every record holds: the end. */
  checkEnd(): AuditFault | null {
    const { count } = this.#replica;
    const { ledgerId, known } = this.#options;
    if (count === 0) return { seq: 0, reason: "the ledger has no record" };
    const head = this.#source.head();
    if (head !== undefined && head.count > count)
      return {
        seq: count,
        reason: `record ${count} is missing: the sequencer signed a head of ${head.count}`,
      };
    if (this.#nextHead !== undefined)
      return { reason: `a head of ${this.#nextHead.count} records stands where none can be` };
    if (ledgerId !== undefined && ledgerId !== this.#replica.ledgerId)
      return { seq: 0, reason: `this is the ledger ${this.#replica.ledgerId}, not ${ledgerId}` };
    if (known !== undefined && known.count > count)
      return { seq: count, reason: `record ${count} is missing: a known head counts ${known.count}` };
    if (known !== undefined && known.hash !== this.#knownHash)
      return {
        seq: known.count - 1,
        reason: `its hash is ${this.#knownHash}, but the known head of ${known.count} records is ${known.hash}: two ledgers`,
      };
    try {
      this.#replica.digest();
    } catch (error) {
      if (!isRefusal(error)) throw error;
      return { seq: count - 1, reason: error.message };
    }
    const integrity = this.#source.integrity();
    return integrity === "ok"
      ? null
      : { reason: `the file is damaged, though every record holds: ${integrity}` };
  }

  report(fault: AuditFault | null): AuditReport<State> {
    const { ledgerId, sequencer, state } = this.#replica;
    const count = fault?.seq === undefined ? this.#replica.count : Math.min(this.#replica.count, fault.seq);
    const head = this.#lastHead;
    const stateDigest = fault === null ? this.#replica.digest() : null;
    return { ledgerId, sequencer, count, ...this.#end(count), head, state, stateDigest, fault };
  }

  /** Hash and time of the last of the first so many records. */
  #end(count: number): { hash: Hash; time: number } {
    if (count === this.#replica.count) {
      const { hash, time } = this.#replica;
      return { hash, time };
    }
    if (count === 0) return { hash: ZERO_HASH, time: 0 };
    for (const [bytes] of this.#source.pages(count - 1, count))
      return { hash: recordHash(bytes!), time: decodeRecord(bytes!).time };
    throw new GradmeshError("ERR_INTERNAL", `record ${count - 1} was read and is gone`);
  }

  #takePage(page: readonly Buffer[]): AuditFault | undefined {
    const from = this.#replica.count;
    let fault: AuditFault | undefined;
    for (const bytes of page) {
      fault = this.#takeRecord(bytes);
      if (fault !== undefined) break;
    }
    const taken = page.slice(0, this.#replica.count - from).map((bytes) => bytes.subarray(EVENT_OFFSET));
    const result = this.#checker.check(this.#source.ledgerId, taken);
    result.catch(() => {});
    this.#checks.push({ from, result });
    return fault;
  }

  #takeRecord(bytes: Buffer): AuditFault | undefined {
    const seq = this.#replica.count;
    const hash = recordHash(bytes);
    let record: LedgerRecord;
    let effects: readonly Effect[];
    try {
      if (seq === 0 && hash !== this.#source.ledgerId)
        throw new GradmeshError(
          "ERR_LEDGER",
          `its hash is ${hash}, but the file is of ${this.#source.ledgerId}`,
        );
      record = decodeRecord(bytes);
      effects = this.#replica.apply(record, hash);
    } catch (error) {
      if (!isRefusal(error)) throw error;
      return this.#locate(seq, error.message);
    }
    this.#options.onRecord?.(record, effects, this.#replica.state);
    if (this.#options.known?.count === seq + 1) this.#knownHash = hash;
    return this.#checkHeadAt(seq, hash);
  }

  /** Where a head was signed for the records up to this one, it must be of the same chain. */
  #checkHeadAt(seq: number, hash: Hash): AuditFault | undefined {
    const head = this.#nextHead;
    if (head?.count !== seq + 1) return undefined;
    const signed = this.#headHolds(head);
    if (head.hash !== hash) {
      const reason = `its hash is ${hash}, but the head of ${head.count} records is ${head.hash}`;
      return signed
        ? this.#locate(seq, reason)
        : { seq, field: "head", reason: `${reason}, which the sequencer did not sign` };
    }
    if (!signed)
      return {
        seq,
        field: "head",
        reason: `the head of ${head.count} records is not signed by the sequencer`,
      };
    this.#advanceHead();
    return undefined;
  }

  #headHolds(head: Head): boolean {
    try {
      return verifyHead(head, this.#source.ledgerId, this.#replica.sequencer, this.#keys);
    } catch {
      return false;
    }
  }

  #advanceHead(): void {
    if (this.#nextHead !== undefined) this.#lastHead = this.#nextHead;
    const next = this.#heads.next();
    this.#nextHead = next.done ? undefined : next.value;
  }

  async #settleOldest(): Promise<void> {
    const { from, result } = this.#checks.shift()!;
    const bad = (await result).indexOf(0);
    if (bad >= 0) this.#firstBad ??= from + bad;
  }

  #locate(seq: number, reason: string): AuditFault {
    return locate(this.#source, seq, reason);
  }
}
