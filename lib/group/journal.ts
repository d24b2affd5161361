/**
 * The coordinator's journal: an append-only list of facts in SQLite (write-ahead log, synchronous=FULL). What
 * `append` was given is on disk when it returns, so no peer ever hears of a fact that a crash could undo.
 */
import { closeSync, existsSync, openSync, readSync } from "node:fs";
import { dirname } from "node:path";
import { DatabaseSync } from "node:sqlite";
import type { ZodError, ZodType } from "zod";
import { syncFolderSync } from "../base/atomic-file.js";
import { GradmeshError } from "../base/errors.js";
import type { RunRecord } from "./record.js";
import { type Charter, charterSchema, type Fact, factSchema, foldFact, replay } from "./record.js";

/** "grad" as four bytes, in the header of every journal: other SQLite files are refused. */
const APPLICATION_ID = 0x67726164;
const JOURNAL_VERSION = 1;

export interface Journal {
  readonly charter: Charter;
  /** What a ticket must hold. The file is readable by its owner alone because of it. */
  readonly secret: string;
  /** The record that the facts add up to. */
  readonly record: RunRecord;
  /**
   * Makes the facts durable, all or none; `at` is milliseconds since 1970, for people.
   * @throws ERR_IO when the disk does not take them; ERR_INTERNAL when they contradict the record. Nothing is kept then.
   */
  append(facts: readonly Fact[], at: number): void;
  /** Every fact from the first. */
  facts(): Fact[];
  close(): void;
}

const schema = `
  CREATE TABLE run (id INTEGER PRIMARY KEY CHECK (id = 1), charter TEXT NOT NULL, secret TEXT NOT NULL) STRICT;
  CREATE TABLE fact (sequence INTEGER PRIMARY KEY, at INTEGER NOT NULL, body TEXT NOT NULL) STRICT;
`;

/**
 * A journal for a new run; the file must not exist.
 * @throws ERR_CONFIG when it exists, ERR_IO when it cannot be made, ERR_INVALID_ARGUMENT when the charter is impossible.
 */
export function createJournal(path: string, charter: Charter, secret: string): Journal {
  const checked = charterSchema.safeParse(charter);
  if (!checked.success) {
    throw new GradmeshError(
      "ERR_INVALID_ARGUMENT",
      `the charter of a run is impossible: ${issues(checked.error)}`,
    );
  }
  makeFile(path);
  const database = new DatabaseSync(path);
  try {
    // Before the log exists, so that the application id is in the file itself.
    database.exec("PRAGMA synchronous = FULL; BEGIN IMMEDIATE");
    database.exec(schema);
    database.prepare("INSERT INTO run VALUES (1, ?, ?)").run(JSON.stringify(charter), secret);
    database.exec(`PRAGMA application_id = ${APPLICATION_ID}; PRAGMA user_version = ${JOURNAL_VERSION}`);
    database.exec("COMMIT");
    configure(database);
    syncFolderSync(dirname(path));
    return new SqliteJournal(path, database);
  } catch (error) {
    database.close();
    throw ioError(path, error);
  }
}

/**
 * The journal of a run whose coordinator ended, or was killed.
 * @throws ERR_CHECKPOINT when the file is absent, foreign or torn; ERR_IO when another coordinator has it open.
 */
export function openJournal(path: string): Journal {
  if (!existsSync(path)) throw new GradmeshError("ERR_CHECKPOINT", `there is no journal ${path}`);
  checkHeader(path);
  let database: DatabaseSync | undefined;
  try {
    database = new DatabaseSync(path);
    configure(database);
    checkDatabase(path, database);
    return new SqliteJournal(path, database);
  } catch (error) {
    database?.close();
    if (error instanceof GradmeshError) throw error;
    if (sqliteCode(error) === SQLITE_BUSY) {
      throw new GradmeshError("ERR_IO", `another coordinator has the journal ${path} open; stop it first`, {
        cause: error,
      });
    }
    throw torn(path, message(error), error);
  }
}

/** Result code of SQLite for a file that another process has locked. */
const SQLITE_BUSY = 5;
/** For a disk that is full. */
const SQLITE_FULL = 13;

function sqliteCode(error: unknown): number | undefined {
  return (error as { errcode?: number }).errcode;
}

function configure(database: DatabaseSync): void {
  // Exclusive, so that two coordinators never lead one run; it also spares the shared-memory file.
  database.exec("PRAGMA locking_mode = EXCLUSIVE; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL");
  database.exec("BEGIN IMMEDIATE; COMMIT");
}

