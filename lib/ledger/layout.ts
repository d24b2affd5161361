/** How an event's body is written as bytes: one way only, so that equal events are equal bytes, and nothing else decodes. */
import { GradmeshError } from "../base/errors.js";
import { type EventKind, eventKinds, type FieldType, type LedgerEvent } from "./events.js";

/** Bytes of the field types that always take the same number. */
export const fixedBytes = {
  u8: 1,
  u16: 2,
  u32: 4,
  u64: 8,
  hash: 32,
  account: 32,
  vrf: 80,
  salt: 32,
} as const;
type FixedType = keyof typeof fixedBytes;
type IntegerType = "u8" | "u16" | "u32";

const TEXT_BYTES_MAX = 256;
const HASHES_MAX = 256;
const BLOB_BYTES_MAX = 65_536;
const U64_MAX = 2n ** 64n - 1n;

/** Most bytes of a field, its length included. */
function fieldBytesMax(type: FieldType): number {
  if (type === "text") return 2 + TEXT_BYTES_MAX;
  if (type === "hashes") return 2 + HASHES_MAX * fixedBytes.hash;
  return type === "bytes" ? 4 + BLOB_BYTES_MAX : fixedBytes[type];
}

const kindNames = Object.keys(eventKinds) as EventKind[];
const kindsById = new Map<number, EventKind>(kindNames.map((kind) => [eventKinds[kind].id, kind]));
const fieldsOf = new Map<EventKind, (readonly [name: string, type: FieldType])[]>(
  kindNames.map((kind) => [kind, Object.entries(eventKinds[kind].fields)]),
);

/** Of any event: a length beyond it is refused before anything is read. */
export const BODY_BYTES_MAX = Math.max(
  ...[...fieldsOf.values()].map((fields) => fields.reduce((sum, [, type]) => sum + fieldBytesMax(type), 0)),
);

export function kindOf(id: number): EventKind {
  const kind = kindsById.get(id);
  if (kind === undefined)
    throw new GradmeshError(
      "ERR_LEDGER",
      `kind is ${id}, which no event has; allowed is 1 to ${kindsById.size}; a later release may know it`,
    );
  return kind;
}

export function refuseValue(place: string, value: unknown, allowed: string): never {
  const shown = typeof value === "string" ? JSON.stringify(value.slice(0, 80)) : String(value);
  throw new GradmeshError("ERR_LEDGER", `${place} is ${shown}; allowed is ${allowed}`);
}

const hexadecimal = /^[0-9a-f]*$/;

/** @throws ERR_LEDGER unless the value is lowercase hexadecimal of so many bytes. */
export function checkHex(place: string, value: unknown, bytes: number): string {
  if (typeof value === "string" && value.length === 2 * bytes && hexadecimal.test(value)) return value;
  return refuseValue(place, value, `${2 * bytes} lowercase hexadecimal characters`);
}

/** @throws ERR_LEDGER unless the value is an integer from 0 to `most`. */
export function checkInteger(place: string, value: unknown, most: number): number {
  if (Number.isInteger(value) && (value as number) >= 0 && (value as number) <= most) return value as number;
  return refuseValue(place, value, `an integer from 0 to ${most}`);
}

/** @throws ERR_LEDGER unless the value is a bigint of 64 bits without a sign. */
export function checkU64(place: string, value: unknown): bigint {
  if (typeof value === "bigint" && value >= 0n && value <= U64_MAX) return value;
  return refuseValue(place, value, `a bigint from 0 to ${U64_MAX}`);
}

/** The bytes of a field's value, once it is known to be one. */
function fieldBytes(place: string, type: FieldType, value: unknown): number {
  switch (type) {
    case "u8":
    case "u16":
    case "u32":
      checkInteger(place, value, 2 ** (8 * fixedBytes[type]) - 1);
      return fixedBytes[type];
    case "u64":
      checkU64(place, value);
      return 8;
    case "text": {
      // A lone surrogate has no UTF-8, so it would come back as another text.
      if (typeof value !== "string" || !value.isWellFormed()) return refuseValue(place, value, "text");
      const length = Buffer.byteLength(value, "utf8");
      if (length > TEXT_BYTES_MAX) refuseValue(place, value, `text of at most ${TEXT_BYTES_MAX} bytes`);
      return 2 + length;
    }
    case "hashes": {
      if (!Array.isArray(value) || value.length > HASHES_MAX)
        return refuseValue(place, value, `a list of at most ${HASHES_MAX} hashes`);
      for (let index = 0; index < value.length; index++)
        checkHex(`${place}[${index}]`, value[index], fixedBytes.hash);
      return 2 + value.length * fixedBytes.hash;
    }
    case "bytes": {
      const whole = typeof value === "string" && value.length % 2 === 0;
      if (!whole || value.length > 2 * BLOB_BYTES_MAX || !hexadecimal.test(value))
        return refuseValue(place, value, `at most ${BLOB_BYTES_MAX} bytes in lowercase hexadecimal`);
      return 4 + value.length / 2;
    }
    default:
      checkHex(place, value, fixedBytes[type]);
      return fixedBytes[type];
  }
}

