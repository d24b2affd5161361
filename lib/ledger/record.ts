/**
 * Events and records as bytes. A record is
 *   seq u64 ‖ previous 32 ‖ time u64 ‖ kind u16 ‖ author 32 ‖ nonce u64 ‖ length u32 ‖ body ‖ signature 64,
 * integers little-endian: 158 bytes and the body. From the kind on it is the event as its author sends it.
 */
import { hash } from "node:crypto";
import { GradmeshError } from "../base/errors.js";
import { type Account, eventKinds, type Hash, type LedgerRecord, type SignedEvent } from "./events.js";
import {
  BODY_BYTES_MAX,
  bodyBytes,
  checkHex,
  checkInteger,
  checkU64,
  fieldAt,
  fixedBytes,
  kindOf,
  readBody,
  refuseValue,
  writeBody,
} from "./layout.js";

/** Before the first record, and the ledger's id in the signature of the event that makes the ledger. */
export const ZERO_HASH: Hash = "0".repeat(64);

/** Where a record's event begins. */
export const EVENT_OFFSET = 48;
/** Of the event: where its author, its nonce, the body's length and the body begin. */
const AUTHOR_OFFSET = 2;
const NONCE_OFFSET = 34;
const LENGTH_OFFSET = 42;
const BODY_OFFSET = 46;
export const SIGNATURE_BYTES = 64;

export const EVENT_BYTES_MIN = BODY_OFFSET + SIGNATURE_BYTES;
export const EVENT_BYTES_MAX = EVENT_BYTES_MIN + BODY_BYTES_MAX;
export const RECORD_BYTES_MAX = EVENT_OFFSET + EVENT_BYTES_MAX;

/** What is put before a record's bytes when they are hashed, so that nothing else has its hash. */
const RECORD_DOMAIN = Buffer.from("gradmesh-record");

/** The event without its signature, in a buffer that has the signature's place after it. */
export function encodeUnsigned(event: Omit<SignedEvent, "signature">): Buffer {
  const size = bodyBytes(event.event);
  const bytes = Buffer.allocUnsafe(EVENT_BYTES_MIN + size);
  bytes.writeUInt16LE(eventKinds[event.event.kind].id, 0);
  bytes.write(checkHex("author", event.author, fixedBytes.account), AUTHOR_OFFSET, "hex");
  bytes.writeBigUInt64LE(checkU64("nonce", event.nonce), NONCE_OFFSET);
  bytes.writeUInt32LE(size, LENGTH_OFFSET);
  writeBody(bytes, BODY_OFFSET, event.event);
  return bytes;
}

/** A signed event as it is sent. @throws ERR_LEDGER naming the field whose value is impossible. */
export function encodeEvent(signed: SignedEvent): Buffer {
  const bytes = encodeUnsigned(signed);
  const signature = checkHex("signature", signed.signature, SIGNATURE_BYTES);
  bytes.write(signature, bytes.length - SIGNATURE_BYTES, "hex");
  return bytes;
}

