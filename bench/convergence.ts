/** `bench convergence`: every strategy at equal tokens on the GPT, loss beside bytes, and the experiments on the outcomes. */
import { mkdir, writeFile } from "node:fs/promises";
import { cpus } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { GradmeshError } from "../lib/base/errors.js";
import { type ArmPlan, planArms } from "../lib/gym/arms.js";
import { parseGymConfig } from "../lib/gym/config.js";
import { createGymProgress } from "../lib/gym/progress.js";
import { type GymEvent, readResults, runGym } from "../lib/gym/runner.js";
import { allArms } from "./convergence-arms.js";
import { writeDomains } from "./convergence-domains.js";
import { experiments, type Judged, judge } from "./convergence-experiments.js";
import { type Form, formOf } from "./convergence-forms.js";
import { type Outcome, outcomesOf } from "./convergence-outcomes.js";
import { convergencePlot } from "./convergence-plot.js";
import { armName, type Entry } from "./convergence-recipes.js";
import { markdownReport } from "./convergence-report.js";
import { drawPlot } from "./scale-plot.js";

const options = {
  form: { type: "string", default: "full" },
  seeds: { type: "string" },
  jobs: { type: "string", default: "2" },
  arms: { type: "string", default: "" },
  out: { type: "string" },
  results: { type: "string" },
  list: { type: "boolean", default: false },
  help: { type: "boolean", default: false },
} as const;

const help = `bench convergence [options]
  --form full|short   full: 115 k parameters, every arm, under 30 minutes on 2 cores; short: 32 k parameters, what the
                      starred experiments need, about a minute
  --seeds N           seeds of the arms that run with several; default: 3 in full, 1 in short
  --jobs N            arms at a time, each in a process of its own
  --arms A,B          only arms whose names hold one of these, as in scratch.diloco
  --out FOLDER        the gym's results folder; what is finished there is not run again. Default: runs/convergence-FORM
  --results FOLDER    where table, plot and numbers go; default: bench/results for the whole full form, else --out
  --list              prints the arms and ends
`;

/** Evaluations of an arm on its way. */
const EVALUATIONS = 5;

/** @throws ERR_CONFIG that names the option. */
function countOf(name: string, text: string, most: number): number {
  const count = Number(text);
  if (Number.isSafeInteger(count) && count >= 1 && count <= most) return count;
  throw new GradmeshError("ERR_CONFIG", `--${name} is "${text}"; allowed: 1 to ${most}`);
}

/** An arm of the gym. */
function gymArm(entry: Entry, { phases }: Form) {
  const { peers, steps, pretrainSteps, trainer } = phases[entry.phase];
  const { network = {} } = entry;
  return {
    name: armName(entry),
    peers: entry.peers ?? peers,
    steps,
    evaluateEvery: steps / EVALUATIONS,
    pretrainSteps,
    config: {
      trainer: { ...trainer, options: { ...trainer.options, ...entry.trainer } },
      strategy: entry.strategy,
      network,
    },
  };
}

/** All runs of an arm, the first seed of every arm first, since it tells most. */
export function plansOf(entries: readonly Entry[], form: Form): ArmPlan[] {
  const planned = (arms: readonly Entry[], seeds: readonly number[]) =>
    arms.length === 0
      ? []
      : planArms(parseGymConfig({ seeds, arms: arms.map((entry) => gymArm(entry, form)) }), "bench");
  const plans = form.seeds.flatMap((seed, index) =>
    planned(
      entries.filter(({ every }) => every || index === 0),
      [seed],
    ),
  );
  return plans.map((plan) => ({ ...plan, name: `${plan.arm}.seed-${plan.config.seed}` }));
}

/** What the experiments of a form read. */
export function entriesOf(form: Form, filter: readonly string[], domains: readonly string[]): Entry[] {
  const needed = new Set(experiments.flatMap(({ starred, arms }) => (starred ? arms : [])));
  return allArms(form, domains).filter((entry) => {
    const name = armName(entry);
    return (
      (!form.starredOnly || needed.has(name)) &&
      (filter.length === 0 || filter.some((part) => name.includes(part)))
    );
  });
}

interface Watcher {
  readonly event: (event: GymEvent) => void;
  readonly close: () => void;
}

/** Prints how far the arms have come: bars on a terminal, elsewhere a line for each one that ends. */
function watcher(plans: readonly ArmPlan[], failed: Map<string, string>): Watcher {
  let ended = 0;
  const losses = new Map<string, number | null>();
  const arms = new Map(plans.map(({ name, arm }) => [name, arm]));
  const bars = process.stderr.isTTY ? createGymProgress("terminal", process.stderr) : null;
  return {
    event(event) {
      bars?.event(event);
      if (event.type === "progress") losses.set(event.name, event.loss);
      if (event.type === "failed") failed.set(arms.get(event.name) ?? event.name, event.reason);
      if (event.type === "progress" || event.type === "started" || bars !== null) return;
      ended += 1;
      const how = event.type === "failed" ? `failed: ${event.reason}` : event.type;
      process.stderr.write(
        `${ended}/${plans.length} ${event.name} ${how} ${losses.get(event.name)?.toFixed(4) ?? ""}\n`,
      );
    },
    close: () => bars?.close(),
  };
}

