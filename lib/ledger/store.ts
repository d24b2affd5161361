/**
 * A ledger's file: records and signed heads in SQLite (write-ahead log, synchronous=FULL). What `append` was given is on disk
 * when it returns, all or none. Others may read the file meanwhile.
 */
import { randomBytes } from "node:crypto";
import { closeSync, existsSync, linkSync, openSync, readSync, rmSync } from "node:fs";
import { dirname } from "node:path";
import { DatabaseSync, type StatementSync } from "node:sqlite";
import { syncFolderSync } from "../base/atomic-file.js";
import { GradmeshError } from "../base/errors.js";
import type { Hash, LedgerRecord } from "./events.js";
import type { Head } from "./head.js";
import { decodeRecord, RECORD_BYTES_MAX } from "./record.js";

/** "gled" as four bytes, in the header of every ledger: other SQLite files are refused. */
const APPLICATION_ID = 0x676c6564;
const STORE_VERSION = 1;
/** Records that are read at once. */
export const PAGE_RECORDS = 512;
/** For how long a write waits for another process to be done with the file. */
const BUSY_MS = 5000;

const schema = `
  CREATE TABLE ledger (id INTEGER PRIMARY KEY CHECK (id = 1), ledger_id BLOB NOT NULL) STRICT;
  CREATE TABLE record (seq INTEGER PRIMARY KEY, bytes BLOB NOT NULL) STRICT;
  CREATE TABLE head (count INTEGER PRIMARY KEY, hash BLOB NOT NULL, signature BLOB NOT NULL) STRICT;
`;

/** What a new file begins with. */
export interface Beginning {
  readonly ledgerId: Hash;
  readonly records: readonly Uint8Array[];
  readonly head?: Head;
}

/**
 * A new file with its first records, made elsewhere and put in its place whole, so that a crash leaves no half of one.
 * @throws ERR_CONFIG where the file exists already; ERR_IO from the system.
 */
export function createStore(path: string, beginning: Beginning): Store {
  const temporary = `${path}.tmp-${randomBytes(6).toString("hex")}`;
  try {
    const database = new DatabaseSync(temporary);
    try {
      database.exec(`PRAGMA synchronous = FULL; BEGIN; ${schema}
        PRAGMA application_id = ${APPLICATION_ID}; PRAGMA user_version = ${STORE_VERSION}; COMMIT`);
      const ledgerId = Buffer.from(beginning.ledgerId, "hex");
      database.prepare("INSERT INTO ledger VALUES (1, ?)").run(ledgerId);
      const { records, head } = beginning;
      new Store(temporary, database).append(0, records, head);
    } finally {
      if (database.isOpen) database.close();
    }
    // Unlike a rename, a link never replaces a file that is there.
    linkSync(temporary, path);
    syncFolderSync(dirname(path));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "EEXIST")
      throw new GradmeshError(
        "ERR_CONFIG",
        `there is a ledger ${path} already; open it, or choose another name`,
      );
    throw ioError(path, error);
  } finally {
    rmSync(temporary, { force: true });
  }
  return openStore(path);
}

/**
 * The ledger in a file. A reader changes nothing, may read while a sequencer or follower writes, and sees what was there when
 * it was opened.
 * @throws ERR_LEDGER where the file is absent, foreign or damaged; ERR_IO from the system.
 */
export function openStore(path: string, options: { readOnly?: boolean } = {}): Store {
  if (!existsSync(path)) throw new GradmeshError("ERR_LEDGER", `there is no ledger ${path}`);
  checkHeader(path);
  let database: DatabaseSync | undefined;
  try {
    database = new DatabaseSync(path, { readOnly: options.readOnly === true, timeout: BUSY_MS });
    database.exec(options.readOnly ? "BEGIN" : "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL");
    const version = Object.values(database.prepare("PRAGMA user_version").get() ?? {})[0];
    if (version !== STORE_VERSION)
      throw damaged(path, `it has version ${version}, this release reads ${STORE_VERSION}`);
    return new Store(path, database);
  } catch (error) {
    if (database?.isOpen) database.close();
    throw storeError(path, error);
  }
}

