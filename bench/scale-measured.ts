/** The simulator beside the network: what `bench collective --json` measured, simulated on the same numbers. */
import { readFile } from "node:fs/promises";
import { GradmeshError } from "../lib/base/errors.js";
import { markdownTable } from "./codec-report.js";
import { isOurs, type Result } from "./collective-trials.js";
import { median } from "./median.js";

export interface Trial {
  readonly collective: string;
  readonly codec: string;
  readonly ranks: number;
  /** Of float32. */
  readonly bytes: number;
  readonly megabits: number;
  readonly delayMs: number;
}

/** Our results over links without loss: what the model says something of. */
async function readMeasured(file: string): Promise<Result[]> {
  const read = JSON.parse(await readFile(file, "utf8")) as { results?: Result[] };
  if (!Array.isArray(read.results))
    throw new GradmeshError(
      "ERR_CONFIG",
      `--measured is ${file}; allowed: what bench collective --json wrote`,
    );
  // JSON has no infinity: the rate of loopback is null there.
  return read.results.filter(
    (each) => isOurs(each) && each.profile.bitsPerSecond > 0 && each.profile.loss === 0,
  );
}

/**
 * One line a result: measured (median), simulated, and the simulation's error as a share of what was measured. The
 * model is of the data alone, so what was measured with `--agree` takes one more delay.
 */
export async function measuredReport(
  file: string,
  simulate: (trial: Trial) => Promise<number>,
): Promise<string> {
  const lines: string[][] = [];
  const errors: number[] = [];
  for (const { profile, library, collective, codec, ranks, bytes, seconds } of await readMeasured(file)) {
    const [megabits, delayMs] = [profile.bitsPerSecond / 1e6, profile.delaySeconds * 1e3];
    const simulated = await simulate({ collective, codec, ranks, bytes, megabits, delayMs });
    const measured = median(seconds);
    const error = simulated / measured - 1;
    errors.push(Math.abs(error));
    lines.push([
      profile.name,
      library,
      `${collective} ${codec}`,
      `${ranks}`,
      `${bytes / 2 ** 20} MiB`,
      measured.toFixed(3),
      simulated.toFixed(3),
      `${(100 * error).toFixed(1)} %`,
    ]);
  }
  if (lines.length === 0)
    return `Nothing in ${file} was measured with our collectives over links without loss.`;
  const heads = ["links", "library", "collective", "peers", "tensor", "measured s", "simulated s", "error"];
  const most = Math.max(...errors);
  return (
    `${markdownTable(heads, lines)}\n\n` +
    `Error of the simulation: median ${(100 * median(errors)).toFixed(1)} %, at most ${(100 * most).toFixed(1)} %.`
  );
}
