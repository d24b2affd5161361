/**
 * A ledger as a file that needs no database: JSON lines for people and scripts, or frames (u32 length, then a record's or a
 * head's bytes) behind a magic text and the ledger's id, which can be audited like the ledger itself.
 */
import { closeSync, existsSync, openSync, readFileSync, readSync } from "node:fs";
import { ioError, writeFileAtomic } from "../base/atomic-file.js";
import { GradmeshError } from "../base/errors.js";
import type { AuditSource } from "./audit.js";
import type { LedgerRecord } from "./events.js";
import { decodeHead, encodeHead, HEAD_BYTES, type Head } from "./head.js";
import { decodeRecord, RECORD_BYTES_MAX, recordHash } from "./record.js";
import { PAGE_RECORDS } from "./store.js";

const MAGIC = Buffer.from("gradmesh-ledger1");
const HEADER_BYTES = MAGIC.length + 32;

export type ExportFormat = "jsonl" | "bin";

/** Amounts and nonces may be beyond what JSON's readers keep exactly, so they are text. */
export function recordJson(record: LedgerRecord, hash: string): string {
  const { event, ...place } = record;
  const { kind, ...body } = event;
  const ordered = { ...place, hash, kind, body };
  return JSON.stringify(ordered, (_, value) => (typeof value === "bigint" ? `${value}` : value));
}

function frame(bytes: Buffer): Buffer {
  const length = Buffer.alloc(4);
  length.writeUInt32LE(bytes.length);
  return Buffer.concat([length, bytes]);
}

function* chunks(source: AuditSource, format: ExportFormat): Generator<Buffer> {
  if (format === "bin") yield Buffer.concat([MAGIC, Buffer.from(source.ledgerId, "hex")]);
  const write = (bytes: Buffer) =>
    format === "bin" ? frame(bytes) : Buffer.from(`${recordJson(decodeRecord(bytes), recordHash(bytes))}\n`);
  for (const page of source.pages(0)) yield Buffer.concat(page.map(write));
  if (format === "bin") for (const head of source.heads()) yield frame(encodeHead(head));
}

/**
 * Writes all records; the file is there whole, or not at all. Returns its bytes.
 * @throws ERR_CONFIG where it exists, ERR_IO where it cannot be written, ERR_LEDGER where a record cannot be read.
 */
export async function writeExport(source: AuditSource, path: string, format: ExportFormat): Promise<number> {
  if (existsSync(path))
    throw new GradmeshError("ERR_CONFIG", `there is a file ${path} already; choose another name`);
  let size = 0;
  function* counted(): Generator<Buffer> {
    for (const chunk of chunks(source, format)) {
      size += chunk.length;
      yield chunk;
    }
  }
  await writeFileAtomic(path, counted());
  return size;
}

/** Whether the file begins as `writeExport` begins a binary one. @throws ERR_LEDGER where there is none. */
export function isExport(path: string): boolean {
  if (!existsSync(path)) throw new GradmeshError("ERR_LEDGER", `there is no ledger ${path}`);
  try {
    const file = openSync(path, "r");
    try {
      const start = Buffer.alloc(MAGIC.length);
      return readSync(file, start, 0, start.length, 0) === start.length && start.equals(MAGIC);
    } finally {
      closeSync(file);
    }
  } catch (error) {
    throw ioError("read", path, error);
  }
}

function* frames(path: string, bytes: Buffer): Generator<Buffer> {
  for (let offset = HEADER_BYTES; offset < bytes.length; ) {
    const length = offset + 4 <= bytes.length ? bytes.readUInt32LE(offset) : -1;
    const end = offset + 4 + length;
    if (length < 0 || length > RECORD_BYTES_MAX || end > bytes.length)
      throw new GradmeshError("ERR_LEDGER", `the export ${path} is cut short or damaged at byte ${offset}`);
    yield bytes.subarray(offset + 4, end);
    offset = end;
  }
}

/** A binary export, to be audited. @throws ERR_LEDGER where it is cut short or holds what is no record. */
export function readExport(path: string): AuditSource {
  const bytes = readFileSync(path);
  if (bytes.length < HEADER_BYTES)
    throw new GradmeshError("ERR_LEDGER", `the export ${path} has ${bytes.length} bytes: it is cut short`);
  const all = [...frames(path, bytes)];
  const records = all.filter(({ length }) => length !== HEAD_BYTES);
  const heads: Head[] = all.filter(({ length }) => length === HEAD_BYTES).map(decodeHead);
  return {
    ledgerId: bytes.toString("hex", MAGIC.length, HEADER_BYTES),
    *pages(from, to = records.length) {
      const end = Math.min(to, records.length);
      for (let at = from; at < end; at += PAGE_RECORDS)
        yield records.slice(at, Math.min(at + PAGE_RECORDS, end));
    },
    heads: () => heads,
    head: (count) => (count === undefined ? heads.at(-1) : heads.find((head) => head.count === count)),
    integrity: () => "ok",
  };
}
