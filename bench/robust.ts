/** Aggregating what 16 peers sent, one thread, by rule: time beside that of the mean, and bytes of input per second. */
import { cpus } from "node:os";
import { parseArgs } from "node:util";
import { GradmeshError } from "../lib/base/errors.js";
import { applyRule, RowGraphs } from "../lib/engine/robust-rules.js";
import { native } from "../lib/native/load.js";
import { CONTRIBUTIONS_MAX, impossible, type RobustAggregate } from "../lib/strategy/robust.js";
import { median } from "./median.js";

const plain = { kind: "robust", faulty: 0, selected: null, radius: null, iterations: 1 } as const;

interface Trial {
  readonly label: string;
  readonly aggregate: RobustAggregate;
}

/** As many faulty peers as each rule bears. */
function trialsOf(peers: number): Trial[] {
  const [half, third] = [Math.floor((peers - 1) / 2), Math.floor((peers - 3) / 2)];
  const trial = (
    label: string,
    aggregate: Partial<RobustAggregate> & Pick<RobustAggregate, "rule">,
  ): Trial => ({
    label,
    aggregate: { ...plain, ...aggregate },
  });
  return [
    trial("mean", { rule: "mean" }),
    trial("coordinate median", { rule: "median", faulty: half }),
    trial("trimmed mean", { rule: "trimmedMean", faulty: Math.floor(half / 2) }),
    trial("Krum", { rule: "krum", faulty: third }),
    trial("multi-Krum", { rule: "multiKrum", faulty: third }),
    trial("CenteredClip, 1 iteration", { rule: "centeredClip", faulty: half }),
    trial("CenteredClip, 5 iterations", { rule: "centeredClip", faulty: half, iterations: 5 }),
    trial("norm clipping", { rule: "normClip", faulty: half }),
  ];
}

const help = `bench robust [options]
  --peers N       that send, 3 to ${CONTRIBUTIONS_MAX}; default 16
  --elements N    float32 of each; default 4200000
  --runs N        of every rule; default 11
`;

/** A whole number of the command line. @throws ERR_CONFIG naming it. */
function whole(name: string, value: string, least: number, most: number): number {
  const number = Number(value);
  if (Number.isInteger(number) && number >= least && number <= most) return number;
  throw new GradmeshError(
    "ERR_CONFIG",
    `--${name} is ${value}; allowed: a whole number from ${least} to ${most}`,
  );
}

async function inputOf(peers: number, elements: number): Promise<Float32Array> {
  const x = new Float32Array(peers * elements);
  for (let peer = 0; peer < peers; peer += 1)
    await native.randomNormal(1, peer, 0, 1, x.subarray(peer * elements, (peer + 1) * elements));
  return x;
}

/** Prints a table; trials take turns, so that what else the machine does meets all of them alike. */
export async function run(args: string[]): Promise<void> {
  const { values } = parseArgs({
    args,
    options: {
      peers: { type: "string", default: "16" },
      elements: { type: "string", default: "4200000" },
      runs: { type: "string", default: "11" },
      help: { type: "boolean" },
    },
  });
  if (values.help) return void process.stdout.write(help);
  const peers = whole("peers", values.peers, 3, CONTRIBUTIONS_MAX);
  const elements = whole("elements", values.elements, 1, 100_000_000);
  const runs = whole("runs", values.runs, 1, 1000);
  const trials = trialsOf(peers).filter(({ aggregate }) => impossible(aggregate, peers) === null);
  const [x, out] = [await inputOf(peers, elements), new Float32Array(elements)];
  const graphs = new RowGraphs(peers, elements, 1);
  const seconds = trials.map((): number[] => []);
  const digests: string[] = [];
  // The first turn warms up.
  for (let turn = 0; turn <= runs; turn += 1)
    for (const [index, { aggregate }] of trials.entries()) {
      const begin = performance.now();
      await applyRule(graphs, aggregate, x, out);
      if (turn > 0) seconds[index]!.push((performance.now() - begin) / 1000);
      else digests.push(await native.digest([out]));
    }
  graphs.close();
  const { backend } = JSON.parse(native.capabilities()) as { backend?: string };
  console.log(
    `${peers} peers, ${elements} float32 each, one thread, ${cpus()[0]?.model ?? "?"}, ${backend ?? ""}`,
  );
  console.log("| rule | f | ms, median of runs | ms, best | GB/s of input | times the mean's | digest |");
  console.log("|---|--:|--:|--:|--:|--:|---|");
  const base = median(seconds[0]!);
  for (const [index, { label, aggregate }] of trials.entries()) {
    const took = median(seconds[index]!);
    const rate = (4 * peers * elements) / took / 1e9;
    console.log(
      `| ${label} | ${aggregate.faulty} | ${(1000 * took).toFixed(2)} | ${(1000 * Math.min(...seconds[index]!)).toFixed(2)} | ${rate.toFixed(2)} | ` +
        `${(took / base).toFixed(2)} | ${digests[index]!.slice(0, 16)} |`,
    );
  }
}
