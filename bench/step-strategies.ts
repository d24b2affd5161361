/** `bench step --strategies`: bytes and seconds of an inner step by strategy and link, real processes, beside cost() and the gym. */
import { writeFile } from "node:fs/promises";
import { cpus } from "node:os";
import { parseArgs } from "node:util";
import { GradmeshError } from "../lib/base/errors.js";
import { formatBytes } from "../lib/base/format.js";
import { createStrategies, roundSteps } from "../lib/strategy/registry.js";
import { tinyGpt } from "../lib/trainer/gpt.js";
import { networkUnavailable } from "../test/net/network.js";
import { profileNamed, profiles } from "../test/net/profiles.js";
import { markdownTable } from "./codec-report.js";
import { loopback } from "./collective-limit.js";
import { type Network, openNetwork } from "./collective-network.js";
import { type Measured, measureRun } from "./step-peers.js";
import { type Simulated, simulateRun } from "./step-simulated.js";
import { type StepRow, stepRows } from "./step-table.js";

const options = {
  profiles: { type: "string", default: "loopback,lan,1gbit-20ms,100mbit-20ms,transatlantic" },
  peers: { type: "string", default: "4" },
  steps: { type: "string", default: "60" },
  only: { type: "string", default: "" },
  model: { type: "string", default: "standard" },
  out: { type: "string" },
  json: { type: "string" },
  help: { type: "boolean", default: false },
} as const;

const profileNames = ["loopback", ...Object.keys(profiles)];
const help = `bench step --strategies [options]
  --profiles A,B   of ${profileNames.join(", ")} (all but loopback need root)
  --peers N        processes, one a host
  --steps N        inner steps of each peer, about: whole rounds, two at least, of which the first is not counted
  --only A,B       strategies whose names hold one of these; all: ${stepRows.map(({ name }) => name).join(", ")}
  --model NAME     standard: 0.82 M parameters; tiny: 115 k; smallest: for tests
  --out FILE, --json FILE   the tables; the numbers
`;

/** As in `bench step`; every evaluation is one batch, as it is no part of a step. */
const models: Readonly<Record<string, Readonly<Record<string, number>>>> = {
  standard: { validationBatches: 1 },
  tiny: { ...tinyGpt, validationBatches: 1 },
  smallest: { layers: 1, width: 32, heads: 2, context: 16, batch: 2, validationBatches: 1 },
};

/** A run that takes longer hangs. */
const LIMIT_SECONDS = 600;
const PEERS_MAX = 16;

const fail = (message: string): never => {
  throw new GradmeshError("ERR_CONFIG", message);
};

interface Line {
  readonly profile: string;
  readonly name: string;
  readonly measured: Measured;
  readonly simulated: Simulated;
}

async function lineOf(row: StepRow, network: Network, steps: number, model: string): Promise<Line> {
  const { strategy, name } = row;
  const length = roundSteps(createStrategies(strategy));
  const rounds = Math.max(2, Math.ceil(steps / length));
  const trainerOptions = models[model]!;
  const measured = await measureRun({
    hosts: network.hosts,
    config: {
      rounds,
      strategy,
      trainer: { module: "gpt", options: trainerOptions },
      // A busy machine is not a lost peer.
      network: { silenceLimitMs: 60_000, probeShare: 0 },
      checkpoint: { everyRounds: 0 },
    },
    roundSteps: length,
    limitSeconds: LIMIT_SECONDS,
  });
  const simulated = await simulateRun({
    strategy,
    options: trainerOptions,
    peers: network.hosts.addresses.length,
    rounds,
    profile: network.profile === loopback ? null : profileNamed(network.profile.name),
    secondsPerStep: measured.ownStep,
  });
  return { profile: network.profile.name, name, measured, simulated };
}

const milliseconds = (seconds: number) => (1000 * seconds).toPrecision(3);

const heads = [
  "strategy",
  "sent a step",
  "cost()",
  "sent / cost()",
  "gym sends",
  "ms a step",
  "train",
  "sync",
  "gym: ms a step",
  "gym / measured",
] as const;