/** Reads the file's header by hand: SQLite would already write to a foreign database on opening it. */
function checkHeader(path: string): void {
  // https://www.sqlite.org/fileformat.html#the_database_header: the magic string, and the application id at 68.
  const header = Buffer.alloc(100);
  const file = openSync(path, "r");
  try {
    const length = readSync(file, header, 0, header.length, 0);
    if (length < header.length) throw torn(path, `it has ${length} bytes`);
  } finally {
    closeSync(file);
  }
  const sqlite = header.toString("latin1", 0, 16) === "SQLite format 3\0";
  if (!sqlite || header.readUInt32BE(68) !== APPLICATION_ID) throw torn(path, "it is not a gradmesh journal");
}

function checkDatabase(path: string, database: DatabaseSync): void {
  const pragma = (name: string) => Object.values(database.prepare(`PRAGMA ${name}`).get() ?? {})[0];
  const version = pragma("user_version");
  if (version !== JOURNAL_VERSION) {
    throw torn(path, `it has version ${version}, this release reads ${JOURNAL_VERSION}`);
  }
  const integrity = pragma("integrity_check");
  if (integrity !== "ok") throw torn(path, String(integrity));
}

class SqliteJournal implements Journal {
  readonly charter: Charter;
  readonly secret: string;
  #record: RunRecord;
  #sequence: number;
  #database: DatabaseSync;
  readonly #path: string;

  constructor(path: string, database: DatabaseSync) {
    this.#path = path;
    this.#database = database;
    const run = database.prepare("SELECT charter, secret FROM run").get();
    if (run === undefined) throw torn(path, "it names no run");
    this.charter = parse(path, "charter", charterSchema, run.charter);
    this.secret = String(run.secret);
    const facts = this.facts();
    this.#sequence = facts.length;
    try {
      this.#record = replay(this.charter, facts);
    } catch (error) {
      throw torn(path, message(error), error);
    }
  }

  get record(): RunRecord {
    return this.#record;
  }

  facts(): Fact[] {
    const rows = this.#database.prepare("SELECT sequence, body FROM fact ORDER BY sequence").all();
    return rows.map((row, index) => {
      if (row.sequence !== index + 1) throw torn(this.#path, `fact ${index + 1} is missing`);
      return parse(this.#path, `fact ${index + 1}`, factSchema, row.body);
    });
  }

  append(facts: readonly Fact[], at: number): void {
    if (facts.length === 0) return;
    const after = facts.reduce(foldFact, this.#record);
    try {
      this.#database.exec("BEGIN IMMEDIATE");
      const insert = this.#database.prepare("INSERT INTO fact VALUES (?, ?, ?)");
      for (const [index, fact] of facts.entries()) {
        insert.run(this.#sequence + index + 1, Math.round(at), JSON.stringify(fact));
      }
      this.#database.exec("COMMIT");
    } catch (error) {
      if (this.#database.isOpen && this.#database.isTransaction) this.#database.exec("ROLLBACK");
      throw ioError(this.#path, error);
    }
    this.#sequence += facts.length;
    this.#record = after;
  }

  close(): void {
    if (this.#database.isOpen) this.#database.close();
  }
}

/** Made by us, so that its mode is right before the secret is in it; SQLite gives its log the same mode. */
function makeFile(path: string): void {
  try {
    closeSync(openSync(path, "wx", 0o600));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw ioError(path, error);
    const cure = "resume that run, or choose another folder";
    throw new GradmeshError("ERR_CONFIG", `there is a journal ${path} already; ${cure}`, { cause: error });
  }
}

function parse<T>(path: string, what: string, type: ZodType<T>, text: unknown): T {
  let value: unknown;
  try {
    value = JSON.parse(String(text));
  } catch (error) {
    throw torn(path, `its ${what} is not JSON`, error);
  }
  const result = type.safeParse(value);
  if (!result.success) throw torn(path, `its ${what} does not fit: ${issues(result.error)}`, result.error);
  return result.data;
}

function issues(error: ZodError): string {
  return error.issues.map((issue) => `${issue.path.join(".")}: ${issue.message}`).join("; ");
}

function message(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

function torn(path: string, why: string, cause?: unknown): GradmeshError {
  const cure = "resume the run from a checkpoint";
  return new GradmeshError("ERR_CHECKPOINT", `the journal ${path} cannot be used: ${why}; ${cure}`, {
    cause,
  });
}

function ioError(path: string, cause: unknown): GradmeshError {
  if (cause instanceof GradmeshError) return cause;
  const cure = sqliteCode(cause) === SQLITE_FULL ? "; free some space and start it again in its folder" : "";
  return new GradmeshError("ERR_IO", `the journal ${path} cannot be written: ${message(cause)}${cure}`, {
    cause,
  });
}
