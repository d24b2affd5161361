#!/usr/bin/env node
/** The gradmesh command: one file per subcommand in commands/. */
import { Command } from "commander";
import { asGradmeshError } from "../base/errors.js";
import { native } from "../native/load.js";
import { auditCommand } from "./commands/audit.js";
import { demoCommand } from "./commands/demo.js";
import { doctorCommand } from "./commands/doctor.js";
import { gymCommand } from "./commands/gym.js";
import { inspectCommand } from "./commands/inspect.js";
import { joinCommand } from "./commands/join.js";
import { ledgerCommand } from "./commands/ledger.js";
import { resumeCommand } from "./commands/resume.js";
import { rewardCommand } from "./commands/reward.js";
import { runCommand } from "./commands/run.js";
import { strategiesCommand } from "./commands/strategies.js";

const program = new Command("gradmesh")
  .description("Trains one neural network on machines that share neither a datacenter nor trust.")
  .version(native.version())
  .showHelpAfterError("(add --help for what is allowed)");
for (const command of [
  demoCommand,
  runCommand,
  joinCommand,
  resumeCommand,
  gymCommand,
  strategiesCommand,
  doctorCommand,
  inspectCommand,
  ledgerCommand,
  rewardCommand,
  auditCommand,
])
  program.addCommand(command());

/** A reader such as head takes what it wants and goes: then nothing is left to say, and nobody to say it to. */
process.stdout.on("error", (error: NodeJS.ErrnoException) => {
  // As a shell calls the end by SIGPIPE.
  if (error.code === "EPIPE") process.exit(141);
  throw error;
});

try {
  await program.parseAsync();
} catch (error) {
  const { code, message } = asGradmeshError(error);
  process.stderr.write(`error ${code}: ${message}\n`);
  // As a shell calls the end by an interrupt.
  process.exitCode = code === "ERR_ABORTED" ? 130 : 1;
}