function view(bytes: Uint8Array): Buffer {
  return Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

/** Where the event that begins at `start` ends: its length field must fit the bytes that are there. */
function eventEnd(bytes: Buffer, start: number): number {
  const size = bytes.length - start;
  if (size < EVENT_BYTES_MIN)
    return refuseValue("the event's size", `${size} bytes`, `at least ${EVENT_BYTES_MIN}`);
  const length = bytes.readUInt32LE(start + LENGTH_OFFSET);
  if (length !== size - EVENT_BYTES_MIN)
    refuseValue("the body's length", length, `${size - EVENT_BYTES_MIN}, which is what is there`);
  return bytes.length;
}

function readEvent(bytes: Buffer, start: number): SignedEvent {
  const end = eventEnd(bytes, start);
  const kind = kindOf(bytes.readUInt16LE(start));
  return {
    author: bytes.toString("hex", start + AUTHOR_OFFSET, start + NONCE_OFFSET),
    nonce: bytes.readBigUInt64LE(start + NONCE_OFFSET),
    event: readBody(kind, bytes, start + BODY_OFFSET, end - SIGNATURE_BYTES),
    signature: bytes.toString("hex", end - SIGNATURE_BYTES, end),
  };
}

/** Only what `encodeEvent` writes is read; the signature is not checked. @throws ERR_LEDGER naming the field. */
export function decodeEvent(bytes: Uint8Array): SignedEvent {
  return readEvent(view(bytes), 0);
}

/** Parts of a well-formed encoded event, read where they stand. */
export function eventKindId(event: Buffer): number {
  return event.readUInt16LE(0);
}
export function eventAuthor(event: Buffer): Account {
  return event.toString("hex", AUTHOR_OFFSET, NONCE_OFFSET);
}
export function eventSignature(event: Buffer): Buffer {
  return event.subarray(event.length - SIGNATURE_BYTES);
}

/** A record around an event's bytes. */
export function placeEvent(place: Pick<LedgerRecord, "seq" | "previous" | "time">, event: Buffer): Buffer {
  const bytes = Buffer.allocUnsafe(EVENT_OFFSET + event.length);
  bytes.writeBigUInt64LE(BigInt(checkInteger("seq", place.seq, Number.MAX_SAFE_INTEGER)), 0);
  bytes.write(checkHex("previous", place.previous, fixedBytes.hash), 8, "hex");
  bytes.writeBigUInt64LE(BigInt(checkInteger("time", place.time, Number.MAX_SAFE_INTEGER)), 40);
  event.copy(bytes, EVENT_OFFSET);
  return bytes;
}

/** A record as it is stored, sent and hashed. @throws ERR_LEDGER naming the field whose value is impossible. */
export function encodeRecord(record: LedgerRecord): Buffer {
  return placeEvent(record, encodeEvent(record));
}

function readSafeInteger(bytes: Buffer, offset: number, place: string): number {
  const value = bytes.readBigUInt64LE(offset);
  if (value > BigInt(Number.MAX_SAFE_INTEGER))
    refuseValue(place, value, `an integer from 0 to ${Number.MAX_SAFE_INTEGER}`);
  return Number(value);
}

/** Only what `encodeRecord` writes is read; neither chain nor signature is checked. @throws ERR_LEDGER naming the field. */
export function decodeRecord(bytes: Uint8Array): LedgerRecord {
  const buffer = view(bytes);
  if (buffer.length < EVENT_OFFSET + EVENT_BYTES_MIN)
    throw new GradmeshError(
      "ERR_LEDGER",
      `a record has ${buffer.length} bytes; the least is ${EVENT_OFFSET + EVENT_BYTES_MIN}`,
    );
  return {
    seq: readSafeInteger(buffer, 0, "seq"),
    previous: buffer.toString("hex", 8, 40),
    time: readSafeInteger(buffer, 40, "time"),
    ...readEvent(buffer, EVENT_OFFSET),
  };
}

/** SHA-256 of the domain and the record's bytes: the next record's `previous`; of the first record, the ledger's id. */
export function recordHash(record: LedgerRecord | Uint8Array): Hash {
  const bytes = record instanceof Uint8Array ? record : encodeRecord(record);
  return hash("sha256", Buffer.concat([RECORD_DOMAIN, bytes]), "hex");
}

/** Name of the field that holds a byte of a record, whose other bytes may be anything. */
export function recordField(bytes: Buffer, offset: number): string {
  if (offset < 8) return "seq";
  if (offset < 40) return "previous";
  if (offset < EVENT_OFFSET) return "time";
  const inEvent = offset - EVENT_OFFSET;
  if (inEvent < AUTHOR_OFFSET) return "kind";
  if (inEvent < NONCE_OFFSET) return "author";
  if (inEvent < LENGTH_OFFSET) return "nonce";
  if (inEvent < BODY_OFFSET) return "length";
  if (offset >= bytes.length - SIGNATURE_BYTES) return "signature";
  const body = bytes.subarray(EVENT_OFFSET + BODY_OFFSET, bytes.length - SIGNATURE_BYTES);
  return fieldAt(kindOf(bytes.readUInt16LE(EVENT_OFFSET)), body, inEvent - BODY_OFFSET);
}
