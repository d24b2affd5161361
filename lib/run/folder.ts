/** What a peer keeps on its disk: its key, its checkpoints, the journal of a run it leads, the ports it was given. */
import { mkdir, readFile } from "node:fs/promises";
import { join } from "node:path";
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

/** When a process started, in clock ticks since boot (field 22 of proc(5) stat); null when it is gone. */
async function startOf(pid: string): Promise<string | null> {
  const text = await readFile(`/proc/${pid}/stat`, "utf8").catch(() => null);
  // The name before it, in parentheses, may hold anything.
  return text?.slice(text.lastIndexOf(")") + 2).split(" ")[19] ?? null;
}

export class PeerFolder {
  constructor(readonly path: string) {}

  get identity(): string {
    return join(this.path, "identity.key");
  }
  get checkpoints(): string {
    return join(this.path, "checkpoints");
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
   * Claims the folder for this process until it ends, however it ends.
   * @throws ERR_CONFIG naming the process that has it.
   */
  async claim(): Promise<void> {
    const path = join(this.path, "lock");
    const holder = await readFile(path, "utf8").catch(() => "");
    const [pid = "", startedAt = ""] = holder.trim().split(" ");
    if (Number(pid) !== process.pid && pid !== "" && (await startOf(pid)) === startedAt)
      throw new GradmeshError(
        "ERR_CONFIG",
        `process ${pid} uses the folder ${this.path}; end it first, or give another --folder`,
      );
    await writeFileAtomic(path, `${process.pid} ${await startOf(String(process.pid))}\n`);
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