/** Reads the file's header by hand: SQLite would already write to a foreign database on opening it. */
function checkHeader(path: string): void {
  // https://www.sqlite.org/fileformat.html#the_database_header: the magic string, and the application id at 68.
  const header = Buffer.alloc(100);
  let length = 0;
  try {
    const file = openSync(path, "r");
    try {
      length = readSync(file, header, 0, header.length, 0);
    } finally {
      closeSync(file);
    }
  } catch (error) {
    throw ioError(path, error);
  }
  const sqlite = length === header.length && header.toString("latin1", 0, 16) === "SQLite format 3\0";
  if (!sqlite || header.readUInt32BE(68) !== APPLICATION_ID)
    throw damaged(path, "its header is not that of a gradmesh ledger");
}

export class Store {
  readonly path: string;
  readonly ledgerId: Hash;
  readonly #database: DatabaseSync;
  readonly #insertRecord: StatementSync;
  readonly #insertHead: StatementSync;
  readonly #last: StatementSync;
  readonly #page: StatementSync;

  constructor(path: string, database: DatabaseSync) {
    this.path = path;
    this.#database = database;
    this.#insertRecord = database.prepare("INSERT INTO record VALUES (?, ?)");
    this.#insertHead = database.prepare("INSERT OR IGNORE INTO head VALUES (?, ?, ?)");
    this.#last = database.prepare("SELECT seq FROM record ORDER BY seq DESC LIMIT 1");
    this.#page = database.prepare("SELECT seq, bytes FROM record WHERE seq >= ? ORDER BY seq LIMIT ?");
    const row = database.prepare("SELECT ledger_id FROM ledger WHERE id = 1").get();
    if (!(row?.ledger_id instanceof Uint8Array)) throw damaged(path, "it names no ledger");
    this.ledgerId = Buffer.from(row.ledger_id).toString("hex");
  }

  /** Records in the file, by the number of its last one. */
  get count(): number {
    return this.#guard(() => Number(this.#last.get()?.seq ?? -1) + 1);
  }

