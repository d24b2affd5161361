/** `bench scale`: simulated seconds a sync against peers, by algorithm, on the schedules that a network runs too. */
import { writeFile } from "node:fs/promises";
import { availableParallelism } from "node:os";
import { parseArgs } from "node:util";
import { GradmeshError } from "../lib/base/errors.js";
import { markdownTable } from "./codec-report.js";
import { buildNative, runProgram } from "./native-program.js";
import { measuredReport, type Trial } from "./scale-measured.js";
import { drawPlot, type Point, plotOf } from "./scale-plot.js";

const RANKS_MOST = 1024;

const options = {
  peers: { type: "string", default: "8,16,32,64,128,256,512,1024" },
  algorithms: { type: "string", default: "ring,direct,halving_doubling,hierarchical,tree_broadcast,mix" },
  codecs: { type: "string", default: "fp32,int8_block,int4_block" },
  mib: { type: "string", default: "64" },
  mbit: { type: "string", default: "1000" },
  "round-trip-ms": { type: "string", default: "100" },
  "frame-us": { type: "string", default: "0" },
  "coding-seconds-per-gb": { type: "string", default: "0" },
  "first-window-kib": { type: "string", default: "0" },
  "window-kib": { type: "string", default: "0" },
  topology: { type: "string", default: "one_peer_exponential" },
  island: { type: "string", default: "8" },
  svg: { type: "string", default: "scale.svg" },
  measured: { type: "string" },
  help: { type: "boolean", default: false },
} as const;

const help = `bench scale [options]: simulated, no network is used
  --peers 8,16,...         up to ${RANKS_MOST}
  --algorithms A,B         collectives; those that move fp32 alone are simulated in fp32
  --codecs A,B
  --mib N                  of float32 a sync
  --mbit N                 of every peer, each way; --round-trip-ms N between any two
  --frame-us N             the sender's time for a frame; --coding-seconds-per-gb N of float32, on one thread
  --first-window-kib N     TCP's slow start: what a stream has in flight at first; --window-kib N: at most. 0: no window
  --topology NAME          mix's graph; --island N: peers in each island of hierarchical, 0.1 ms from each other
  --svg FILE               the plot
  --measured FILE          instead: what \`bench collective --json FILE\` measured, simulated, and the error
`;

/** Takes no codec but the tensor's own. */
const exactOnly = ["halving_doubling", "tree_reduce"];

type Values = ReturnType<typeof parseArgs<{ options: typeof options }>>["values"];

function numberOf(values: Values, name: "mib" | "mbit" | "round-trip-ms", least: number): number {
  const value = Number(values[name]);
  if (Number.isFinite(value) && value >= least) return value;
  throw new GradmeshError(
    "ERR_CONFIG",
    `--${name} is "${values[name]}"; allowed: a number of at least ${least}`,
  );
}

function peersOf(text: string): number[] {
  return text.split(",").map((part) => {
    const count = Number(part);
    if (Number.isSafeInteger(count) && count >= 1 && count <= RANKS_MOST) return count;
    throw new GradmeshError("ERR_CONFIG", `--peers has "${part}"; allowed: 1 to ${RANKS_MOST}`);
  });
}

/** Simulates one trial, with the model's other numbers from the options. */
function simulator(program: string, values: Values) {
  return async ({ collective, codec, ranks, bytes, megabits, delayMs }: Trial): Promise<number> => {
    const given: Record<string, string | number> = {
      ...{ collective, codec, ranks, bytes },
      mbit: megabits,
      delay: delayMs,
      "frame-us": values["frame-us"],
      coding: values["coding-seconds-per-gb"],
      "first-window": 1024 * Number(values["first-window-kib"]),
      window: 1024 * Number(values["window-kib"]),
      ...(collective === "mix" ? { topology: values.topology } : {}),
      ...(collective === "hierarchical" ? { island: values.island } : {}),
    };
    const args = Object.entries(given).flatMap(([name, value]) => [`--${name}`, String(value)]);
    let seconds = Number.NaN;
    const ran = await runProgram(program, args, (line) => {
      seconds = (JSON.parse(line) as { seconds: number }).seconds;
    });
    if (ran.code !== 0)
      throw new GradmeshError("ERR_CONFIG", `bench_scale: ${ran.errors || "it was killed"}`);
    return seconds;
  };
}

/** In the order of `items`, at most as many at a time as there are cores. */
async function eachAtATime<Item, Done>(
  items: readonly Item[],
  work: (item: Item) => Promise<Done>,
): Promise<Done[]> {
  const done = new Array<Done>(items.length);
  let next = 0;
  const worker = async () => {
    for (let at = next++; at < items.length; at = next++) done[at] = await work(items[at]!);
  };
  await Promise.all(Array.from({ length: availableParallelism() }, worker));
  return done;
}

function table(points: readonly Point[], peers: readonly number[]): string {
  const nameOf = ({ algorithm, codec }: Point) => `${algorithm} ${codec}`;
  const lines = [...new Set(points.map(nameOf))].map((name) => [
    name,
    ...peers.map((ranks) => {
      const found = points.find((point) => nameOf(point) === name && point.ranks === ranks);
      return found === undefined ? "-" : found.seconds.toPrecision(3);
    }),
  ]);
  return markdownTable(["seconds a sync", ...peers.map(String)], lines);
}

/** Prints a table of simulated seconds and draws it, or with --measured the simulation's error. */
export async function run(args: string[]): Promise<void> {
  const { values } = parseArgs({ args, options });
  if (values.help) return void process.stdout.write(help);
  const simulate = simulator(await buildNative("bench_scale"), values);
  if (values.measured !== undefined)
    return void process.stdout.write(`${await measuredReport(values.measured, simulate)}\n`);
  const peers = peersOf(values.peers);
  const mebibytes = numberOf(values, "mib", 0);
  const megabits = numberOf(values, "mbit", 0.001);
  const roundTripMs = numberOf(values, "round-trip-ms", 0);
  const trials = values.algorithms.split(",").flatMap((collective) =>
    (exactOnly.includes(collective) ? ["fp32"] : values.codecs.split(",")).flatMap((codec) =>
      peers.map((ranks) => ({
        ...{ collective, codec, ranks, megabits },
        bytes: mebibytes * 2 ** 20,
        delayMs: roundTripMs / 2,
      })),
    ),
  );
  const points = await eachAtATime(trials, async (trial): Promise<Point> => {
    const { collective, codec, ranks } = trial;
    return { algorithm: collective, codec, ranks, seconds: await simulate(trial) };
  });
  const title = `${mebibytes} MiB of float32 a sync, ${megabits} Mbit/s, ${roundTripMs} ms round trip (simulated)`;
  process.stdout.write(`${title}\n\n${table(points, peers)}\n`);
  await writeFile(values.svg, `${await drawPlot(plotOf(points, title))}\n`);
  process.stdout.write(`\nDrawn in ${values.svg}.\n`);
}
