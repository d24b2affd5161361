/** gradmesh resume: goes on from a checkpoint, as one peer or as every peer of a run on this machine. */
import { dirname } from "node:path";
import { Command } from "commander";
import { GradmeshError } from "../../base/errors.js";
import { type LoadedCheckpoint, loadCheckpoints } from "../../checkpoint/checkpoint.js";
import { parseConfig } from "../../run/config.js";
import { joinRun, startRun } from "../../run/entry.js";
import { interruptSignal, wholeNumber } from "../options.js";
import { type PeerFlags, runPeerCommand, withPeerOptions } from "../peer-command.js";
import { createProgress, progressMode, shortPeer } from "../progress.js";
import { Swarm } from "../swarm.js";

interface Flags extends PeerFlags {
  ticket?: string;
  rounds?: number;
  round?: number;
}

/** The folder of the peer that wrote the checkpoint: <peer>/checkpoints/round-000012. */
const peerFolder = (checkpoint: LoadedCheckpoint) => dirname(dirname(checkpoint.folder));

/** One peer goes on: as the first peer of a new run, or by a ticket of it. */
async function resumeOne(checkpoint: LoadedCheckpoint, flags: Flags): Promise<void> {
  const saved = parseConfig(checkpoint.manifest.config, checkpoint.folder);
  const config = { ...saved, rounds: flags.rounds ?? saved.rounds };
  if (flags.ticket === undefined && config.rounds <= checkpoint.manifest.round)
    throw new GradmeshError(
      "ERR_CONFIG",
      `the run is complete at round ${checkpoint.manifest.round}; give --rounds with a larger number to train on`,
    );
  const { ticket, round: _, rounds: __, ...own } = flags;
  await runPeerCommand(own, flags.folder ?? peerFolder(checkpoint), (choices) =>
    ticket === undefined
      ? startRun(config, { ...choices, checkpoint })
      : joinRun(ticket, { ...choices, checkpoint }),
  );
}

/** Checkpoints of one and the same round of every peer: the newest that all of them have. */
async function commonRound(
  path: string,
  found: readonly LoadedCheckpoint[],
): Promise<readonly LoadedCheckpoint[]> {
  const rounds = found.map(({ manifest }) => manifest.round);
  const round = Math.min(...rounds);
  if (rounds.every((other) => other === round)) return found;
  return (await loadCheckpoints(path, { round })).checkpoints;
}

/** Every peer goes on as a process of its own on this machine; the first one leads. */
async function resumeAll(checkpoints: readonly LoadedCheckpoint[], flags: Flags): Promise<void> {
  const names = new Map<string, string>();
  const nameOf = (folder: string) => folder.split("/").at(-1)!;
  const progress = createProgress({
    mode: progressMode(flags.json ?? false, process.stdout),
    peers: checkpoints.length,
    nameOf: (peer) => names.get(peer) ?? shortPeer(peer),
    stream: process.stdout,
  });
  const swarm = new Swarm({ progress, expected: () => false }, names);
  const args = (checkpoint: LoadedCheckpoint) => [
    "resume",
    checkpoint.folder,
    "--device",
    flags.device ?? "cpu",
  ];
  const extend = flags.rounds === undefined ? [] : ["--rounds", String(flags.rounds)];
  const [first, ...others] = checkpoints;
  try {
    swarm.launch(nameOf(peerFolder(first!)), [...args(first!), ...extend], (event) => {
      if (event.type !== "ticket") return;
      for (const other of others)
        swarm.launch(nameOf(peerFolder(other)), [...args(other), "--ticket", event.ticket]);
    });
    await swarm.finished(interruptSignal());
  } finally {
    progress.close();
  }
}

export function resumeCommand(): Command {
  const command = new Command("resume")
    .description(
      "Goes on from a checkpoint. A round's or a peer's folder resumes that peer: it leads a new run and prints its ticket, by which the others resume with --ticket. A run's folder resumes every peer in it, on this machine.",
    )
    .argument("<checkpoint>", "a round's folder, a peer's folder, or a run's folder")
    .option("--ticket <ticket>", "of the peer that leads the resumed run")
    .option("--round <n>", "take this round instead of the newest", wholeNumber(0, 2 ** 31))
    .option("--rounds <n>", "train on until this round", wholeNumber(1, 1_000_000_000))
    .action(async (path: string, flags: Flags) => {
      const wanted = flags.round === undefined ? {} : { round: flags.round };
      const { checkpoints, warnings } = await loadCheckpoints(path, wanted);
      for (const warning of warnings) process.stderr.write(`warning: ${warning}\n`);
      if (checkpoints.length === 1) await resumeOne(checkpoints[0]!, flags);
      else await resumeAll(await commonRound(path, checkpoints), flags);
    });
  return withPeerOptions(command);
}
