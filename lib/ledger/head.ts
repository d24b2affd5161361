/** The ledger's head as the sequencer signs it, and the proof that somebody signed two things of which only one can be. */
import { GradmeshError } from "../base/errors.js";
import type { Account, Hash, LedgerRecord } from "./events.js";
import { checkHex, checkInteger, fixedBytes } from "./layout.js";
import { decodeRecord, EVENT_OFFSET, SIGNATURE_BYTES } from "./record.js";
import { KeyRing, type Signer, verifyEvent } from "./sign.js";

/** The sequencer's word that the ledger has so many records, and that the last one's hash is this. */
export interface Head {
  /** From 1. */
  readonly count: number;
  readonly hash: Hash;
  /** Ed25519 over the domain, the ledger's id, count and hash. */
  readonly signature: string;
}

/** Shorter than every record, so that evidence says by its size what it is. */
export const HEAD_BYTES = 8 + fixedBytes.hash + SIGNATURE_BYTES;

const HEAD_DOMAIN = Buffer.from("gradmesh-head");

/** count u64 ‖ hash 32 ‖ signature 64. @throws ERR_LEDGER naming the field whose value is impossible. */
export function encodeHead(head: Head): Buffer {
  const bytes = Buffer.alloc(HEAD_BYTES);
  bytes.writeBigUInt64LE(BigInt(checkInteger("head.count", head.count, Number.MAX_SAFE_INTEGER)), 0);
  bytes.write(checkHex("head.hash", head.hash, fixedBytes.hash), 8, "hex");
  bytes.write(checkHex("head.signature", head.signature, SIGNATURE_BYTES), 40, "hex");
  return bytes;
}

/** The signature is not checked. @throws ERR_LEDGER where the bytes are no head. */
export function decodeHead(bytes: Uint8Array): Head {
  if (bytes.length !== HEAD_BYTES)
    throw new GradmeshError("ERR_LEDGER", `a head has ${HEAD_BYTES} bytes, not ${bytes.length}`);
  const buffer = Buffer.from(bytes);
  const count = Number(buffer.readBigUInt64LE(0));
  return {
    count: checkInteger("head.count", count, Number.MAX_SAFE_INTEGER),
    hash: buffer.toString("hex", 8, 40),
    signature: buffer.toString("hex", 40),
  };
}

function headMessage(ledgerId: Hash, head: Omit<Head, "signature">): Buffer {
  const bytes = encodeHead({ ...head, signature: "00".repeat(SIGNATURE_BYTES) });
  return Buffer.concat([HEAD_DOMAIN, Buffer.from(ledgerId, "hex"), bytes.subarray(0, 40)]);
}

export function signHead(signer: Signer, ledgerId: Hash, count: number, hash: Hash): Head {
  const content = { count, hash };
  return { ...content, signature: signer.sign(headMessage(ledgerId, content)).toString("hex") };
}

export function verifyHead(head: Head, ledgerId: Hash, sequencer: Account, keys = new KeyRing()): boolean {
  return keys.verify(sequencer, headMessage(ledgerId, head), Buffer.from(head.signature, "hex"));
}

function fail(reason: string): never {
  throw new GradmeshError("ERR_PROOF", `no equivocation is proven: ${reason}`);
}

function twoHeads(first: Head, second: Head, ledgerId: Hash, sequencer: Account, keys: KeyRing): Account {
  if (first.count !== second.count) fail(`the heads are of ${first.count} and ${second.count} records`);
  if (first.hash === second.hash) fail("the heads are the same");
  for (const head of [first, second])
    if (!verifyHead(head, ledgerId, sequencer, keys))
      fail(`the sequencer did not sign the head ${head.hash}`);
  return sequencer;
}

function twoRecords(first: LedgerRecord, second: LedgerRecord, ledgerId: Hash, keys: KeyRing): Account {
  if (first.author !== second.author) fail(`the records are by ${first.author} and ${second.author}`);
  if (first.nonce !== second.nonce) fail(`the nonces are ${first.nonce} and ${second.nonce}`);
  for (const record of [first, second]) {
    // It is signed before the ledger has an id, so one submitter's runs would speak against each other.
    if (record.event.kind === "RunCreated") fail("the event that makes a ledger is signed for none");
    if (!verifyEvent(record, ledgerId, keys)) fail(`${record.author} did not sign both for this ledger`);
  }
  return first.author;
}

/**
 * Who signed two events of one nonce (whole records; their places are not signed and do not matter), or two heads of one
 * number. Two signatures of the same content are no offence.
 * @throws ERR_PROOF saying why nothing is proven; ERR_LEDGER where the bytes are neither records nor heads.
 */
export function provenEquivocation(
  first: Uint8Array,
  second: Uint8Array,
  ledgerId: Hash,
  sequencer: Account,
  keys = new KeyRing(),
): Account {
  if (first.length === HEAD_BYTES && second.length === HEAD_BYTES)
    return twoHeads(decodeHead(first), decodeHead(second), ledgerId, sequencer, keys);
  const records = [decodeRecord(first), decodeRecord(second)] as const;
  const content = (bytes: Uint8Array) => bytes.subarray(EVENT_OFFSET, bytes.length - SIGNATURE_BYTES);
  if (Buffer.compare(content(first), content(second)) === 0) fail("the events are the same");
  return twoRecords(...records, ledgerId, keys);
}
