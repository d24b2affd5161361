/** One run of real peers, a process each on the hosts of a network, and what its rounds took and sent. */
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { GradmeshError } from "../lib/base/errors.js";
import type { TimedEvent } from "../lib/run/events.js";
import type { Hosts } from "./collective-launch.js";
import { runProgram } from "./native-program.js";

const main = fileURLToPath(new URL("../lib/cli/main.js", import.meta.url));

export interface RealRun {
  readonly hosts: Hosts;
  /** The run's config but for the number of its peers, which is that of the hosts. */
  readonly config: Readonly<Record<string, unknown>>;
  readonly roundSteps: number;
  readonly limitSeconds: number;
}

/** Means over the peers and over all rounds but the first, for each inner step. */
export interface Measured {
  /** Payload and framing. */
  readonly bytes: number;
  /** Of the round as a whole; of its inner steps; of what they did not hide of its exchanges. */
  readonly seconds: number;
  readonly train: number;
  readonly sync: number;
  /** Of one inner step that a peer takes: with some strategies peers do not take all. */
  readonly ownStep: number;
  /** The run's state at the end. */
  readonly digest: string;
}

type RoundEvent = Extract<TimedEvent, { type: "round" }>;
type TrainedEvent = Extract<TimedEvent, { type: "trained" }>;

const isRound = (event: TimedEvent): event is RoundEvent & { at: number } => event.type === "round";
const isTrained = (event: TimedEvent): event is TrainedEvent & { at: number } => event.type === "trained";

function summarize(events: readonly TimedEvent[], roundSteps: number): Measured {
  const rounds = events.filter(isRound).filter(({ round }) => round > 1);
  const mean = (of: (event: RoundEvent) => number) =>
    rounds.reduce((sum, event) => sum + of(event), 0) / (rounds.length * roundSteps);
  // Those of the run's first round have number 0 here.
  const trained = events.filter(isTrained).filter(({ round, steps }) => round > 0 && steps > 0);
  const total = (of: (event: TrainedEvent) => number) => trained.reduce((sum, event) => sum + of(event), 0);
  const end = events.findLast((event) => event.type === "ended");
  if (rounds.length === 0 || end?.type !== "ended")
    throw new GradmeshError("ERR_INTERNAL", "bench: the run ended without rounds");
  return {
    bytes: mean(({ bytesSent }) => bytesSent),
    seconds: mean(({ seconds: { train, sync, apply } }) => train + sync + apply),
    train: mean(({ seconds }) => seconds.train),
    sync: mean(({ seconds }) => seconds.sync),
    ownStep: total(({ seconds }) => seconds) / total(({ steps }) => steps),
    digest: end.stateDigest,
  };
}

/** Starts the first peer, the others with its ticket, and waits for the end. @throws ERR_INTERNAL with a peer's last words. */
export async function measureRun({ hosts, config, roundSteps, limitSeconds }: RealRun): Promise<Measured> {
  const folder = await mkdtemp(join(tmpdir(), "gradmesh-step-"));
  const peers = hosts.addresses.length;
  const configPath = join(folder, "config.json");
  const giveUp = new AbortController();
  const signal = AbortSignal.any([AbortSignal.timeout(1000 * limitSeconds), giveUp.signal]);
  const events: TimedEvent[] = [];
  const running: Promise<void>[] = [];
  const start = async (host: number, args: readonly string[], onEvent: (event: TimedEvent) => void) => {
    const own = ["--folder", join(folder, `peer-${host}`), "--host", hosts.addresses[host]!, "--json"];
    const [command, ...rest] = hosts.wrap(host, [process.execPath, main, ...args, ...own]);
    const onLine = (line: string) => {
      if (line.startsWith("{")) onEvent(JSON.parse(line) as TimedEvent);
    };
    const { code, errors } = await runProgram(command!, rest, onLine, { signal });
    if (code === 0) return;
    giveUp.abort();
    throw new GradmeshError(
      "ERR_INTERNAL",
      `bench: peer ${host} ended with ${code}: ${errors || "no words"}`,
    );
  };
  try {
    await writeFile(configPath, JSON.stringify({ ...config, peersMin: peers, peersMax: peers }));
    const first = start(0, ["run", configPath], (event) => {
      events.push(event);
      if (event.type !== "ticket") return;
      for (let host = 1; host < peers; host++)
        running.push(start(host, ["join", event.ticket], (own) => events.push(own)));
    });
    await Promise.all([first, first.then(() => Promise.all(running))]);
  } finally {
    giveUp.abort();
    await Promise.allSettled(running);
    await rm(folder, { recursive: true, force: true });
  }
  return summarize(events, roundSteps);
}
