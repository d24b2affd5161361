/** gradmesh join: takes part in a run by its ticket. */
import { Command } from "commander";
import { parseTicket } from "../../peer/ticket.js";
import { joinRun } from "../../run/entry.js";
import { defaultFolder, type PeerFlags, runPeerCommand, withPeerOptions } from "../peer-command.js";

export function joinCommand(): Command {
  const command = new Command("join")
    .description("Joins a run by its ticket: at the next round, with the state of a live peer.")
    .argument("<ticket>", "the line that gradmesh run printed")
    .action(async (ticket: string, flags: PeerFlags) => {
      const folder = flags.folder ?? defaultFolder(parseTicket(ticket).runId.slice(0, 8));
      await runPeerCommand(flags, folder, (choices) => joinRun(ticket, choices));
    });
  return withPeerOptions(command);
}
