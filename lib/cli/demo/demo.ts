/** The main job: a swarm of peers on loopback trains a language model, one peer is killed and comes back. */
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { plainRequest, planCost } from "../../reduce/plan.js";
import type { RunConfig } from "../../run/config.js";
import type { TimedEvent } from "../../run/events.js";
import { checkDevice } from "../../tensor/device.js";
import { createProgress, progressMode, shortPeer } from "../progress.js";
import { type PeerExit, Swarm } from "../swarm.js";
import { type DemoReport, makeReport } from "./report.js";

export interface DemoOptions {
  peers: number;
  rounds: number;
  innerSteps: number;
  data: string;
  seed: number;
  /** Of every peer's inner steps: "cpu", "cuda" or "cuda:<index>". */
  device?: string;
  folder: string;
  json: boolean;
  /** The outer step in whose all-reduce the last peer is killed, or null: nobody is. */
  killRound: number | null;
  /** It joins again once this many rounds have been committed. */
  rejoinRound: number;
  signal: AbortSignal;
}

/**
 * Steps of its all-reduce that the killed peer takes first. Coding and sending its own contribution are about 90 of the
 * 270 steps and receiving the others' about 40, so by then every peer is in the middle of the collective.
 */
const KILL_AFTER_STEPS = 150;

/** The config of the demo's run: the standard GPT, DiLoCo, int8 over `direct`. */
export function demoConfig(options: DemoOptions): RunConfigInput {
  const totalSteps = options.rounds * options.innerSteps;
  return {
    name: "demo",
    seed: options.seed,
    rounds: options.rounds,
    peersMin: options.peers,
    peersMax: options.peers,
    trainer: {
      module: "gpt",
      options: { data: options.data, totalSteps, warmupSteps: Math.min(20, Math.ceil(totalSteps / 10)) },
    },
    strategy: { name: "diloco", innerSteps: options.innerSteps },
    network: { segmentElements: 16384, silenceLimitMs: 3000 },
    checkpoint: { everyRounds: Math.max(1, Math.ceil(options.rounds / 4)), keep: 2 },
  };
}

type RunConfigInput = Partial<Omit<RunConfig, "trainer" | "strategy" | "network" | "checkpoint">> & {
  [Section in "trainer" | "strategy" | "network" | "checkpoint"]?: Partial<RunConfig[Section]>;
};

/** Starts the peers, and the victim again once enough rounds are committed after its end. */
function launchAll(swarm: Swarm, options: DemoOptions, configPath: string, kill: Kill): void {
  const own = (name: string) => [
    "--folder",
    join(options.folder, "peers", name),
    "--device",
    options.device ?? "cpu",
  ];
  let rejoined = false;
  const watch = (event: TimedEvent, ticket: string) => {
    if (event.type !== "round" || event.round < options.rejoinRound || kill.at === null || rejoined) return;
    rejoined = true;
    swarm.launch(kill.victim, ["join", ticket, ...own(kill.victim)]);
  };
  let ticket = "";
  swarm.launch("peer-0", ["run", configPath, ...own("peer-0")], (event) => {
    watch(event, ticket);
    if (event.type !== "ticket") return;
    ticket = event.ticket;
    for (let index = 1; index < options.peers; index++) {
      const name = `peer-${index}`;
      const doomed = name === kill.victim && options.killRound !== null;
      const fault = doomed ? ["--fault", `${options.killRound}:${KILL_AFTER_STEPS}:SIGKILL`] : [];
      swarm.launch(name, ["join", ticket, ...own(name), ...fault]);
    }
  });
}

/** The planned kill: of whom, and when its process ended. */
interface Kill {
  victim: string;
  at: number | null;
}

/** Bytes that one peer sends per step in fp32 data parallel. */
function dataParallelBytes(peers: number, parameters: number): number {
  const ring = { ...plainRequest, collective: "ring", codec: "fp32", segmentElements: 65_536 } as const;
  return planCost({ ...ring, ranks: peers, rank: 0, elements: parameters }).bytesSent;
}

function killedPeer(swarm: Swarm, kill: Kill, options: DemoOptions) {
  const started = swarm.events.find(
    (event) => event.type === "started" && swarm.nameOf(event.peer) === kill.victim,
  );
  if (kill.at === null || options.killRound === null || started?.type !== "started") return null;
  return { peer: started.peer, at: kill.at, round: options.killRound };
}

/**
 * Runs the demo and writes its report to `<folder>/report.json`.
 * @throws ERR_UNSUPPORTED for a device that this machine lacks; ERR_DIVERGED when the peers' states differ at the end; ERR_INTERNAL when a peer fails, with its last words.
 */
export async function runDemo(options: DemoOptions): Promise<DemoReport> {
  if (options.device !== undefined) checkDevice(options.device);
  await mkdir(options.folder, { recursive: true });
  const configPath = join(options.folder, "config.json");
  await writeFile(configPath, `${JSON.stringify(demoConfig(options), null, 2)}\n`);
  const names = new Map<string, string>();
  const progress = createProgress({
    mode: progressMode(options.json, process.stdout),
    peers: options.peers,
    nameOf: (peer) => names.get(peer) ?? shortPeer(peer),
    stream: process.stdout,
  });
  const kill: Kill = { victim: `peer-${options.peers - 1}`, at: null };
  const expected = (name: string, exit: PeerExit) => {
    const planned = options.killRound !== null && name === kill.victim && kill.at === null;
    if (!planned || exit.signal !== "SIGKILL") return false;
    kill.at = exit.at;
    return true;
  };
  const swarm = new Swarm({ progress, expected }, names);
  const startedAt = Date.now();
  try {
    launchAll(swarm, options, configPath, kill);
    await swarm.finished(options.signal);
  } finally {
    progress.close();
  }
  const parameters = swarm.events.find((event) => event.type === "started")?.parameters ?? 0;
  const saved = swarm.events.some((event) => event.type === "checkpoint");
  const report = makeReport({
    events: swarm.events,
    innerSteps: options.innerSteps,
    peers: options.peers,
    seconds: (Date.now() - startedAt) / 1000,
    dataParallelBytes: dataParallelBytes(options.peers, parameters),
    killed: killedPeer(swarm, kill, options),
    checkpoint: saved
      ? {
          path: join(options.folder, "peers"),
          resume: `npm run gradmesh -- resume ${options.folder} --rounds ${2 * options.rounds}`,
        }
      : null,
  });
  await writeFile(join(options.folder, "report.json"), `${JSON.stringify(report, null, 2)}\n`);
  return report;
}
