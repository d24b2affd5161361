/** Rounds of gossip until ranks agree to 1e-3, by graph and number of ranks, beside the figures that were published. */
import { parseArgs } from "node:util";
import { asGradmeshError, GradmeshError } from "../lib/base/errors.js";
import { describeMixing, type MixingDescription } from "../lib/reduce/topology.js";

/**
 * Rounds to 1e-3: the least t with |x_t - mean| <= 1e-3 |x_0 - mean|, root of the mean square over 16 normal starts.
 */
const GOAL = 1e-3;
const ROUNDS_MAX = 20_000;

interface Trial {
  readonly spec: string;
  readonly label: string;
  /** Published rounds by number of ranks: one simulated start each. */
  readonly published: Readonly<Record<number, string>>;
}

const trials: readonly Trial[] = [
  {
    spec: "ring",
    label: "ring",
    published: { 8: "30", 16: "113", 64: "1611", 256: "> 20000" },
  },
  { spec: "torus", label: "torus", published: { 16: "13", 64: "45", 256: "158", 1024: "535" } },
  {
    spec: "small_world",
    label: "small world k=4 p=.2",
    published: { 8: "16", 16: "46", 64: "145", 256: "183", 1024: "175" },
  },
  {
    spec: "regular",
    label: "random 4-regular",
    published: { 8: "9", 16: "18", 64: "33", 256: "36", 1024: "37" },
  },
  { spec: "hypercube", label: "hypercube", published: { 8: "10", 64: "18" } },
  {
    spec: "exponential",
    label: "static exponential",
    published: { 8: "9", 16: "12", 64: "15", 256: "17", 1024: "18" },
  },
  { spec: "equi", label: "D-EquiStatic, 4", published: {} },
  {
    spec: "pairs",
    label: "random pairs (NoLoCo)",
    published: { 8: "12", 16: "19", 64: "20", 256: "20", 1024: "20" },
  },
  { spec: "equi_pairs", label: "OU-EquiDyn", published: { 64: "19" } },
  {
    spec: "one_peer_exponential",
    label: "one-peer exponential",
    published: {
      8: "3 exact",
      16: "4 exact",
      64: "6 exact",
      256: "8 exact",
      1024: "10 exact",
      6: "14",
      10: "15",
      12: "16",
      20: "19",
      100: "25",
    },
  },
  { spec: "base", label: "Base-2", published: {} },
  { spec: "base:k=4", label: "Base-5", published: {} },
  { spec: "complete", label: "complete", published: {} },
];

function roundsText({ exact, errors, contractionRounds }: MixingDescription): string {
  const reached = errors.findIndex((error) => error <= GOAL) + 1;
  if (reached === 0) return `> ${ROUNDS_MAX}`;
  return exact && reached === contractionRounds ? `${reached} exact` : `${reached}`;
}

/** Asks for more rounds until they suffice: analysis takes time in proportion. Undefined: no graph of so many ranks. */
async function describe(spec: string, ranks: number): Promise<MixingDescription | undefined> {
  try {
    for (let rounds = 64; ; rounds = Math.min(rounds * 4, ROUNDS_MAX)) {
      const described = await describeMixing(spec, ranks, rounds);
      if (rounds === ROUNDS_MAX || described.errors.at(-1)! <= GOAL) return described;
    }
  } catch (error) {
    if (asGradmeshError(error).code !== "ERR_INVALID_ARGUMENT") throw error;
    return undefined;
  }
}

function row(cells: readonly string[]): string {
  return `| ${cells.map((cell, index) => (index === 0 ? cell.padEnd(21) : cell.padEnd(19))).join(" | ")} |`;
}

async function printTable(sizes: readonly number[], chosen: readonly Trial[]): Promise<void> {
  console.log(row(["rounds to 1e-3", ...sizes.map((ranks) => `n=${ranks}`), "messages per round"]));
  console.log(row(["---", ...sizes.map(() => "---"), "---"]));
  for (const { spec, label, published } of chosen) {
    const messages = new Set<number>();
    const cells: string[] = [];
    for (const ranks of sizes) {
      const described = await describe(spec, ranks);
      if (described === undefined) {
        cells.push("-");
        continue;
      }
      messages.add(described.messagesMax);
      cells.push(roundsText(described) + (published[ranks] === undefined ? "" : ` (${published[ranks]})`));
    }
    const [least, most] = [Math.min(...messages), Math.max(...messages)];
    console.log(row([label, ...cells, least === most ? `${least}` : `${least} to ${most}`]));
  }
}

async function printGaps(sizes: readonly number[]): Promise<void> {
  console.log(row(["spectral gap a round", ...sizes.map((ranks) => `n=${ranks}`)]));
  console.log(row(["---", ...sizes.map(() => "---")]));
  for (const { spec, label } of trials) {
    const cells: string[] = [];
    for (const ranks of sizes) cells.push((await describe(spec, ranks))?.gap.toPrecision(3) ?? "-");
    console.log(row([label, ...cells]));
  }
}

const help = `bench mixing [options]
  --ranks 8,16,...    numbers of ranks, 2 to 1024; default 8,16,64,256,1024
`;

/** No arguments is the whole table; other numbers of ranks are for a short run. */
export async function run(args: string[]): Promise<void> {
  const options = {
    ranks: { type: "string", default: "8,16,64,256,1024" },
    help: { type: "boolean" },
  } as const;
  const { values } = parseArgs({ args, options });
  if (values.help) return void process.stdout.write(help);
  const sizes = values.ranks.split(",").map(Number);
  for (const ranks of sizes)
    if (!Number.isInteger(ranks) || ranks < 2 || ranks > 1024)
      throw new GradmeshError(
        "ERR_CONFIG",
        `--ranks is ${values.ranks}; allowed: whole numbers from 2 to 1024`,
      );
  console.log(
    "Rounds until |x_t - mean| <= 1e-3 |x_0 - mean|, root of the mean square over 16 normal starts;",
  );
  console.log(
    "in parentheses the published figure, of one start and, where graphs are random, of another graph; its small",
  );
  console.log(
    "worlds fit weights of 1 / (1 + the largest degree of all), which mix more slowly than Metropolis weights.",
  );
  console.log("The last column is what one rank sends in a round at most; a message is a whole tensor.\n");
  await printTable(sizes, trials);
  console.log("\nAny number of ranks:\n");
  const anyNumber = ["one_peer_exponential", "base", "base:k=4", "pairs", "regular"];
  await printTable(
    [6, 10, 12, 20, 100],
    trials.filter(({ spec }) => anyNumber.includes(spec)),
  );
  console.log("\nMeasured, 1 - |W_p ... W_1 - J|^(1/p) over one period p (64 rounds where each is drawn):\n");
  await printGaps(sizes);
}
