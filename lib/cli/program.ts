/** The gradmesh command with all of its subcommands: one file each in commands/. */
import { Command } from "commander";
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

export function createProgram(): Command {
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
  return program;
}
