/** Runs a command of the CLI within the test's process. */
import type { Command } from "commander";
import { printed } from "../printed.js";

/** What the command prints, and the error that it ends with; "" where it ends well. */
export async function runCommand(
  command: Command,
  ...args: string[]
): Promise<{ text: string; error: string }> {
  let error = "";
  const text = await printed(async () => {
    try {
      for (const each of [command, ...command.commands])
        each.exitOverride().configureOutput({ writeErr: () => {} });
      await command.parseAsync(args, { from: "user" });
    } catch (thrown) {
      error = (thrown as Error).message;
    }
  });
  return { text, error };
}
