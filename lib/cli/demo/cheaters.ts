/** The demo of verified runs: some peers do not do their work, and are found, slashed and ejected; the others are paid. */
import { mkdir, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { replayRun } from "../../gym/audit.js";
import type { CheatPlan } from "../../run/cheat.js";
import { parseConfig } from "../../run/config.js";
import { PeerFolder } from "../../run/folder.js";
import { checkDevice } from "../../tensor/device.js";
import { createProgress, progressMode, shortPeer } from "../progress.js";
import { Swarm } from "../swarm.js";
import { type CheatersReport, makeCheatersReport } from "./cheaters-report.js";

export interface CheatersOptions {
  peers: number;
  cheaters: number;
  rounds: number;
  innerSteps: number;
  /** Share of inner steps that are checked. */
  rate: number;
  data: string;
  seed: number;
  /** Of every peer's inner steps: "cpu", "cuda" or "cuda:<index>". */
  device: string;
  folder: string;
  json: boolean;
  signal: AbortSignal;
}

/** So that rewards mature before the demo is over. */
const LOCK_MS = 2000;
/** For each phase and move; a state is waited for a quarter of it. All peers share one machine, which may be slow. */
const LIMIT_MS = 120_000;

/** The demo's GPT, DiLoCo whose contributions everybody sees, and verification. */
export function cheatersConfig({ peers, rounds, innerSteps, rate, data, seed }: CheatersOptions) {
  const totalSteps = rounds * innerSteps;
  return {
    name: "cheaters",
    seed,
    rounds,
    peersMin: peers,
    peersMax: peers,
    trainer: {
      module: "gpt",
      options: { data, totalSteps, warmupSteps: Math.min(20, Math.ceil(totalSteps / 10)) },
    },
    strategy: { name: "diloco", innerSteps, aggregate: { rule: "mean" } },
    network: { silenceLimitMs: 5000 },
    trust: { verify: true, rate, limitMs: LIMIT_MS, moveLimitMs: LIMIT_MS, lockMs: LOCK_MS },
    checkpoint: { everyRounds: 0 },
  };
}

/** Of cheaters that do not do their work. */
const workKinds = ["skip", "copy"] as const;

/** The last peers cheat, in turns of kind, each from a round of its own in the first third. */
export function cheatPlans({ peers, cheaters, rounds }: CheatersOptions): Map<string, CheatPlan> {
  return new Map(
    Array.from({ length: cheaters }, (_, index) => {
      const kind = workKinds[index % workKinds.length]!;
      const round = 1 + Math.min(index + 2, Math.max(1, Math.floor(rounds / 3)));
      return [`peer-${peers - cheaters + index}`, { kind, round }];
    }),
  );
}

/**
 * Runs it and writes its report to `<folder>/report.json`.
 * @throws ERR_UNSUPPORTED for a device that this machine lacks; ERR_INTERNAL when an honest peer fails, with its last words; as
 * makeCheatersReport.
 */
export async function runCheaters(options: CheatersOptions): Promise<CheatersReport> {
  const { folder, peers, json, innerSteps, rate, device } = options;
  checkDevice(device);
  await mkdir(folder, { recursive: true });
  const configPath = join(folder, "config.json");
  await writeFile(configPath, `${JSON.stringify(cheatersConfig(options), null, 2)}\n`);
  const names = new Map<string, string>();
  const cheats = cheatPlans(options);
  const progress = createProgress({
    mode: progressMode(json, process.stdout),
    peers,
    nameOf: (peer) => names.get(peer) ?? shortPeer(peer),
    stream: process.stdout,
  });
  // Whoever is ejected ends with the reason.
  const swarm = new Swarm({ progress, expected: (name, { code }) => cheats.has(name) && code === 1 }, names);
  const folderOf = (name: string) => join(folder, "peers", name);
  const own = (name: string) => ["--folder", folderOf(name), "--device", device];
  let runId = "";
  const startedAt = Date.now();
  try {
    swarm.launch("peer-0", ["run", configPath, ...own("peer-0")], (event) => {
      if (event.type === "started") runId = event.runId;
      if (event.type !== "ticket") return;
      for (let index = 1; index < peers; index++) {
        const name = `peer-${index}`;
        const cheat = cheats.get(name);
        const lie = cheat === undefined ? [] : ["--cheat", `${cheat.kind}:${cheat.round}`];
        swarm.launch(name, ["join", event.ticket, ...own(name), ...lie]);
      }
    });
    await swarm.finished(options.signal);
  } finally {
    progress.close();
  }
  // A folder that was used before holds the ledgers of other runs too.
  const ledgerPath = new PeerFolder(folderOf("peer-0")).ledger(runId);
  const { size } = await stat(ledgerPath);
  const seconds = (Date.now() - startedAt) / 1000;
  const config = parseConfig(cheatersConfig(options));
  const replayed = await replayRun({ ledger: ledgerPath, config, honest: true, signal: options.signal });
  const report = await makeCheatersReport(
    { events: swarm.events, names, cheats, ledgerPath, innerSteps, rate, seconds },
    size,
    replayed,
  );
  await writeFile(join(folder, "report.json"), `${JSON.stringify(report, null, 2)}\n`);
  return report;
}
