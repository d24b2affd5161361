/** What run, join and resume have in common: their options, and a peer's life with progress on the terminal. */
import { hostname } from "node:os";
import { type Command, Option } from "commander";
import type { CheatPlan } from "../run/cheat.js";
import type { LocalChoices } from "../run/entry.js";
import type { FaultPlan } from "../run/fault.js";
import { cheatPlan, deviceName, faultPlan, interruptSignal, wholeNumber } from "./options.js";
import { createProgress, progressMode, shortPeer } from "./progress.js";

export interface PeerFlags {
  folder?: string;
  host?: string;
  advertiseHost?: string;
  controlPort?: number;
  bulkPort?: number;
  dialable?: boolean;
  paceMbit?: number;
  threads?: number;
  device?: string;
  json?: boolean;
  fault?: FaultPlan;
  cheat?: CheatPlan;
}

/** For the help of every command that trains. */
export const deviceMeaning =
  "where inner steps run: cpu, cuda (the first GPU) or cuda:<n>; it changes no bit";

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
    .option(
      "--no-dialable",
      "nobody can open connections to this peer (NAT without a forwarded port): it opens them",
    )
    .option(
      "--pace-mbit <n>",
      "Mbit/s that this peer's training traffic may take (0: all)",
      wholeNumber(0, 1_000_000),
    )
    .option("--threads <n>", "threads of a training step; they change no bit", wholeNumber(1, 256))
    .option("--device <device>", deviceMeaning, deviceName, "cpu")
    .option("--json", "events as JSON lines")
    .addOption(
      new Option(
        "--fault <round:steps:signal>",
        "for tests: a signal to this process in that round's all-reduce",
      )
        .argParser(faultPlan)
        .hideHelp(),
    )
    .addOption(
      new Option("--cheat <kind:round>", "for tests and the demo: from that round on, work that is not done")
        .argParser(cheatPlan)
        .hideHelp(),
    );
}

/**
 * Lives one peer's life with its progress.
 * @param rounds of the run for the progress bar; 0 where they are not known.
 */
export async function runPeerCommand(
  flags: PeerFlags,
  folder: string,
  live: (choices: LocalChoices) => Promise<unknown>,
): Promise<void> {
  const { json, folder: _, dialable, ...choices } = flags;
  const progress = createProgress({
    mode: progressMode(json ?? false, process.stdout),
    peers: 1,
    nameOf: shortPeer,
    stream: process.stdout,
  });
  try {
    await live({
      ...choices,
      // What is not said is the config's.
      ...(dialable === false ? { dialable } : {}),
      folder,
      onEvent: (event) => progress.event({ ...event, at: Date.now() }),
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