function cells({ name, measured, simulated }: Line): string[] {
  const { bytes, seconds, train, sync } = measured;
  const { cost, seconds: virtual } = simulated;
  return [
    name,
    formatBytes(bytes),
    formatBytes(cost),
    cost > 0 ? (bytes / cost).toFixed(3) : "-",
    formatBytes(simulated.bytes),
    milliseconds(seconds),
    milliseconds(train),
    milliseconds(sync),
    virtual === null ? "-" : milliseconds(virtual),
    virtual === null ? "-" : (virtual / seconds).toFixed(2),
  ];
}

const reading = `Each peer is a process that computes its inner steps, so that they share this machine's cores, and a run's first round is not
counted. Bytes are payload and framing of one peer, the mean over all; cost() is the strategy's own formula, payload alone.
"train" is the time in inner steps, "sync" what they did not hide of the exchanges, waiting for slower peers included; the
rest of a step is the commit, the digest and an evaluation. The gym's step takes as long as a peer's own was measured to, on
a link of the same profile; what processes on shared cores wait for each other, it does not know.`;

function reportOf(lines: readonly Line[], missing: readonly string[], about: string): string {
  const parts = [...Map.groupBy(lines, ({ profile }) => profile)].map(([profile, own]) => {
    const doc = profile === loopback.name ? "this machine's own network" : profileNamed(profile).doc;
    return `## ${profile}: ${doc}\n\n${markdownTable(heads, own.map(cells))}`;
  });
  return `${[about, reading, ...missing, ...parts].join("\n\n")}\n`;
}

type Values = ReturnType<typeof parseArgs<{ options: typeof options }>>["values"];

function planOf(values: Values) {
  const whole = (name: "peers" | "steps", most: number) => {
    const count = Number(values[name]);
    return Number.isSafeInteger(count) && count >= 1 && count <= most
      ? count
      : fail(`--${name} is "${values[name]}"; allowed: 1 to ${most}`);
  };
  const names = values.profiles.split(",");
  const bad = names.find((name) => !profileNames.includes(name));
  if (bad !== undefined) fail(`--profiles has "${bad}"; allowed: ${profileNames.join(", ")}`);
  if (!Object.hasOwn(models, values.model))
    fail(`--model is "${values.model}"; allowed: ${Object.keys(models).join(", ")}`);
  const only = values.only.split(",").filter((part) => part !== "");
  const rows = stepRows.filter(({ name }) => only.length === 0 || only.some((part) => name.includes(part)));
  if (rows.length === 0) fail(`--only ${values.only}: no strategy's name holds it; see --help`);
  return {
    names,
    rows,
    peers: whole("peers", PEERS_MAX),
    steps: whole("steps", 1_000_000),
    model: values.model,
  };
}

/** Prints the help, or measures and prints Markdown. */
export async function run(args: string[]): Promise<void> {
  const { values } = parseArgs({ args, options });
  if (values.help) return void process.stdout.write(help);
  const { names, rows, peers, steps, model } = planOf(values);
  const lines: Line[] = [];
  const missing: string[] = [];
  for (const profile of names) {
    const reason = profile === loopback.name ? undefined : networkUnavailable();
    if (reason !== undefined) {
      missing.push(`${profile}: none, ${reason}`);
      continue;
    }
    const network = await openNetwork(profile, peers, undefined);
    try {
      for (const row of rows) {
        const line = await lineOf(row, network, steps, model);
        process.stderr.write(`${profile} ${cells(line).join("  ")}\n`);
        lines.push(line);
      }
    } finally {
      await network.hosts.close();
    }
  }
  const date = new Date().toISOString().slice(0, 10);
  const about = `${cpus()[0]?.model ?? "unknown CPU"}, ${cpus().length} cores, ${date}; ${peers} peers, the ${model} GPT.`;
  const text = reportOf(lines, missing, about);
  process.stdout.write(text);
  if (values.out !== undefined) await writeFile(values.out, `# Bytes and seconds of a step\n\n${text}`);
  if (values.json !== undefined)
    await writeFile(values.json, `${JSON.stringify({ about, lines }, null, 1)}\n`);
}
