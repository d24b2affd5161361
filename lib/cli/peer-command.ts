/** What run, join and resume have in common: their options, and a peer's life with progress on the terminal. */
import { hostname } from "node:os";
import { type Command, Option } from "commander";
import type { LoadedCheckpoint } from "../checkpoint/checkpoint.js";
import type { RunConfig } from "../run/config.js";
import type { RunEvent } from "../run/events.js";
import type { FaultPlan } from "../run/exchange.js";
import { type PeerOptions, runPeer } from "../run/peer.js";
import { faultPlan, interruptSignal, wholeNumber } from "./options.js";
import { createProgress, progressMode, shortPeer } from "./progress.js";

export interface PeerFlags {
  folder?: string;
  host?: string;
  advertiseHost?: string;
  controlPort?: number;
  bulkPort?: number;
  threads?: number;
  json?: boolean;
  fault?: FaultPlan;
}

/** Adds the options that are each peer's own. */
export function withPeerOptions(command: Command): Command {
  return command
    .option(
      "--folder <folder>",
      "key, journal and checkpoints of this peer; give it again to come back as the same peer",
    )
    .option("--host <address>", "the IP address to listen on")
    .option("--advertise-host <address>", "the address that others dial, where it differs (behind NAT)")
    .option("--control-port <n>", "libp2p port (0: any)", wholeNumber(0, 65535))
    .option("--bulk-port <n>", "port of the native bulk links (0: any)", wholeNumber(0, 65535))
    .option("--threads <n>", "threads of a training step; they change no bit", wholeNumber(1, 256))
    .option("--json", "events as JSON lines")
    .addOption(
      new Option(
        "--fault <round:steps:signal>",
        "for tests: a signal to this process in that round's all-reduce",
      )
        .argParser(faultPlan)
        .hideHelp(),
    );
}

/** A peer's own network, threads and checkpoints: the run's, with what the flags say. */
function localOptions({ flags, role }: PeerCommand, listen: PeerOptions["listen"]): PeerOptions["local"] {
  return ({ network, trainer, checkpoint }: RunConfig) => ({
    network: {
      ...network,
      host: listen.host,
      // The config's ports are those of the first peer; another may be on the same machine.
      bulkPort: flags.bulkPort ?? (role.kind === "first" ? network.bulkPort : 0),
      advertiseHost: listen.advertiseHost,
    },
    threads: flags.threads ?? trainer.threads,
    checkpoint,
  });
}

export interface PeerCommand {
  flags: PeerFlags;
  role: PeerOptions["role"];
  folder: string;
  /** Where to listen unless a flag says otherwise. */
  host: string;
  controlPort: number;
  advertiseHost: string | null;
  /** Rounds of the run for the progress bar, where they are known. */
  rounds: number;
  checkpoint: LoadedCheckpoint | null;
}

/** Runs one peer with its progress. */
export async function runPeerCommand(command: PeerCommand): Promise<void> {
  const { flags, role, folder, checkpoint } = command;
  const progress = createProgress({
    mode: progressMode(flags.json ?? false, process.stdout),
    rounds: command.rounds,
    peers: 1,
    nameOf: shortPeer,
    stream: process.stdout,
  });
  const listen = {
    host: flags.host ?? command.host,
    port: flags.controlPort ?? command.controlPort,
    advertiseHost: flags.advertiseHost ?? command.advertiseHost,
  };
  try {
    await runPeer({
      folder,
      role,
      local: localOptions(command, listen),
      listen,
      checkpoint,
      fault: flags.fault ?? null,
      emit: (event: RunEvent) => progress.event({ ...event, at: Date.now() }),
      signal: interruptSignal(),
    });
  } finally {
    progress.close();
  }
}

/** A folder of its own for a peer that was given none. */
export function defaultFolder(run: string): string {
  return `runs/${run}/peers/${hostname()}-${process.pid}`;
}
