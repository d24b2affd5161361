/** Starts one process a rank of each library, on loopback or on the hosts of a test network. */
import { randomBytes, randomInt } from "node:crypto";
import { existsSync } from "node:fs";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { GradmeshError } from "../lib/base/errors.js";
import type { Library, RankRecord } from "./collective-trials.js";
import { runProgram } from "./native-program.js";

/** Where ranks run. */
export interface Hosts {
  readonly addresses: readonly string[];
  /** That all of them are in. */
  readonly subnet: string;
  /** The command line that runs `command` on host `host`. */
  wrap(host: number, command: readonly string[]): readonly string[];
  /** Files of the hosts' network namespaces; none on loopback. */
  readonly namespaces: readonly string[];
  close(): Promise<void>;
}

export const loopbackHosts = (ranks: number): Hosts => ({
  addresses: new Array(ranks).fill("127.0.0.1"),
  subnet: "127.0.0.0/8",
  namespaces: [],
  wrap: (_, command) => command,
  close: async () => {},
});

export interface Launch {
  readonly library: Library;
  readonly hosts: Hosts;
  /** The folder of the built programs. */
  readonly programs: string;
  /** "collective/codec/bytes/rounds" each. */
  readonly trials: readonly string[];
  readonly warmup: number;
  /** Sockets of each link of ours. */
  readonly streams: number;
  /** What a rank of ours sends at most, in Mbit/s; 0: no limit. */
  readonly paceMbit: number;
  /** A burst of so many bytes measures each link of ours first, as runs do. */
  readonly probeBytes: number;
  /** Ours succeed only when all ranks are done; other libraries never ask. */
  readonly agree: boolean;
  readonly limitSeconds: number;
  readonly kill?: boolean;
}

/** Of each library: the cmake target, and the Debian packages that it needs. */
export const programOf: Readonly<Record<Library, { target: string; packages?: string }>> = {
  gradmesh: { target: "bench_collective_peer" },
  "gradmesh encrypted": { target: "bench_collective_peer" },
  gloo: { target: "bench_gloo_peer", packages: "libgloo-dev" },
  "Open MPI": { target: "bench_mpi_peer", packages: "openmpi-bin libopenmpi-dev" },
};

/** The ports of the ranks begin here; below where the kernel takes its own from. */
const PORT_LEAST = 20_000;
const PORT_MOST = 32_000;
const SHARED_BYTES = 4096;

function rankArguments(launch: Launch, folder: string): string[] {
  const { hosts, trials, warmup, streams, paceMbit, probeBytes, agree, library, kill = false } = launch;
  const options = {
    ranks: hosts.addresses.length,
    addresses: hosts.addresses.join(),
    port: randomInt(PORT_LEAST, PORT_MOST),
    seed: randomBytes(6).readUIntBE(0, 6),
    encrypted: library === "gradmesh encrypted" ? 1 : 0,
    kill: kill ? 1 : 0,
    folder,
    warmup,
    streams,
    pace: paceMbit,
    probe: probeBytes,
    agree: agree ? 1 : 0,
  };
  const named = Object.entries(options).flatMap(([name, value]) => [`--${name}`, String(value)]);
  return [...named, ...trials.flatMap((trial) => ["--trial", trial])];
}

/** The command lines to start: a rank each, or mpirun's, which starts its ranks itself. */
function commands(launch: Launch, folder: string): (readonly string[])[] {
  const { hosts, programs, library } = launch;
  const ranks = [...hosts.addresses.keys()];
  const program = join(programs, programOf[library].target);
  const rest = rankArguments(launch, folder);
  if (library !== "Open MPI")
    return ranks.map((rank) => hosts.wrap(rank, [program, "--rank", String(rank), ...rest]));
  // mpirun reaches its ranks over this host's loopback, so they are started here and enter their namespaces.
  const mca = { btl: "tcp,self", btl_tcp_if_include: hosts.subnet };
  const settings = Object.entries(mca).flatMap(([name, value]) => ["--mca", name, value]);
  const where = hosts.namespaces.length > 0 ? ["--namespaces", hosts.namespaces.join()] : [];
  const head = ["mpirun", "--allow-run-as-root", "--oversubscribe", "--bind-to", "none", ...settings];
  return [[...head, "-np", String(ranks.length), program, ...rest, ...where]];
}

/** Runs one launch to its end; the lines that each rank wrote, as JSON. */
export async function launch(what: Launch): Promise<unknown[][]> {
  const folder = await mkdtemp(join(tmpdir(), "gradmesh-collective-"));
  const limit = AbortSignal.timeout(Math.ceil(what.limitSeconds * 1000));
  const giveUp = new AbortController();
  const signal = AbortSignal.any([limit, giveUp.signal]);
  try {
    await writeFile(join(folder, "shared"), new Uint8Array(SHARED_BYTES));
    const ended = await Promise.all(
      commands(what, folder).map(async ([command, ...args]) => {
        const result = await runProgram(command!, args, () => {}, { signal });
        // A rank that has failed leaves the others waiting. Where one is to be killed, they know.
        if (result.code !== 0 && what.kill !== true) giveUp.abort();
        return result;
      }),
    );
    const failed = ended.filter(({ code }) => code !== 0);
    if (failed.length > (what.kill === true ? 1 : 0)) {
      const why = failed.map(({ errors }) => errors).find((text) => text !== "The operation was aborted");
      const late = limit.aborted ? ` (after ${Math.round(what.limitSeconds)} s)` : "";
      throw new GradmeshError("ERR_INTERNAL", `bench: ${what.library} failed${late}: ${why ?? "ended"}`);
    }
    const ranks = [...what.hosts.addresses.keys()].map((rank) => join(folder, `rank-${rank}`));
    const files = await Promise.all(
      ranks.filter((path) => existsSync(path)).map((path) => readFile(path, "utf8")),
    );
    return files.map((text) =>
      text
        .trim()
        .split("\n")
        .map((line) => JSON.parse(line)),
    );
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** The records of each trial, of all ranks. */
export async function launchTrials(what: Launch): Promise<RankRecord[][]> {
  const ranks = (await launch(what)) as RankRecord[][];
  return what.trials.map((_, at) => ranks.map((records) => records[at]!));
}

/** Bytes a second of memcpy, on `threads` threads at once, from a buffer of `bytes` to another. */
export async function memcpyRate(programs: string, bytes: number, threads: number): Promise<number> {
  let rate = Number.NaN;
  const program = join(programs, programOf.gradmesh.target);
  await runProgram(program, ["--memcpy", `${bytes}/${threads}`], (line) => {
    rate = (bytes * threads) / (JSON.parse(line) as { seconds: number }).seconds;
  });
  return rate;
}

/** The congestion control of the network's first host, which all share. */
export async function congestionControl(hosts: Hosts): Promise<string> {
  let found = "unknown";
  const [command, ...args] = hosts.wrap(0, ["cat", "/proc/sys/net/ipv4/tcp_congestion_control"]);
  await runProgram(command!, args, (line) => {
    found = line.trim();
  });
  return found;
}