export interface Compared {
  readonly outcomes: readonly Outcome[];
  readonly judged: readonly Judged[];
  /** Why arms did not finish, by name. */
  readonly failed: ReadonlyMap<string, string>;
}

export interface CompareOptions {
  readonly form: Form;
  /** Parts of arms' names; none: all. */
  readonly filter: readonly string[];
  readonly jobs: number;
  /** The gym's results folder. */
  readonly folder: string;
  readonly signal?: AbortSignal;
}

/** Runs the arms that are not done yet, and judges all. @throws the signal's reason; ERR_CONFIG for a folder of others. */
export async function compare({ form, filter, jobs, folder, signal }: CompareOptions): Promise<Compared> {
  const entries = entriesOf(form, filter, await writeDomains(join(folder, "domains")));
  const plans = plansOf(entries, form);
  if (plans.length === 0)
    throw new GradmeshError("ERR_CONFIG", `--arms ${filter.join()}: no arm's name holds it; see --list`);
  const failed = new Map<string, string>();
  const stop = signal === undefined ? {} : { signal };
  const { event: onEvent, close } = watcher(plans, failed);
  try {
    await runGym(plans, { folder, jobs, resume: true, onEvent, ...stop });
  } catch (error) {
    // What failed is in the report; the others are worth it.
    if (failed.size === 0 || signal?.aborted === true) throw error;
  } finally {
    close();
  }
  const results = (await readResults(plans, folder)).filter(({ state }) => state === "done");
  const outcomes = outcomesOf(entries, results);
  const wanted = form.starredOnly ? experiments.filter(({ starred }) => starred) : experiments;
  return {
    outcomes,
    judged: wanted.map((one) => judge(one, outcomes, failed, form.name === "short")),
    failed,
  };
}

async function writeResults(folder: string, facts: Parameters<typeof markdownReport>[0]): Promise<void> {
  const { form, date, outcomes, judged } = facts;
  const path = join(folder, `convergence-${form.name === "full" ? "" : "short-"}${date}`);
  const verdicts = judged.map(({ experiment: { id, title }, verdict, found }) => ({
    id,
    title,
    verdict,
    found,
  }));
  const text = await markdownReport(facts);
  await mkdir(folder, { recursive: true });
  await writeFile(`${path}.md`, `# Strategies: loss against bytes\n\n${text}`);
  await writeFile(
    `${path}.json`,
    `${JSON.stringify({ date, machine: facts.machine, outcomes, verdicts }, null, 1)}\n`,
  );
  await writeFile(
    `${path}.svg`,
    `${await drawPlot(convergencePlot(outcomes, "Loss against bytes, every strategy at equal tokens"))}\n`,
  );
  process.stdout.write(`${text}\nWritten to ${path}.md, .svg and .json.\n`);
}

/** Prints help or arms, or runs and reports. */
export async function run(args: string[]): Promise<void> {
  const { values } = parseArgs({ args, options });
  if (values.help) return void process.stdout.write(help);
  const { form: name } = values;
  if (name !== "full" && name !== "short")
    throw new GradmeshError("ERR_CONFIG", `--form is "${name}"; allowed: full, short`);
  const form = formOf(name, values.seeds === undefined ? null : countOf("seeds", values.seeds, 100));
  const filter = values.arms.split(",").filter((part) => part !== "");
  if (values.list) {
    const names = plansOf(entriesOf(form, filter, ["easy.txt", "novel.txt"]), form).map((plan) => plan.name);
    return void process.stdout.write(`${names.join("\n")}\n`);
  }
  const jobs = countOf("jobs", values.jobs, 256);
  const folder = values.out ?? join("runs", `convergence-${name}`);
  const stop = new AbortController();
  process.once("SIGINT", () =>
    stop.abort(new GradmeshError("ERR_ABORTED", "stopped; the same command goes on")),
  );
  const began = performance.now();
  const compared = await compare({ form, filter, jobs, folder, signal: stop.signal });
  const whole = name === "full" && filter.length === 0;
  await writeResults(
    values.results ?? (whole ? fileURLToPath(new URL("../../bench/results", import.meta.url)) : folder),
    {
      form,
      machine: `${cpus()[0]?.model ?? "unknown CPU"}, ${cpus().length} cores, ${jobs} arms at a time`,
      date: new Date().toISOString().slice(0, 10),
      minutes: (performance.now() - began) / 60_000,
      ...compared,
    },
  );
  const missed = compared.judged.filter(({ verdict }) => verdict === "fail");
  if (missed.length > 0) process.exitCode = 1;
  for (const { experiment, found } of missed)
    process.stderr.write(`failed: ${experiment.id} ${experiment.title}: ${found}\n`);
  for (const [arm, reason] of compared.failed) process.stderr.write(`failed: ${arm}: ${reason}\n`);
}
