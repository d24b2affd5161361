/** Times a training step of the standard GPT on one thread, beside PyTorch's step of the same model, taken in turns. */
import { type ChildProcessWithoutNullStreams, spawn } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { cpus, tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { GradmeshError } from "../lib/base/errors.js";
import { native } from "../lib/native/load.js";
import { createTrainer } from "../lib/trainer/gpt.js";
import type { GraphTrainer } from "../lib/trainer/graph-trainer.js";
import { optimizerSettings } from "../lib/trainer/optimizer.js";
import { median } from "./median.js";

const python = "/usr/bin/python3";
const script = fileURLToPath(new URL("../../bench/step_torch.py", import.meta.url));
/** Steps before the clock counts: caches warm, memory mapped, PyTorch's optimizer state made. */
const WARMUP_STEPS = 3;
const LEARNING_RATE = 1e-3;

const standard = { layers: 4, width: 128, heads: 4, context: 64, batch: 16 };
const small = { layers: 1, width: 32, heads: 2, context: 16, batch: 2 };

/** Milliseconds of one step: by the clock, and of CPU time, which what else the machine does hardly changes. */
interface StepTime {
  readonly wall: number;
  readonly cpu: number;
}

/** PyTorch in a process of its own, which takes a step for each line written to it. */
class TorchStepper {
  readonly blas: string;
  readonly version: string;
  readonly #child: ChildProcessWithoutNullStreams;
  readonly #lines: AsyncIterator<string>;

  private constructor(
    child: ChildProcessWithoutNullStreams,
    lines: AsyncIterator<string>,
    ready: readonly string[],
  ) {
    this.#child = child;
    this.#lines = lines;
    [this.version, this.blas] = [ready[1] ?? "?", ready[2] ?? "unknown"];
  }

  /** Undefined, with the reason printed, where PyTorch cannot be had. */
  static async start(casePath: string, blasFolder: string | undefined): Promise<TorchStepper | undefined> {
    const libraries = blasFolder === undefined ? {} : { LD_LIBRARY_PATH: blasFolder };
    const threads = { OMP_NUM_THREADS: "1", OPENBLAS_NUM_THREADS: "1", PYTHONDONTWRITEBYTECODE: "1" };
    const child = spawn(python, [script, casePath], { env: { ...process.env, ...threads, ...libraries } });
    let errors = "";
    const keep = (what: Error | Buffer) => {
      errors += what instanceof Error ? what.message : what.toString();
    };
    child.on("error", keep);
    child.stdin.on("error", keep);
    child.stderr.on("data", keep);
    const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
    const first = await lines.next();
    const ready = first.done ? [] : first.value.split(" ");
    if (ready[0] === "ready") return new TorchStepper(child, lines, ready);
    console.log(`PyTorch: none, because ${python} said: ${errors.trim().split("\n").at(-1) || "nothing"}`);
    return undefined;
  }

  /** One step, as PyTorch's own process measures it. */
  async step(): Promise<StepTime> {
    this.#child.stdin.write("step\n");
    const line = await this.#lines.next();
    if (line.done) throw new GradmeshError("ERR_INTERNAL", "bench: PyTorch's process ended in the middle");
    const [wall, cpu] = line.value.split(" ").map((seconds) => Number(seconds) * 1000);
    return { wall: wall!, cpu: cpu! };
  }

  stop(): void {
    this.#child.stdin.end();
  }
}

async function timedStep(trainer: GraphTrainer, step: number): Promise<StepTime> {
  const [start, before] = [performance.now(), process.cpuUsage()];
  await trainer.step({ step });
  const { user, system } = process.cpuUsage(before);
  return { wall: performance.now() - start, cpu: (user + system) / 1000 };
}

async function writeCase(path: string, trainer: GraphTrainer, shape: typeof standard): Promise<void> {
  const rows = shape.batch * shape.context;
  const vocabulary = trainer.layout.slot("token.table").shape[0]!;
  const tokens = Array.from({ length: rows }, (_, row) => (row * 7) % vocabulary);
  const targets = tokens.map((token) => (token + 1) % vocabulary);
  const settings = optimizerSettings({ optimizer: "adamw", weightDecay: 0.1, clip: 1 });
  const { slots } = trainer.layout;
  const facts = {
    shape: { ...shape, vocabulary },
    slots,
    settings,
    tokens,
    targets,
    learningRate: LEARNING_RATE,
  };
  await writeFile(path, JSON.stringify(facts));
}

function printProfile(trainer: GraphTrainer, steps: number): void {
  const rows = Object.entries(trainer.profile()).filter(([, { runs }]) => runs > 0);
  const total = rows.reduce((sum, [, { nanoseconds }]) => sum + nanoseconds, 0);
  console.log("operator                  ms/step   share");
  for (const [name, { nanoseconds }] of rows.toSorted((a, b) => b[1].nanoseconds - a[1].nanoseconds)) {
    const milliseconds = (nanoseconds / 1e6 / steps).toFixed(2).padStart(9);
    console.log(`${name.padEnd(24)}${milliseconds}${((100 * nanoseconds) / total).toFixed(1).padStart(7)}%`);
  }
}

/** Steps of both in turns: what else the machine does meets both alike. */
async function alternate(trainer: GraphTrainer, torch: TorchStepper | undefined, rounds: number) {
  const [ours, theirs]: [StepTime[], StepTime[]] = [[], []];
  for (let step = 0; step < WARMUP_STEPS + rounds; step++) {
    const own = await timedStep(trainer, step);
    const other = await torch?.step();
    if (step < WARMUP_STEPS) continue;
    ours.push(own);
    if (other !== undefined) theirs.push(other);
  }
  return { ours, theirs };
}

function report(
  ours: readonly StepTime[],
  theirs: readonly StepTime[],
  torch: TorchStepper | undefined,
): void {
  const summary = (times: readonly StepTime[]) => {
    const walls = times.map(({ wall }) => wall);
    const cpu = median(times.map((time) => time.cpu)).toFixed(2);
    return `${median(walls).toFixed(2)} ms median, ${Math.min(...walls).toFixed(2)} ms best of ${walls.length}; CPU ${cpu} ms median`;
  };
  console.log(`gradmesh: ${summary(ours)}`);
  if (torch === undefined) return;
  console.log(`PyTorch ${torch.version}: ${summary(theirs)}; BLAS ${torch.blas}`);
  const ratio = (of: (time: StepTime) => number) =>
    median(ours.map((own, round) => of(own) / of(theirs[round]!))).toFixed(3);
  console.log(
    `ratio gradmesh / PyTorch: ${ratio(({ wall }) => wall)} by the clock, ${ratio(({ cpu }) => cpu)} in CPU time`,
  );
  console.log("  (medians over rounds; below 1 is faster)");
  if (/openblas|mkl|blis/i.test(torch.blas)) return;
  console.log(
    "  PyTorch runs on a plain reference BLAS here, so this ratio flatters gradmesh; install libopenblas0,",
  );
  console.log("  or name the folder of an optimized libblas.so.3 with --blas FOLDER");
}

const help = `bench step [options]
  --rounds N      steps of each that are counted; default 25, small 3
  --small         a tiny model, for tests
  --blas FOLDER   with the libblas.so.3 that PyTorch is to use
bench step --strategies [options]: steps of runs instead, by strategy and link; --strategies --help lists them
`;

/** One training step beside PyTorch's, or with --strategies the steps of real runs. */
export async function run(args: string[]): Promise<void> {
  if (args.includes("--strategies")) {
    const strategies = await import("./step-strategies.js");
    return strategies.run(args.filter((argument) => argument !== "--strategies"));
  }
  const options = {
    rounds: { type: "string" },
    small: { type: "boolean" },
    blas: { type: "string" },
    help: { type: "boolean" },
  } as const;
  const { values } = parseArgs({ args, options });
  if (values.help) return void process.stdout.write(help);
  const rounds = Number(values.rounds ?? (values.small ? 3 : 25));
  if (!Number.isSafeInteger(rounds) || rounds < 1) {
    throw new GradmeshError("ERR_CONFIG", `--rounds is ${values.rounds}; allowed: a positive integer`);
  }
  const shape = values.small ? small : standard;
  const context = { seed: 1, shard: 0, shards: 4, threads: 1 };
  const trainer = await createTrainer({ ...context, options: { ...shape, learningRate: LEARNING_RATE } });
  const folder = await mkdtemp(join(tmpdir(), "gradmesh-bench-"));
  let torch: TorchStepper | undefined;
  try {
    await writeCase(join(folder, "case.json"), trainer, shape);
    torch = await TorchStepper.start(join(folder, "case.json"), values.blas);
    const { backend } = JSON.parse(native.capabilities()) as { backend: string };
    const { layers, width, heads, batch } = shape;
    console.log(
      `step: ${trainer.layout.elements} parameters, ${layers} layers, width ${width}, ${heads} heads,`,
    );
    console.log(
      `  context ${shape.context}, batch ${batch}; one thread, ${backend}, ${cpus()[0]?.model ?? "unknown CPU"}`,
    );
    const { ours, theirs } = await alternate(trainer, torch, rounds);
    report(ours, theirs, torch);
    console.log(
      `digest of the parameters after ${rounds + WARMUP_STEPS} steps: ${await native.digest([trainer.parameters])}`,
    );
    printProfile(trainer, rounds + WARMUP_STEPS);
  } finally {
    torch?.stop();
    trainer.close();
    await rm(folder, { recursive: true, force: true });
  }
}
