/** gradmesh strategies: what peers can exchange and when, and the keys of each in a config. */
import { Argument, Command } from "commander";
import { describeStrategies, strategies } from "../../strategy/registry.js";
import { keyRow } from "../key-row.js";

/** All strategies in a line each, or one with its keys. */
export function strategyLines(name?: string): string[] {
  const known = describeStrategies();
  const chosen = known.find((one) => one.name === name);
  if (chosen === undefined) return known.map(({ name: each, doc }) => `${each}: ${doc}`);
  return [`${chosen.name}: ${chosen.doc}`, ...chosen.keys.map(keyRow)];
}

export function strategiesCommand(): Command {
  const name = new Argument("[name]", "shows this one's keys in a config");
  return new Command("strategies")
    .description("Lists the strategies of a config's \"strategy\", or one's keys.")
    .addArgument(name.choices(Object.keys(strategies)))
    .action((chosen?: string) => {
      process.stdout.write(`${strategyLines(chosen).join("\n")}\n`);
    });
}
