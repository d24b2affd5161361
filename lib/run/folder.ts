/** What a peer keeps on its disk: its key, its checkpoints, the journal of a run it leads, the ports it was given. */
import { mkdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { z } from "zod";
import { writeFileAtomic } from "../base/atomic-file.js";
import { GradmeshError } from "../base/errors.js";

const port = z.int().min(1).max(65_535);
const lastSchema = z.strictObject({
  runId: z.string(),
  controlPort: port,
  leads: z.boolean(),
  /** The run that it led has ended, and its members were told. */
  over: z.boolean().default(false),
});

/** The run this folder was last used for, so that a restarted peer comes back under the same address. */
export type LastRun = z.infer<typeof lastSchema>;

/** Result code of SQLite for a file that is locked. */
const SQLITE_BUSY = 5;

export class PeerFolder {
  #lock: DatabaseSync | null = null;

  constructor(readonly path: string) {}

  get identity(): string {
    return join(this.path, "identity.key");
  }
  get checkpoints(): string {
    return join(this.path, "checkpoints");
  }
  /** This peer's copy of a verified run's ledger. */
  ledger(runId: string): string {
    return join(this.path, `ledger-${runId}.sqlite`);
  }
  journal(runId: string): string {
    return join(this.path, `journal-${runId}.sqlite`);
  }

  /** @throws ERR_IO when it cannot be made. */
  async prepare(): Promise<void> {
    try {
      await mkdir(this.path, { recursive: true });
    } catch (cause) {
      throw new GradmeshError(
        "ERR_IO",
        `the folder ${this.path} cannot be made: ${(cause as Error).message}`,
        {
          cause,
        },
      );
    }
  }

  /**
   * Claims the folder until `release`, or until the process ends, however it ends: SQLite's lock on a file in it.
   * @throws ERR_CONFIG when another peer has it, in this process or another; ERR_IO when the lock cannot be made.
   */
  claim(): void {
    const path = join(this.path, "lock.sqlite");
    let database: DatabaseSync | undefined;
    try {
      database = new DatabaseSync(path);
      database.exec("BEGIN EXCLUSIVE");
    } catch (cause) {
      database?.close();
      if ((cause as { errcode?: number }).errcode === SQLITE_BUSY)
        throw new GradmeshError(
          "ERR_CONFIG",
          `another peer uses the folder ${this.path}; end it first, or give another --folder`,
          { cause },
        );
      throw new GradmeshError("ERR_IO", `${path} cannot be locked: ${(cause as Error).message}`, { cause });
    }
    this.#lock = database;
  }

  release(): void {
    this.#lock?.close();
    this.#lock = null;
  }

  /** Null when the folder was not used before. @throws ERR_CONFIG when peer.json is torn. */
  async last(): Promise<LastRun | null> {
    const path = join(this.path, "peer.json");
    let text: string;
    try {
      text = await readFile(path, "utf8");
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === "ENOENT") return null;
      throw error;
    }
    try {
      return lastSchema.parse(JSON.parse(text));
    } catch (cause) {
      throw new GradmeshError("ERR_CONFIG", `${path} is torn; delete it, or give another --folder`, {
        cause,
      });
    }
  }

  async remember(last: LastRun): Promise<void> {
    await writeFileAtomic(join(this.path, "peer.json"), `${JSON.stringify(last, null, 2)}\n`);
  }
}