function writeField(into: Buffer, offset: number, type: FieldType, value: unknown): number {
  switch (type) {
    case "u8":
    case "u16":
    case "u32":
      return into.writeUIntLE(value as number, offset, fixedBytes[type]);
    case "u64":
      return into.writeBigUInt64LE(value as bigint, offset);
    case "text": {
      const length = into.write(value as string, offset + 2, "utf8");
      into.writeUInt16LE(length, offset);
      return offset + 2 + length;
    }
    case "hashes": {
      const hashes = value as readonly string[];
      let end = into.writeUInt16LE(hashes.length, offset);
      for (const hash of hashes) end += into.write(hash, end, "hex");
      return end;
    }
    case "bytes": {
      const start = into.writeUInt32LE((value as string).length / 2, offset);
      return start + into.write(value as string, start, "hex");
    }
    default:
      return offset + into.write(value as string, offset, "hex");
  }
}

/** Bytes of an event's body. @throws ERR_LEDGER naming the field whose value is not of its type. */
export function bodyBytes(event: LedgerEvent): number {
  const fields = fieldsOf.get(event.kind);
  if (fields === undefined) return refuseValue("kind", event.kind, "the name of an event");
  const values = event as unknown as Record<string, unknown>;
  let size = 0;
  for (const [name, type] of fields) size += fieldBytes(`${event.kind}.${name}`, type, values[name]);
  const names = Object.keys(event);
  if (names.length !== fields.length + 1) {
    const known = ["kind", ...fields.map(([name]) => name)];
    const extra = names.find((name) => !known.includes(name));
    refuseValue(`${event.kind}.${extra}`, values[extra ?? ""], `only ${known.join(", ")}`);
  }
  return size;
}

/** Writes a body that `bodyBytes` has measured. Returns the offset after it. */
export function writeBody(into: Buffer, offset: number, event: LedgerEvent): number {
  const values = event as unknown as Record<string, unknown>;
  let end = offset;
  for (const [name, type] of fieldsOf.get(event.kind)!) end = writeField(into, end, type, values[name]);
  return end;
}

// A byte-order mark is a character like any other here: dropping it would make two encodings of one text.
const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** Reads one value after the other; whatever is short, long or out of place is refused by the field's name. */
class Reader {
  readonly #bytes: Buffer;
  offset: number;
  readonly #end: number;

  constructor(bytes: Buffer, offset: number, end: number) {
    this.#bytes = bytes;
    this.offset = offset;
    this.#end = end;
  }

  take(place: string, count: number): number {
    const start = this.offset;
    const left = this.#end - start;
    if (count > left)
      throw new GradmeshError("ERR_LEDGER", `${place} takes ${count} bytes, but only ${left} are left`);
    this.offset += count;
    return start;
  }

  integer(place: string, type: IntegerType): number {
    const size = fixedBytes[type];
    return this.#bytes.readUIntLE(this.take(place, size), size);
  }

  hex(place: string, count: number): string {
    const start = this.take(place, count);
    return this.#bytes.toString("hex", start, start + count);
  }

  length(place: string, type: "u16" | "u32", most: number): number {
    return checkInteger(`the length of ${place}`, this.integer(place, type), most);
  }

  text(place: string): string {
    const length = this.length(place, "u16", TEXT_BYTES_MAX);
    const start = this.take(place, length);
    try {
      return utf8.decode(this.#bytes.subarray(start, start + length));
    } catch (cause) {
      throw new GradmeshError("ERR_LEDGER", `${place} is not UTF-8`, { cause });
    }
  }

  value(place: string, type: FieldType): unknown {
    if (type === "u8" || type === "u16" || type === "u32") return this.integer(place, type);
    if (type === "u64") return this.#bytes.readBigUInt64LE(this.take(place, 8));
    if (type === "text") return this.text(place);
    if (type === "bytes") return this.hex(place, this.length(place, "u32", BLOB_BYTES_MAX));
    if (type !== "hashes") return this.hex(place, fixedBytes[type satisfies FixedType]);
    const count = this.length(place, "u16", HASHES_MAX);
    return Array.from({ length: count }, () => this.hex(place, fixedBytes.hash));
  }

  finish(place: string): void {
    const left = this.#end - this.offset;
    if (left !== 0)
      throw new GradmeshError("ERR_LEDGER", `${place} is followed by ${left} bytes that are no field`);
  }
}

/** The event whose body are the bytes from `offset` to `end`, all of them. @throws ERR_LEDGER naming the field. */
export function readBody(kind: EventKind, bytes: Buffer, offset: number, end: number): LedgerEvent {
  const reader = new Reader(bytes, offset, end);
  const event: Record<string, unknown> = { kind };
  for (const [name, type] of fieldsOf.get(kind)!) event[name] = reader.value(`${kind}.${name}`, type);
  reader.finish(`the body of ${kind}`);
  return event as unknown as LedgerEvent;
}

/** Name of the body's field that holds the byte at `offset` of the body; the body itself may be unreadable. */
export function fieldAt(kind: EventKind, body: Buffer, offset: number): string {
  let start = 0;
  for (const [name, type] of fieldsOf.get(kind)!) {
    const end = start + lengthAt(type, body, start);
    if (offset < end) return `${kind}.${name}`;
    start = end;
  }
  return `the body of ${kind}`;
}

function lengthAt(type: FieldType, body: Buffer, start: number): number {
  if (type !== "text" && type !== "hashes" && type !== "bytes") return fixedBytes[type];
  const prefix = type === "bytes" ? 4 : 2;
  if (start + prefix > body.length) return prefix;
  return prefix + body.readUIntLE(start, prefix) * (type === "hashes" ? fixedBytes.hash : 1);
}
