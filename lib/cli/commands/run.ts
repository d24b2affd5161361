/** gradmesh run: starts a run as its first peer. */
import { Command, Option } from "commander";
import { describeConfig, loadConfig, parseConfig } from "../../run/config.js";
import { startRun } from "../../run/entry.js";
import { presets } from "../../strategy/presets.js";
import { keyRow } from "../key-row.js";
import { type PeerFlags, runPeerCommand, withPeerOptions } from "../peer-command.js";
import { strategyLines } from "./strategies.js";

/** The config's keys as a table for --help; a strategy's own are many, and shown by a command of their own. */
export function configHelp(): string {
  const rows = describeConfig().map(keyRow);
  const strategies = strategyLines().map((line) => `  ${line}`);
  return [
    "",
    "The config is a JSON file; every key has a default:",
    ...rows,
    "",
    'Strategies by their name; "gradmesh strategies <name>" shows what else is in the section of one:',
    ...strategies,
  ].join("\n");
}

export function runCommand(): Command {
  const command = new Command("run")
    .description(
      "Starts a run as its first peer and prints the ticket by which others join. Started again with the same folder after a crash, it goes on with the run.",
    )
    .argument("<config>", "the run's config, a JSON file")
    .addOption(
      new Option("--preset <name>", "this strategy, in place of the config's").choices(Object.keys(presets)),
    )
    .addHelpText("after", configHelp)
    .action(async (path: string, flags: PeerFlags & { preset?: string }) => {
      const written = await loadConfig(path);
      const { preset } = flags;
      const config = preset === undefined ? written : parseConfig({ ...written, strategy: { preset } }, path);
      await runPeerCommand(flags, flags.folder ?? `runs/${config.name}/peers/first`, (choices) =>
        startRun(config, choices),
      );
    });
  return withPeerOptions(command);
}
