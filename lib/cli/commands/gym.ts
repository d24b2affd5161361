/** gradmesh gym: training methods compared on virtual peers, in one process each, by a virtual clock. */
import { availableParallelism } from "node:os";
import { basename, extname } from "node:path";
import { Command } from "commander";
import { GradmeshError } from "../../base/errors.js";
import type { KeyWords } from "../../base/schema-words.js";
import { planArms } from "../../gym/arms.js";
import { describeGymConfig, loadGymConfig } from "../../gym/config.js";
import { exampleConfig } from "../../gym/example.js";
import { createGymProgress } from "../../gym/progress.js";
import { summaryText, writeReport } from "../../gym/report.js";
import { runGym } from "../../gym/runner.js";
import { interruptSignal, wholeNumber } from "../options.js";
import { progressMode } from "../progress.js";

interface GymFlags {
  out?: string;
  jobs: number;
  resume?: boolean;
  example?: boolean;
  json?: boolean;
}

const keyLines = (rows: readonly KeyWords[]) =>
  rows.map(
    ({ key, allowed, default: value, meaning }) =>
      `  ${key}${value === undefined ? "" : ` = ${JSON.stringify(value)}`}\n      ${meaning}; allowed: ${allowed}`,
  );

/** The keys of the gym's config for --help. */
export function gymHelp(): string {
  const { gym, arm, peer } = describeGymConfig();
  return [
    "",
    "The config is a JSON file (gradmesh gym --example prints one):",
    ...keyLines(gym),
    "",
    "An arm:",
    ...keyLines(arm),
    "",
    "A kind of peers:",
    ...keyLines(peer),
  ].join("\n");
}

async function runConfig(path: string, flags: GymFlags): Promise<void> {
  const gym = await loadGymConfig(path);
  const plans = planArms(gym, path);
  const folder = flags.out ?? `runs/gym/${basename(path, extname(path))}`;
  const json = flags.json ?? false;
  const progress = createGymProgress(progressMode(json, process.stdout), process.stdout);
  try {
    const results = await runGym(plans, {
      folder,
      jobs: flags.jobs,
      resume: flags.resume ?? false,
      onEvent: (event) => progress.event(event),
      signal: interruptSignal(),
    });
    progress.close();
    const report = await writeReport(folder, gym.name, results);
    process.stdout.write(
      json ? `${JSON.stringify({ type: "report", path: report })}\n` : summaryText(results, report),
    );
  } finally {
    progress.close();
  }
}

export function gymCommand(): Command {
  return new Command("gym")
    .description(
      "Compares training methods on virtual peers: real strategies, codecs and schedules, links and failures by a virtual clock.",
    )
    .argument("[config]", "the arms, a JSON file")
    .option("--out <folder>", "where results and report go; default: runs/gym/<config's name>")
    .option("--jobs <n>", "arms at a time", wholeNumber(1, 256), availableParallelism())
    .option("--resume", "goes on with what the folder holds: finished arms are skipped, stopped ones go on")
    .option("--example", "prints a config and ends")
    .option("--json", "events as JSON lines")
    .addHelpText("after", gymHelp())
    .action(async (path: string | undefined, flags: GymFlags) => {
      if (flags.example === true) {
        process.stdout.write(`${JSON.stringify(exampleConfig, null, 2)}\n`);
        return;
      }
      if (path === undefined)
        throw new GradmeshError("ERR_CONFIG", "gradmesh gym needs a config file; --example prints one");
      await runConfig(path, flags);
    });
}