  /** The signed head of the most records, or of just so many; undefined where there is none. */
  head(count?: number): Head | undefined {
    return this.#guard(() => {
      const [where, order] =
        count === undefined ? ["", "ORDER BY count DESC LIMIT 1"] : ["WHERE count = ?", ""];
      const statement = this.#database.prepare(`SELECT count, hash, signature FROM head ${where} ${order}`);
      const row = count === undefined ? statement.get() : statement.get(count);
      return row === undefined ? undefined : rowHead(row);
    });
  }

  /** All signed heads, by count. */
  *heads(): Generator<Head> {
    const statement = this.#guard(() =>
      this.#database.prepare(
        "SELECT count, hash, signature FROM head WHERE count > ? ORDER BY count LIMIT ?",
      ),
    );
    for (let count = -1; ; ) {
      const rows = this.#guard(() => statement.all(count, PAGE_RECORDS));
      for (const row of rows) yield rowHead(row);
      if (rows.length < PAGE_RECORDS) return;
      count = Number(rows.at(-1)!.count);
    }
  }

  /**
   * The records' bytes from `from` to before `to`, a page at a time. @throws ERR_LEDGER where one is missing or unreadable.
   */
  *pages(from: number, to = Number.MAX_SAFE_INTEGER): Generator<Buffer[]> {
    for (let next = from; next < to; ) {
      const limit = Math.min(PAGE_RECORDS, to - next);
      const rows = this.#guard(() => this.#page.all(next, limit), next);
      const page: Buffer[] = [];
      for (const { seq, bytes } of rows) {
        const due = next + page.length;
        const whole = seq === due && bytes instanceof Uint8Array && bytes.length <= RECORD_BYTES_MAX;
        if (whole) page.push(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength));
        else {
          // Those before it can still be read.
          if (page.length > 0) yield page;
          throw damaged(this.path, `record ${due} is ${seq === due ? "no record" : "missing"}`);
        }
      }
      if (page.length > 0) yield page;
      if (page.length < limit) return;
      next += page.length;
    }
  }

  /** The same, decoded. @throws ERR_LEDGER */
  *records(from: number, to: number): Generator<LedgerRecord> {
    for (const page of this.pages(from, to)) for (const bytes of page) yield decodeRecord(bytes);
  }

  /** One record's bytes. @throws ERR_LEDGER where it is missing or unreadable. */
  read(seq: number): Buffer {
    const { done, value } = this.pages(seq, seq + 1).next();
    if (done) throw damaged(this.path, `record ${seq} is missing`);
    return value[0]!;
  }

  /**
   * Makes records and head durable, all or none; `from` is the number of the first of them.
   * @throws ERR_IO where the disk does not take them, or another process has appended to the file.
   */
  append(from: number, records: readonly Uint8Array[], head?: Head): void {
    try {
      this.#database.exec("BEGIN IMMEDIATE");
      const count = Number(this.#last.get()?.seq ?? -1) + 1;
      if (count !== from) {
        const cure = "two processes lead the same run; stop one, and open the ledger again";
        throw new GradmeshError(
          "ERR_IO",
          `the ledger ${this.path} has ${count} records where ${from} were left: ${cure}`,
        );
      }
      for (const [index, bytes] of records.entries()) this.#insertRecord.run(from + index, bytes);
      if (head !== undefined)
        this.#insertHead.run(head.count, Buffer.from(head.hash, "hex"), Buffer.from(head.signature, "hex"));
      this.#database.exec("COMMIT");
    } catch (error) {
      if (this.#database.isOpen && this.#database.isTransaction) this.#database.exec("ROLLBACK");
      throw ioError(this.path, error);
    }
  }

  /** What SQLite says of the file's structure: "ok", or its first complaints. */
  integrity(): string {
    return this.#guard(() => {
      const rows = this.#database.prepare("PRAGMA integrity_check(4)").all();
      return rows.map((row) => String(Object.values(row)[0])).join("; ");
    });
  }

  close(): void {
    if (this.#database.isOpen) this.#database.close();
  }

  #guard<Result>(read: () => Result, seq?: number): Result {
    try {
      return read();
    } catch (error) {
      throw storeError(this.path, error, seq);
    }
  }
}

function rowHead(row: Record<string, unknown>): Head {
  const hex = (value: unknown) => (value instanceof Uint8Array ? Buffer.from(value).toString("hex") : "");
  return { count: Number(row.count), hash: hex(row.hash), signature: hex(row.signature) };
}

/** Result codes of SQLite: the file is locked, the disk is full. */
const SQLITE_BUSY = 5;
const SQLITE_FULL = 13;

function sqliteCode(error: unknown): number | undefined {
  return (error as { errcode?: number }).errcode;
}

function message(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

export function damaged(path: string, why: string, cause?: unknown): GradmeshError {
  const cure = "restore it from a copy with its -wal file, or take it from another peer";
  return new GradmeshError("ERR_LEDGER", `the ledger ${path} is damaged: ${why}; ${cure}`, { cause });
}

function storeError(path: string, error: unknown, seq?: number): GradmeshError {
  if (error instanceof GradmeshError) return error;
  if (sqliteCode(error) === SQLITE_BUSY) return ioError(path, error);
  const where = seq === undefined ? "" : ` at record ${seq} or one of the ${PAGE_RECORDS} after it`;
  return damaged(path, `${message(error)}${where}`, error);
}

function ioError(path: string, cause: unknown): GradmeshError {
  if (cause instanceof GradmeshError) return cause;
  const cures = new Map([
    [SQLITE_BUSY, "; another process has it open, stop that first"],
    [SQLITE_FULL, "; free some space and open it again"],
  ]);
  const cure = cures.get(sqliteCode(cause) ?? 0) ?? "";
  return new GradmeshError("ERR_IO", `the ledger ${path} cannot be used: ${message(cause)}${cure}`, {
    cause,
  });
}
