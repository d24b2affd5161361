/** gradmesh join: takes part in a run by its ticket. */
import { Command } from "commander";
import { parseTicket } from "../../peer/ticket.js";
import { defaultFolder, type PeerFlags, runPeerCommand, withPeerOptions } from "../peer-command.js";

/** Loopback suffices where the run's first peer is only on loopback; elsewhere others must reach this machine. */
export function listenHost(addresses: readonly string[]): string {
  const local = (address: string) => address.startsWith("/ip4/127.") || address.startsWith("/ip6/::1/");
  return addresses.every(local) ? "127.0.0.1" : "0.0.0.0";
}

export function joinCommand(): Command {
  const command = new Command("join")
    .description("Joins a run by its ticket: at the next round, with the state of a live peer.")
    .argument("<ticket>", "the line that gradmesh run printed")
    .action(async (ticket: string, flags: PeerFlags) => {
      const { runId, addresses } = parseTicket(ticket);
      await runPeerCommand({
        flags,
        role: { kind: "join", ticket },
        folder: flags.folder ?? defaultFolder(runId.slice(0, 8)),
        host: listenHost(addresses),
        controlPort: 0,
        advertiseHost: null,
        rounds: 0,
        checkpoint: null,
      });
    });
  return withPeerOptions(command);
}
