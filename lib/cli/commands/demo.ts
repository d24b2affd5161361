/** gradmesh demo: the main job end to end, with its report. */
import { Command } from "commander";
import { formatBytes, formatSeconds } from "../../base/format.js";
import { runDemo } from "../demo/demo.js";
import type { DemoReport } from "../demo/report.js";
import { deviceName, interruptSignal, wholeNumber } from "../options.js";
import { deviceMeaning } from "../peer-command.js";

interface Flags {
  peers: number;
  rounds: number;
  innerSteps: number;
  data: string;
  seed: number;
  device: string;
  folder?: string;
  json?: boolean;
  kill: boolean;
}

const percent = (share: number) => `${(100 * share).toFixed(1)} %`;

/** The report as lines for a person. */
export function reportLines(report: DemoReport, reportPath: string): string[] {
  const { bytesPerInnerStep: bytes, validationLoss: loss, kill } = report;
  const digests = Object.values(report.stateDigests);
  const lines = [
    "",
    `${report.peers} peers, ${report.parameters} parameters, ${report.rounds} rounds of ${report.innerSteps} inner steps in ${formatSeconds(report.seconds)}`,
    `validation loss   ${loss.start.toFixed(4)} -> ${loss.end.toFixed(4)}`,
    `state digests     ${digests.length} of ${digests.length} equal: ${digests[0]}`,
    `bytes sent        ${formatBytes(bytes.sent)} per peer and inner step; fp32 data parallel: ${formatBytes(bytes.dataParallelFp32)}; ${bytes.reduction.toFixed(1)} times fewer`,
    `time in sync      ${percent(report.syncShare)}`,
  ];
  if (kill !== null) {
    lines.push(
      `the kill          round ${kill.round}: seen ${kill.detectionSeconds > 0 ? `after ${formatSeconds(kill.detectionSeconds)}` : "at once"}, the survivors' commit after ${formatSeconds(kill.recoverySeconds)}; ` +
        `${formatBytes(kill.bytesRetried)} sent again, ${kill.innerStepsLost} inner steps lost`,
    );
    if (kill.rejoinedRound === null)
      lines.push("the return        too late: the run was over; give it more --rounds");
    if (kill.rejoinedRound !== null && kill.catchUpSeconds !== null)
      lines.push(
        `the return        contributes again in round ${kill.rejoinedRound}, caught up in ${formatSeconds(kill.catchUpSeconds)}`,
      );
  }
  if (report.checkpoint !== null)
    lines.push(
      `checkpoint        ${report.checkpoint.path}`,
      `resume with       ${report.checkpoint.resume}`,
    );
  lines.push(`report            ${reportPath}`);
  return lines;
}

/** The round in which a peer is killed: a quarter of the way, and where it comes back: at half. */
const killRounds = (rounds: number) => ({
  killRound: Math.max(1, Math.floor(rounds / 4)),
  rejoinRound: Math.max(2, Math.floor(rounds / 2)),
});

export function demoCommand(): Command {
  return new Command("demo")
    .description(
      "Trains a small GPT with several peers on this machine, kills one in the middle of an all-reduce, lets it come back, and checks that all end with the same bits.",
    )
    .option("--peers <n>", "peer processes", wholeNumber(2, 16), 4)
    .option("--rounds <n>", "outer steps", wholeNumber(4, 100_000), 24)
    .option("--inner-steps <n>", "inner AdamW steps a round", wholeNumber(1, 100_000), 20)
    .option("--data <file>", "any UTF-8 text file", "moby-dick")
    .option("--seed <n>", "seed of the run", wholeNumber(0, 2 ** 32 - 1), 1)
    .option("--device <device>", deviceMeaning, deviceName, "cpu")
    .option("--folder <folder>", "where checkpoints and the report go (default: runs/demo-<time>)")
    .option("--no-kill", "kill nobody")
    .option("--json", "events and the report as JSON lines")
    .action(async (flags: Flags) => {
      const folder = flags.folder ?? `runs/demo-${new Date().toISOString().replace(/\D/g, "").slice(0, 14)}`;
      const { killRound, rejoinRound } = killRounds(flags.rounds);
      const report = await runDemo({
        peers: flags.peers,
        rounds: flags.rounds,
        innerSteps: flags.innerSteps,
        data: flags.data,
        seed: flags.seed,
        device: flags.device,
        folder,
        json: flags.json ?? false,
        killRound: flags.kill ? killRound : null,
        rejoinRound,
        signal: interruptSignal(),
      });
      const lines = flags.json
        ? [JSON.stringify({ type: "report", ...report })]
        : reportLines(report, `${folder}/report.json`);
      process.stdout.write(`${lines.join("\n")}\n`);
    });
}
