/** gradmesh audit replay: takes a verified run's work again from its ledger alone, and says whether it is equal. */
import { Command } from "commander";
import { GradmeshError } from "../../base/errors.js";
import { formatCount } from "../../base/format.js";
import { type LeftOut, type ReplayReport, type RoundReplay, replayRun } from "../../gym/audit.js";
import { differenceWords } from "../../gym/audit-difference.js";
import { peerIdOfAccount } from "../../ledger/sign.js";
import { loadConfig } from "../../run/config.js";
import { createStrategies, roundSteps } from "../../strategy/registry.js";
import { interruptSignal, wholeNumber } from "../options.js";
import { short } from "../text.js";

interface ReplayFlags {
  config: string;
  rounds?: number;
  threads?: number;
  json?: boolean;
}

const leftOutWords = ({ worker, status, difference }: LeftOut) =>
  `${peerIdOfAccount(worker)} does not count (${status}${difference === null ? "" : ", and is not honest work"})`;

/** @param steps inner steps of a unit. */
export function replayLine(round: RoundReplay, steps: number): string {
  const { workers, aggregated, afresh, leftOut, voided, state, difference } = round;
  const who = aggregated === workers ? `${workers} workers` : `${aggregated} of ${workers} workers`;
  const notes = [
    ...leftOut.map(leftOutWords),
    ...voided.map((unit) => `before it was opened again, ${leftOutWords(unit)}`),
    ...afresh.map((worker) => `${peerIdOfAccount(worker)} began with a fresh optimizer`),
  ];
  const what =
    difference === null
      ? `equal: ${who}, ${formatCount(round.steps)} steps, state ${short(state)}`
      : `DIFFERS: ${differenceWords(difference, steps)}`;
  return [`round ${round.round} ${what}`, ...notes].join("; ");
}

/** Of a replay in which all is equal. */
export function replaySummary(path: string, report: ReplayReport): string {
  const { ledgerId, closed, rounds, steps, state, seconds } = report;
  if (rounds.length === 0) return `${path} has no closed round: there is nothing to compare`;
  const which =
    rounds.length === closed ? `all ${formatCount(closed)} rounds` : `${rounds.length} of ${closed} rounds`;
  return [
    `${which} of ${path} are what honest work gives, bit for bit: ${formatCount(steps)} inner steps taken again in ${seconds.toFixed(1)} s`,
    `  ledger ${ledgerId}`,
    `  state  ${state}`,
  ].join("\n");
}

async function replay(path: string, { config: configPath, json, ...limits }: ReplayFlags): Promise<void> {
  const config = await loadConfig(configPath);
  const steps = roundSteps(createStrategies(config.strategy));
  const print = (text: string) => process.stdout.write(`${text}\n`);
  const report = await replayRun({
    ledger: path,
    config,
    ...limits,
    signal: interruptSignal(),
    onRound: (round) =>
      print(json ? JSON.stringify({ type: "replayed", ...round }) : replayLine(round, steps)),
  });
  const { rounds: _, ...rest } = report;
  if (json) print(JSON.stringify({ type: "report", ...rest }));
  const last = report.rounds.at(-1);
  if (last?.difference != null)
    throw new GradmeshError(
      "ERR_DIVERGED",
      `round ${last.round} of ${path} is not what honest work gives: ${differenceWords(last.difference, steps)}`,
    );
  if (!json) print(replaySummary(path, report));
}

export function replayCommand(): Command {
  return new Command("replay")
    .description(
      "Replays a verified run from its ledger alone, on this machine, and compares every aggregated unit, aggregate and state.",
    )
    .argument("<ledger>", "the ledger's file, or a binary export of one")
    .requiredOption("--config <path>", "the run's config")
    .option("--rounds <count>", "only the first so many rounds", wholeNumber(1, 1_000_000_000))
    .option(
      "--threads <count>",
      "of the inner steps; they change no bit; default: the machine's",
      wholeNumber(1, 256),
    )
    .option("--json", "a JSON object a line")
    .action(replay);
}
