/** All-reduce over loopback and WAN links beside gloo and Open MPI, in turns; --kill: a peer dies in the middle. */
import { writeFile } from "node:fs/promises";
import { availableParallelism, cpus } from "node:os";
import { dirname } from "node:path";
import { parseArgs } from "node:util";
import { asGradmeshError, GradmeshError } from "../lib/base/errors.js";
import { networkUnavailable } from "../test/net/network.js";
import { killReport, measureKills } from "./collective-kill.js";
import {
  congestionControl,
  launchTrials,
  loopbackHosts,
  memcpyRate,
  programOf,
} from "./collective-launch.js";
import { type LinkProfile, loopback, streamsFor } from "./collective-limit.js";
import { type Network, openNetwork } from "./collective-network.js";
import { help, options, planOf, type Values } from "./collective-options.js";
import { cellReport, cellsOf, headReport, type Setting } from "./collective-report.js";
import {
  estimateSeconds,
  Gatherer,
  type Kind,
  type Library,
  type Result,
  roundsOfTurn,
} from "./collective-trials.js";
import { buildNative, runProgram } from "./native-program.js";

interface Plan {
  readonly kinds: readonly Kind[];
  readonly sizes: readonly number[];
  readonly rounds: number;
  readonly turns: number;
  /** Null: by the network. */
  readonly streams: number | null;
  readonly pacePercent: number;
  readonly probeMebibytes: number;
  readonly agree: boolean;
  readonly programs: string;
}

const progress = (text: string) => {
  if (process.stderr.isTTY) process.stderr.write(`\r\x1b[K${text}`);
};

/** In Mbit/s; a network without a rate has none. */
const paceOf = ({ bitsPerSecond }: LinkProfile, percent: number): number =>
  Number.isFinite(bitsPerSecond) ? Math.round((bitsPerSecond / 1e6) * (percent / 100)) : 0;

/**
 * One launch: a library's collective with all codecs and sizes; what failed as a sentence. Collectives have launches
 * of their own, since what congestion control has learned from one would hold for the next.
 */
async function turnOf(
  { library, collective }: Kind,
  plan: Plan,
  { profile, hosts }: Network,
  gatherer: Gatherer,
): Promise<string | undefined> {
  const ranks = hosts.addresses.length;
  let limitSeconds = 60;
  const trials = plan.sizes.flatMap((bytes) => {
    const estimate = estimateSeconds(profile, ranks, bytes);
    const rounds = roundsOfTurn(estimate, plan.rounds, plan.turns);
    return plan.kinds
      .filter((kind) => kind.library === library && kind.collective === collective)
      .map(({ codec }) => {
        limitSeconds += 20 * estimate * (rounds + 1);
        return `${collective}/${codec}/${bytes}/${rounds}`;
      });
  });
  try {
    const launch = {
      library,
      hosts,
      programs: plan.programs,
      trials,
      warmup: 1,
      streams: plan.streams ?? streamsFor(profile, collective, ranks),
      paceMbit: paceOf(profile, plan.pacePercent),
      probeBytes: profile === loopback ? 0 : plan.probeMebibytes * 2 ** 20,
      agree: plan.agree,
      limitSeconds,
    };
    for (const records of await launchTrials(launch)) gatherer.add(library, records);
    return undefined;
  } catch (error) {
    // Others may fail, and are then left out; ours may not.
    if (library.startsWith("gradmesh")) throw error;
    return `${library} ${collective}: none on ${profile.name} with ${ranks} ranks: ${asGradmeshError(error).message}`;
  }
}

