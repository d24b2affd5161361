/** gradmesh run: starts a run as its first peer. */
import { Command } from "commander";
import { describeConfig, loadConfig } from "../../run/config.js";
import { startRun } from "../../run/entry.js";
import { type PeerFlags, runPeerCommand, withPeerOptions } from "../peer-command.js";

/** The config's keys as a table for --help. */
export function configHelp(): string {
  const rows = describeConfig().map(
    ({ key, allowed, default: value, meaning }) =>
      `  ${key} = ${JSON.stringify(value)}\n      ${meaning}; allowed: ${allowed}`,
  );
  return `\nThe config is a JSON file; every key has a default:\n${rows.join("\n")}`;
}

export function runCommand(): Command {
  const command = new Command("run")
    .description(
      "Starts a run as its first peer and prints the ticket by which others join. Started again with the same folder after a crash, it goes on with the run.",
    )
    .argument("<config>", "the run's config, a JSON file")
    .addHelpText("after", configHelp())
    .action(async (path: string, flags: PeerFlags) => {
      const config = await loadConfig(path);
      await runPeerCommand(flags, flags.folder ?? `runs/${config.name}/peers/first`, (choices) =>
        startRun(config, choices),
      );
    });
  return withPeerOptions(command);
}
