/** Finds which byte of a ledger was changed, where one was: the records around it still say what its hash was. */
import type { AuditFault, AuditSource } from "./audit.js";
import type { Hash } from "./events.js";
import { recordField, recordHash } from "./record.js";

/** Longer records are not searched for a changed byte: it would take seconds. */
const SEARCH_BYTES_MAX = 1024;

/** Where `previous` stands in a record. */
const PREVIOUS_START = 8;
const PREVIOUS_END = 40;

function read(source: AuditSource, seq: number): Buffer | undefined {
  if (seq < 0) return undefined;
  try {
    for (const page of source.pages(seq, seq + 1)) return page[0];
  } catch {
    // The file cannot be read there: then it says nothing.
  }
  return undefined;
}

/** What the rest of the ledger says the record's hash was. */
function hashSaid(source: AuditSource, seq: number): Hash | undefined {
  const next = read(source, seq + 1);
  if (next !== undefined && next.length >= PREVIOUS_END)
    return next.toString("hex", PREVIOUS_START, PREVIOUS_END);
  return source.head(seq + 1)?.hash;
}

/** The one byte whose change gives the record the hash, with what it was. */
function changedByte(bytes: Buffer, target: Hash): { offset: number; was: number } | undefined {
  if (bytes.length > SEARCH_BYTES_MAX) return undefined;
  const trial = Buffer.from(bytes);
  for (let offset = 0; offset < trial.length; offset++) {
    for (let was = 0; was < 256; was++) {
      trial[offset] = was;
      if (recordHash(trial) === target) return { offset, was };
    }
    trial[offset] = bytes[offset]!;
  }
  return undefined;
}

function byteFault(source: AuditSource, seq: number): AuditFault | undefined {
  const bytes = read(source, seq);
  const target = hashSaid(source, seq);
  if (bytes === undefined || target === undefined || recordHash(bytes) === target) return undefined;
  const found = changedByte(bytes, target);
  if (found === undefined) return undefined;
  const { offset, was } = found;
  const hex = (value: number) => `0x${value.toString(16).padStart(2, "0")}`;
  const trial = Buffer.from(bytes);
  trial[offset] = was;
  const field = recordField(trial, offset);
  const now = hex(bytes[offset]!);
  return {
    seq,
    field,
    reason: `byte ${offset} (${field}) is ${now}, and was ${hex(was)}: the chain around it says so`,
  };
}

/** Whether the record would fit the chain after it if its `previous` were the hash of the record before. */
function onlyLinkChanged(source: AuditSource, seq: number): boolean {
  const [before, bytes, target] = [read(source, seq - 1), read(source, seq), hashSaid(source, seq)];
  if (before === undefined || bytes === undefined || target === undefined) return false;
  const mended = Buffer.from(bytes);
  mended.write(recordHash(before), PREVIOUS_START, "hex");
  return recordHash(mended) === target;
}

/** The fault that was noticed at a record, at the record and field where it was made, as far as the bytes tell. */
export function locate(source: AuditSource, seq: number, reason: string): AuditFault {
  const bytes = read(source, seq);
  const before = read(source, seq - 1);
  const linked =
    before === undefined || bytes?.toString("hex", PREVIOUS_START, PREVIOUS_END) === recordHash(before);
  const exact = (linked ? undefined : byteFault(source, seq - 1)) ?? byteFault(source, seq);
  if (exact !== undefined) return exact;
  if (!linked && onlyLinkChanged(source, seq)) return { seq, field: "previous", reason };
  if (!linked)
    return {
      seq: seq - 1,
      reason: `it is not the record that record ${seq} follows; its time changed, or more than one byte of it`,
    };
  return { seq, reason };
}
