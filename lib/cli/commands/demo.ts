/** gradmesh demo: the main job end to end, with its report. */
import { Command } from "commander";
import { GradmeshError } from "../../base/errors.js";
import { formatBytes, formatSeconds } from "../../base/format.js";
import { PER_MILLION } from "../../ledger/draw.js";
import { type CheatersOptions, runCheaters } from "../demo/cheaters.js";
import type { CheaterReport, CheatersReport } from "../demo/cheaters-report.js";
import { runDemo } from "../demo/demo.js";
import type { DemoReport } from "../demo/report.js";
import { deviceName, interruptSignal, sharePpm, wholeNumber } from "../options.js";
import { deviceMeaning } from "../peer-command.js";

interface Flags {
  peers?: number;
  rounds?: number;
  cheaters: number;
  /** In parts per million. */
  rate?: number;
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

function cheaterLine({ name, cheat, found }: CheaterReport): string {
  const did = `${name} (${cheat.kind === "skip" ? "leaves out every second step" : "does another's work again"} from round ${cheat.round} on)`;
  if (found === null)
    return `${did}: was not found before the run was over; give it more --rounds or a higher --rate`;
  const { round, verifier, transition, dispute, moves, ruling, record, slashed } = found;
  return (
    `${did}: found in round ${round} by ${verifier}, by step ${transition}; dispute ${dispute}, ${moves} moves: ${ruling}; ` +
    `slashed ${slashed} units and ejected (ledger record ${record})`
  );
}

/** The report of a demo with cheaters as lines for a person. */
export function cheatersLines(report: CheatersReport, reportPath: string): string[] {
  const { validationLoss: loss, verification: cost, ledger, honest, replay } = report;
  const digests = Object.values(report.stateDigests);
  return [
    "",
    `${report.peers} peers, ${report.cheaters.length} of them cheaters, ${report.parameters} parameters, ${report.rounds} rounds of ${report.innerSteps} inner steps in ${formatSeconds(report.seconds)}`,
    ...report.cheaters.map(cheaterLine),
    `honest peers      ${honest.map(({ name, accepted, earned }) => `${name} ${earned} units for ${accepted} rounds`).join(", ")}`,
    `validation loss   ${loss.start.toFixed(4)} -> ${loss.end.toFixed(4)}; with honest work of all who counted it would have been ${replay.honestLoss.toFixed(4)}`,
    `                  ${replay.equalRounds === replay.rounds ? "all" : `the first ${replay.equalRounds} of`} ${replay.rounds} rounds are that to the bit, by a replay from the ledger alone (${formatSeconds(replay.seconds)})`,
    `state digests     ${digests.length} of ${digests.length} honest peers equal: ${digests[0]}`,
    `verification      at a rate of ${percent(cost.rate)}: ${percent(cost.total)} of the time of training (hashing ${percent(cost.commit)}, showing states ${percent(cost.serve)}, replaying ${percent(cost.replay)}); ` +
      `${formatSeconds(cost.waitSecondsPerRound)} a round of waiting for one another`,
    `ledger            ${ledger.records} records, ${formatBytes(ledger.bytesPerRound)} a round: ${ledger.path}`,
    `                  npm run gradmesh -- ledger verify ${ledger.path}`,
    `                  npm run gradmesh -- reward ${ledger.path}`,
    `report            ${reportPath}`,
  ];
}

/** The round in which a peer is killed: a quarter of the way, and where it comes back: at half. */
const killRounds = (rounds: number) => ({
  killRound: Math.max(1, Math.floor(rounds / 4)),
  rejoinRound: Math.max(2, Math.floor(rounds / 2)),
});

/** @throws ERR_CONFIG for an option that the demo asked for would not heed. */
function checkFlags({ cheaters, rate, kill }: Flags, peers: number): void {
  const refuse = (message: string): never => {
    throw new GradmeshError("ERR_CONFIG", message);
  };
  if (cheaters === 0 && rate !== undefined)
    refuse(
      `--rate: ${rate / PER_MILLION}; nothing is checked without cheaters: add --cheaters, or leave --rate out`,
    );
  if (cheaters > 0 && !kill)
    refuse("--no-kill: with --cheaters nobody is killed in any case; leave --no-kill out");
  if (cheaters > 0 && cheaters > peers - 2)
    refuse(
      `--cheaters: ${cheaters}; allowed with ${peers} peers: at most ${peers - 2}, so that an honest peer checks another`,
    );
}

async function showCheaters(options: Omit<CheatersOptions, "signal">): Promise<void> {
  const { folder, json } = options;
  const report = await runCheaters({ ...options, signal: interruptSignal() });
  const lines = json
    ? [JSON.stringify({ type: "report", ...report })]
    : cheatersLines(report, `${folder}/report.json`);
  process.stdout.write(`${lines.join("\n")}\n`);
}

/** A run's own default (trust.rate). */
const RATE_PPM = 50_000;

export function demoCommand(): Command {
  return new Command("demo")
    .description(
      "Trains a small GPT with several peers on this machine and checks that all end with the same bits: one is killed in the middle of an all-reduce and comes back or, with --cheaters, some do not do their work and are found.",
    )
    .option("--peers <n>", "peer processes (default: 4; 6 with --cheaters)", wholeNumber(2, 16))
    .option("--rounds <n>", "outer steps (default: 24; 16 with --cheaters)", wholeNumber(4, 100_000))
    .option(
      "--cheaters <n>",
      "instead: a verified run in which so many peers do not do their work",
      wholeNumber(0, 8),
      0,
    )
    .option(
      "--rate <share>",
      "with --cheaters: share of inner steps that others replay (default: 0.05)",
      sharePpm(1),
    )
    .option("--inner-steps <n>", "inner AdamW steps a round", wholeNumber(1, 100_000), 20)
    .option("--data <file>", "any UTF-8 text file", "moby-dick")
    .option("--seed <n>", "seed of the run", wholeNumber(0, 2 ** 32 - 1), 1)
    .option("--device <device>", deviceMeaning, deviceName, "cpu")
    .option("--folder <folder>", "where checkpoints and the report go (default: runs/demo-<time>)")
    .option("--no-kill", "without --cheaters: kill nobody")
    .option("--json", "events and the report as JSON lines")
    .action(async (flags: Flags) => {
      const folder = flags.folder ?? `runs/demo-${new Date().toISOString().replace(/\D/g, "").slice(0, 14)}`;
      const rounds = flags.rounds ?? (flags.cheaters > 0 ? 16 : 24);
      const peers = flags.peers ?? (flags.cheaters > 0 ? 6 : 4);
      checkFlags(flags, peers);
      if (flags.cheaters > 0) {
        const rate = (flags.rate ?? RATE_PPM) / PER_MILLION;
        await showCheaters({ ...flags, rounds, rate, peers, folder, json: flags.json ?? false });
        return;
      }
      const { killRound, rejoinRound } = killRounds(rounds);
      const report = await runDemo({
        peers,
        rounds,
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
