/** Every command can say what it takes. */
import type { Command } from "commander";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { createProgram } from "../../lib/cli/program.js";

/** The command and all below it, by their full names. */
function commandsOf(command: Command, parents = ""): Map<string, Command> {
  const name = `${parents}${command.name()}`;
  const below = command.commands.flatMap((each) => [...commandsOf(each, `${name} `)]);
  return new Map([[name, command], ...below]);
}

test("--help of every command shows its usage, its words and its options", () => {
  const commands = commandsOf(createProgram());
  assert.ok(commands.size >= 16, [...commands.keys()].join());
  assert.ok(commands.has("gradmesh audit plan") && commands.has("gradmesh ledger verify"));
  for (const [name, command] of commands) {
    const help = command.helpInformation();
    assert.match(help, new RegExp(`^Usage: ${name}`), name);
    assert.ok(command.description().length > 10, name);
    for (const { long, description, hidden } of command.options) {
      if (hidden) continue;
      assert.ok(help.includes(long ?? ""), `${name} ${long}`);
      assert.ok(description.length > 0, `${name} ${long}`);
    }
  }
  assert.match(commands.get("gradmesh audit plan")!.helpInformation(), /--reward <units> .*\(default: 0\)/);
});

test.run();
