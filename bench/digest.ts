/** Times the digest of state beside SHA-256 of the same bytes, and beside a training step of the standard GPT. */
import { cpus } from "node:os";
import { parseArgs } from "node:util";
import { GradmeshError } from "../lib/base/errors.js";
import { native } from "../lib/native/load.js";
import { createTrainer } from "../lib/trainer/gpt.js";
import { median } from "./median.js";
import { runNative } from "./native-program.js";

const standard = {
  sizes: [12_000_000, 256_000_000],
  turns: 15,
  steps: 40,
  model: { layers: 4, width: 128, heads: 4, context: 64, batch: 16 },
};
const small = {
  sizes: [300_000],
  turns: 2,
  steps: 2,
  model: { layers: 1, width: 32, heads: 2, context: 16, batch: 2 },
};
const WARMUP_STEPS = 3;

interface Measured {
  readonly bytes: number;
  readonly hash: string;
  readonly backend: string;
  readonly threads: number;
  /** The median over turns, and the least. */
  readonly seconds: number;
  readonly best: number;
  readonly digest: string;
}

function printSpeeds(rows: readonly Measured[]): void {
  const [first] = rows;
  if (first === undefined) throw new GradmeshError("ERR_INTERNAL", "bench: bench_digest measured nothing");
  console.log("\n| bytes | hash | backend | threads | GB/s, median | GB/s, best | of SHA-256 | digest |");
  console.log("|---|---|---|---|---|---|---|---|");
  for (const row of rows) {
    const beside = rows.find(({ bytes, hash }) => bytes === row.bytes && hash !== "BLAKE3")!;
    const rate = (seconds: number) => (row.bytes / seconds / 1e9).toFixed(2);
    const cells = [row.bytes, row.hash, row.backend, row.threads, rate(row.seconds), rate(row.best)];
    cells.push(`${(beside.seconds / row.seconds).toFixed(2)} x`, row.digest.slice(0, 16));
    console.log(`| ${cells.join(" | ")} |`);
  }
  for (const bytes of new Set(rows.map((row) => row.bytes))) {
    const digests = rows
      .filter((row) => row.bytes === bytes && row.hash === "BLAKE3")
      .map((row) => row.digest);
    if (new Set(digests).size !== 1)
      throw new GradmeshError("ERR_INTERNAL", `bench: the digests of ${bytes} bytes differ: ${digests}`);
  }
}

/** Wall and CPU milliseconds of a piece of work. */
async function timed(work: () => Promise<unknown>): Promise<{ wall: number; cpu: number }> {
  const [start, before] = [performance.now(), process.cpuUsage()];
  await work();
  const { user, system } = process.cpuUsage(before);
  return { wall: performance.now() - start, cpu: (user + system) / 1000 };
}

/** A step, then the digest of parameters and inner state, in turns. */
async function measureShare(model: typeof standard.model, steps: number): Promise<void> {
  const context = { seed: 1, shard: 0, shards: 4, threads: 1 };
  const trainer = await createTrainer({ ...context, options: { ...model, learningRate: 1e-3 } });
  try {
    const state = [trainer.parameters, ...trainer.innerState.map(({ data }) => data)];
    const bytes = state.reduce((sum, { byteLength }) => sum + byteLength, 0);
    const taken: { step: number; digest: number; stepCpu: number; digestCpu: number }[] = [];
    let digest = "";
    for (let step = 0; step < WARMUP_STEPS + steps; step += 1) {
      const own = await timed(() => trainer.step({ step }));
      const hashed = await timed(async () => {
        digest = await native.digest(state);
      });
      if (step < WARMUP_STEPS) continue;
      taken.push({ step: own.wall, digest: hashed.wall, stepCpu: own.cpu, digestCpu: hashed.cpu });
    }
    const of = (pick: (time: (typeof taken)[number]) => number) => median(taken.map(pick));
    const share = (part: number) => `${(100 * part).toFixed(2)} %`;
    console.log(
      `\nA step of ${trainer.layout.elements} parameters on ${model.batch * model.context} tokens, one thread: ` +
        `${of(({ step }) => step).toFixed(2)} ms. The digest of its parameters and moments (${bytes} bytes): ` +
        `${of((time) => time.digest).toFixed(2)} ms, ${share(of((time) => time.digest / time.step))} of the step; ` +
        `in CPU time ${share(of((time) => time.digestCpu / time.stepCpu))}.`,
    );
    console.log(`digest after ${WARMUP_STEPS + steps} steps: ${digest}`);
  } finally {
    trainer.close();
  }
}

const help = `bench digest [options]
  --small    tiny sizes and few turns, for tests
`;

export async function run(args: string[]): Promise<void> {
  const options = { small: { type: "boolean" }, help: { type: "boolean" } } as const;
  const { values } = parseArgs({ args, options });
  if (values.help) return void process.stdout.write(help);
  const { sizes, turns, steps, model } = values.small ? small : standard;
  const { backend, threads } = JSON.parse(native.capabilities()) as { backend: string; threads: number };
  console.log(`digest: ${cpus()[0]?.model ?? "unknown CPU"}, ${threads} threads, ${backend}; ${turns} turns`);
  const rows: Measured[] = [];
  await runNative("bench_digest", [turns, ...sizes].map(String), (row) => rows.push(row as Measured));
  printSpeeds(rows);
  await measureShare(model, steps);
}
