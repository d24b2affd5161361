/** The ways into a run for programs and for the command line: start one, join one, each also from a checkpoint. */
import type { LoadedCheckpoint } from "../checkpoint/checkpoint.js";
import { parseTicket } from "../peer/ticket.js";
import { checkDevice } from "../tensor/device.js";
import type { CheatPlan } from "./cheat.js";
import { parseConfig, type RunConfig } from "./config.js";
import type { EventSink } from "./events.js";
import type { FaultPlan } from "./fault.js";
import { type PeerResult, runPeer } from "./peer.js";

/** What a peer decides for itself; nothing here changes a bit of the result. */
export interface LocalChoices {
  /** Key, journal and checkpoints; the same folder makes a restarted peer the same peer. */
  folder: string;
  /** The IP address to listen on. Default: the config's; for a joiner loopback if the run is on loopback, else all. */
  host?: string;
  /** The address that others dial, where it differs (behind NAT). */
  advertiseHost?: string;
  /** Of libp2p, and of the bulk links; 0 picks one. Default: the config's for the first peer, 0 for a joiner. */
  controlPort?: number;
  bulkPort?: number;
  /** False behind NAT: nobody can open a connection to this peer, so it opens them. Default: the config's. */
  dialable?: boolean;
  /** Mbit/s that this peer's training traffic may take; 0: all there is. Default: the config's. */
  paceMbit?: number;
  threads?: number;
  /** Where inner steps run: "cpu" (the default), "cuda" (the first GPU) or "cuda:<index>". */
  device?: string;
  /** Goes on from it; it must be of this folder's peer. */
  checkpoint?: LoadedCheckpoint;
  /** Hears everything that happens, in order. */
  onEvent?: EventSink;
  /** Leaves the run at the next boundary; the first peer stops at once. */
  signal?: AbortSignal;
  /** For tests: a signal to this process in the middle of an all-reduce. */
  fault?: FaultPlan;
  /** For tests and the demo: work that this peer does not do. */
  cheat?: CheatPlan;
}

/** Loopback suffices where the run's first peer is only on loopback; elsewhere others must reach this machine. */
export function listenHost(addresses: readonly string[]): string {
  const local = (address: string) => address.startsWith("/ip4/127.") || address.startsWith("/ip6/::1/");
  return addresses.every(local) ? "127.0.0.1" : "0.0.0.0";
}

interface Defaults {
  host: string;
  advertiseHost: string | null;
  controlPort: number;
  bulkPort: number;
  dialable: boolean;
}

function peerOptions(choices: LocalChoices, defaults: Defaults) {
  // Before the peer takes a place in any run.
  if (choices.device !== undefined) checkDevice(choices.device);
  const listen = {
    host: choices.host ?? defaults.host,
    port: choices.controlPort ?? defaults.controlPort,
    advertiseHost: choices.advertiseHost ?? defaults.advertiseHost,
    dialable: choices.dialable ?? defaults.dialable,
  };
  return {
    folder: choices.folder,
    listen,
    local: ({ network, trainer, checkpoint }: RunConfig) => ({
      network: {
        ...network,
        host: listen.host,
        advertiseHost: listen.advertiseHost,
        bulkPort: choices.bulkPort ?? defaults.bulkPort,
        dialable: listen.dialable,
        paceMbit: choices.paceMbit ?? network.paceMbit,
      },
      threads: choices.threads ?? trainer.threads,
      device: choices.device ?? "cpu",
      checkpoint,
    }),
    checkpoint: choices.checkpoint ?? null,
    fault: choices.fault ?? null,
    cheat: choices.cheat ?? null,
    emit: choices.onEvent ?? (() => {}),
    signal: choices.signal ?? new AbortController().signal,
  };
}

/**
 * Starts a run as its first peer, which hosts the coordinator; resolves when the run has ended. In the folder of a run
 * that was cut off it goes on with that run. A "ticket" event has what others join with.
 * @param config validated whole: ERR_CONFIG lists every problem.
 * @throws ERR_UNSUPPORTED for a device that this machine lacks; else as runPeer does.
 */
export async function startRun(config: unknown, choices: LocalChoices): Promise<PeerResult> {
  const checked = parseConfig(config);
  const { host, advertiseHost, controlPort, bulkPort, dialable } = checked.network;
  const defaults = { host, advertiseHost, controlPort, bulkPort, dialable };
  return runPeer({ ...peerOptions(choices, defaults), role: { kind: "first", config: checked } });
}

/**
 * Takes part in a run by its ticket, from the next round on; resolves when the run has ended.
 * @throws ERR_INVALID_ARGUMENT for a ticket that cannot be; ERR_UNSUPPORTED for a device that this machine lacks; else
 * as runPeer does.
 */
export async function joinRun(ticket: string, choices: LocalChoices): Promise<PeerResult> {
  const { addresses } = parseTicket(ticket);
  const host = listenHost(addresses);
  const defaults = { host, advertiseHost: null, controlPort: 0, bulkPort: 0, dialable: true };
  return runPeer({ ...peerOptions(choices, defaults), role: { kind: "join", ticket } });
}