/** Every library's collectives in turns on one network; each turn begins with the next. */
async function measure(plan: Plan, network: Network, missing: string[]): Promise<Result[]> {
  const { profile, hosts } = network;
  const ranks = hosts.addresses.length;
  const gatherer = new Gatherer();
  const launches = new Map(plan.kinds.map((kind) => [`${kind.library} ${kind.collective}`, kind]));
  for (let turn = 0; turn < plan.turns; turn++) {
    const order = [...launches];
    for (const [at] of order.entries()) {
      const [name, kind] = order[(at + turn) % order.length]!;
      progress(`${profile.name}, ${ranks} ranks, turn ${turn + 1} of ${plan.turns}: ${name}`);
      const failed = await turnOf(kind, plan, network, gatherer);
      if (failed === undefined) continue;
      missing.push(failed);
      launches.delete(name);
    }
  }
  progress("");
  const threads = Math.min(ranks, availableParallelism());
  const rates = new Map<number, number>();
  if (profile === loopback)
    for (const bytes of plan.sizes) rates.set(bytes, await memcpyRate(plan.programs, bytes, threads));
  const order = (result: Result) =>
    plan.sizes.indexOf(result.bytes) * 1000 +
    plan.kinds.findIndex(
      (kind) =>
        kind.library === result.library &&
        kind.collective === result.collective &&
        kind.codec === result.codec,
    );
  const results = gatherer.results(profile, ranks, (bytes) => rates.get(bytes)!);
  return results.sort((a, b) => order(a) - order(b));
}

/** The kinds whose programs there are; why the others are not goes to `missing`. */
async function buildAll(kinds: readonly Kind[], folder: string | undefined, missing: string[]) {
  const there = new Set<Library>();
  let programs = "";
  for (const library of new Set(kinds.map((kind) => kind.library))) {
    const { target, packages } = programOf[library];
    try {
      programs = dirname(await buildNative(target, folder));
      if (library === "Open MPI" && (await runProgram("mpirun", ["--version"], () => {})).code !== 0)
        throw new GradmeshError("ERR_CONFIG", "there is no mpirun");
      there.add(library);
    } catch (error) {
      if (packages === undefined) throw error;
      const why = asGradmeshError(error).message.trim().split("\n").at(-1);
      missing.push(`${library}: none, ${why} (Debian: ${packages}; then \`cmake build\` finds it)`);
    }
  }
  return { programs, kinds: kinds.filter(({ library }) => there.has(library)) };
}

async function runKills(plan: ReturnType<typeof planOf>, values: Values): Promise<string> {
  const programs = dirname(await buildNative(programOf.gradmesh.target, values.build));
  const parts: string[] = [];
  for (const bytes of plan.sizes)
    for (const ranks of plan.ranks.filter((count) => count > 2))
      for (const collective of values.collectives.split(",")) {
        const kills = await measureKills(programs, ranks, bytes, collective, plan.rounds);
        parts.push(killReport(kills, ranks, bytes, collective));
      }
  return parts.join("\n\n");
}

async function settingOf(turns: number, missing: string[], congestion?: string): Promise<Setting> {
  return {
    machine: `${cpus()[0]?.model ?? "unknown CPU"}, ${cpus().length} cores`,
    date: new Date().toISOString().slice(0, 10),
    congestionControl: congestion ?? (await congestionControl(loopbackHosts(1))),
    turns,
    missing,
  };
}

/** Prints the help, or measures and prints Markdown. */
export async function run(args: string[]): Promise<void> {
  const { values } = parseArgs({ args, options });
  if (values.help) return void process.stdout.write(help);
  const plan = planOf(values);
  const missing: string[] = [];
  const print = async (parts: readonly string[]) => {
    const text = `${parts.join("\n\n")}\n`;
    process.stdout.write(text);
    if (values.out !== undefined) await writeFile(values.out, `# Collectives\n\n${text}`);
  };
  if (values.kill) {
    const setting = await settingOf(plan.rounds, []);
    const head = `${setting.machine}, ${setting.date}, congestion control ${setting.congestionControl}.`;
    return print([head, await runKills(plan, values)]);
  }
  const built = await buildAll(plan.kinds, values.build, missing);
  const results: Result[] = [];
  for (const name of plan.profiles) {
    const reason = name === loopback.name ? undefined : networkUnavailable();
    if (reason !== undefined) missing.push(`${name}: none, ${reason}`);
    for (const ranks of reason === undefined ? plan.ranks : []) {
      const network = await openNetwork(name, ranks, values["congestion-control"]);
      try {
        results.push(...(await measure({ ...plan, ...built }, network, missing)));
      } finally {
        await network.hosts.close();
      }
    }
  }
  const setting = await settingOf(plan.turns, missing, values["congestion-control"]);
  await print([headReport(setting), ...cellsOf(results).map(cellReport)]);
  if (values.json !== undefined)
    await writeFile(values.json, `${JSON.stringify({ setting, results }, null, 1)}\n`);
}
