/** npm run net -- --profile 1gbit-20ms --hosts 4 -- <command>: runs a command on every host of a test network. */
import type { ChildProcess } from "node:child_process";
import { constants } from "node:os";
import { createInterface } from "node:readline";
import { parseArgs } from "node:util";
import { createNetwork, type Network, networkUnavailable } from "./network.js";
import { profiles } from "./profiles.js";

const usage = `npm run net -- [options] -- <command>

Runs the command on every host of a network, each a network namespace of this machine; needs root. In the command,
{rank} is the host's index, {address} its address, {addresses} those of all, with commas, {hosts} their number.
Lines on stdin are faults: cut 0 1, restore * *, loss 0 * 0.01, corrupt 0 1 0.001, slow 2 10, stats.

  --profile <name>     the links (default 1gbit-20ms)
  --hosts <number>     1 to 64 (default 4)
  --congestion <name>  TCP congestion control of the hosts (default: the machine's)
  --seed <number>      draws losses, jitter and damage (default 1)
  --stats              prints at the end what passed and what was dropped
  --list               the profiles
  --help               this text`;

function options() {
  return parseArgs({
    options: {
      profile: { type: "string", default: "1gbit-20ms" },
      hosts: { type: "string", default: "4" },
      congestion: { type: "string" },
      seed: { type: "string", default: "1" },
      stats: { type: "boolean", default: false },
      list: { type: "boolean", default: false },
      help: { type: "boolean", default: false },
    },
    allowPositionals: true,
  });
}

function fillIn(word: string, network: Network, rank: number): string {
  const values: Record<string, string> = {
    rank: String(rank),
    hosts: String(network.hosts.length),
    address: network.hosts[rank]!.address,
    addresses: network.hosts.map(({ address }) => address).join(","),
  };
  return word.replace(/\{(\w+)\}/g, (found, name: string) => values[name] ?? found);
}

/** Prints a child's lines behind its host's name; resolves with its exit code. */
function follow(child: ChildProcess, name: string): Promise<number> {
  for (const [source, target] of [
    [child.stdout!, process.stdout],
    [child.stderr!, process.stderr],
  ] as const)
    createInterface({ input: source }).on("line", (line) => target.write(`${name} | ${line}\n`));
  return new Promise((resolve, reject) => {
    child.once("error", reject);
    child.once("close", (code, signal) => resolve(code ?? 128 + constants.signals[signal!]));
  });
}

/** Faults typed by a person. */
function takeFaults(network: Network): void {
  createInterface({ input: process.stdin }).on("line", (line) => {
    if (line.trim() === "") return;
    network.command(line).then(
      (answer) => process.stderr.write(`ok ${answer}\n`),
      ({ message }) => process.stderr.write(`${message}\n`),
    );
  });
}

async function main(): Promise<number> {
  const { values, positionals } = options();
  if (values.list) {
    for (const [name, { doc }] of Object.entries(profiles)) console.log(`${name.padEnd(14)} ${doc}`);
    return 0;
  }
  const [command, ...args] = positionals;
  if (values.help || command === undefined) {
    console.log(usage);
    return values.help ? 0 : 2;
  }
  const reason = networkUnavailable();
  if (reason) throw new Error(`no test network: ${reason}`);
  const network = await createNetwork({
    profile: values.profile,
    hosts: Number(values.hosts),
    seed: Number(values.seed),
    ...(values.congestion ? { congestionControl: values.congestion } : {}),
  });
  takeFaults(network);
  try {
    const codes = await Promise.all(
      network.hosts.map(({ name }, rank) => {
        const filled = args.map((word) => fillIn(word, network, rank));
        return follow(network.spawn(rank, command, filled, { stdio: ["ignore", "pipe", "pipe"] }), name);
      }),
    );
    if (values.stats) console.log(JSON.stringify(await network.stats(), null, 1));
    return Math.max(...codes);
  } finally {
    await network.close();
  }
}

try {
  process.exitCode = await main();
} catch (error) {
  process.stderr.write(`error: ${(error as Error).message}\n`);
  process.exitCode = 1;
}
process.stdin.destroy();
