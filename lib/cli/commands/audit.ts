/** gradmesh audit: replays a run (audit-replay.ts); and plan: what a rate of checks, a stake and a reward come to, before a run is founded on them. */
import { Command, InvalidArgumentError } from "commander";
import { formatCount, formatShare } from "../../base/format.js";
import {
  catchProbability,
  checkingPays,
  stakeNeeded,
  verificationOverhead,
  wrongUntilCaught,
} from "../../ledger/economics.js";
import { wholeNumber } from "../options.js";
import { replayCommand } from "./audit-replay.js";

const PER_MILLION = 1_000_000;

/** A share of one, such as 0.05, in parts per million. */
function sharePpm(least: number): (text: string) => number {
  return (text) => {
    const value = Math.round(Number(text) * PER_MILLION);
    if (!/^(0|1|0?\.\d{1,6}|1\.0{1,6})$/.test(text) || value < least)
      throw new InvalidArgumentError(
        `a share from ${least / PER_MILLION} to 1 is allowed, with six digits after the point at most.`,
      );
    return value;
  };
}

function units(text: string): bigint {
  if (!/^\d{1,18}$/.test(text)) throw new InvalidArgumentError("a whole number of units is allowed.");
  return BigInt(text);
}

interface PlanFlags {
  rate: number;
  gain: bigint;
  steps: number;
  reward: bigint;
  slash: number;
  verifiers: number;
  units: number;
  forced: number;
  prize: bigint;
  checkCost: bigint;
}

interface PlanRow {
  readonly wrongSteps: number;
  readonly caughtInUnit: number;
  readonly caughtInUnits: number;
  /** Units after which it is caught with 99.9 %. */
  readonly unitsUntilSure: number;
}

/** From one wrong step of a unit to all of them, about tenfold apart. */
function planOf({ rate, gain, steps, reward, slash, verifiers, units: count, ...flags }: PlanFlags) {
  const odds = { ratePpm: rate };
  const wrong = [1, 10, 100, 1000, 10_000].filter((some) => some < steps);
  const rows = [...wrong, steps].map(
    (some): PlanRow => ({
      wrongSteps: some,
      caughtInUnit: catchProbability(odds, some),
      caughtInUnits: catchProbability(odds, some * count),
      unitsUntilSure: Math.ceil(wrongUntilCaught(odds, 0.999) / some),
    }),
  );
  const { prize, forced: forcedPpm, checkCost: cost } = flags;
  return {
    rows,
    stake: slash === 0 ? null : stakeNeeded({ ...odds, gain, reward, slashPpm: slash }),
    overhead: verificationOverhead(rate, verifiers),
    checkingPays: checkingPays({ forcedPpm, prize, fine: prize, cost }),
  };
}

function planLines(flags: PlanFlags): string[] {
  const { rate, gain, steps, reward, slash, verifiers, units: count, forced, prize, checkCost } = flags;
  const { rows, stake, overhead, checkingPays: pays } = planOf(flags);
  const cells = [
    ["wrong steps", "caught in one unit", `in ${formatCount(count)} units`, "99.9 % sure after"],
    ...rows.map((row) => [
      `${formatCount(row.wrongSteps)} of ${formatCount(steps)}`,
      formatShare(row.caughtInUnit),
      formatShare(row.caughtInUnits),
      `${formatCount(row.unitsUntilSure)} ${row.unitsUntilSure === 1 ? "unit" : "units"}`,
    ]),
  ];
  const widths = cells[0]!.map((_, column) => Math.max(...cells.map((line) => line[column]!.length)));
  const table = cells.map((line) => line.map((cell, column) => cell.padStart(widths[column]!)).join("   "));
  return [
    `Each step is checked at ${formatShare(rate / PER_MILLION)} by ${verifiers} verifier${verifiers === 1 ? "" : "s"}: verification adds ${formatShare(overhead)} to the workers' steps.`,
    "",
    ...table,
    "",
    stake === null
      ? "Nothing is slashed, so a caught cheat only is not paid: no stake makes cheating lose."
      : `A wrong step that gains ${gain} loses in the mean with a stake of ${stake} (slashed ${formatShare(slash / PER_MILLION)}, reward ${reward} forgone): set trust.stake to at least that.`,
    forced === 0
      ? "Without forced errors nothing but disputes finds a verifier that does not look."
      : `With ${formatShare(forced / PER_MILLION)} planted errors, prize and fine ${prize}, a check that costs ${checkCost} ${pays ? "pays" : "does NOT pay: raise the prize or plant more"}.`,
  ];
}

const plain = (_: string, value: unknown) => (typeof value === "bigint" ? `${value}` : value);

function planCommand(): Command {
  return new Command("plan")
    .description(
      "Says what stake makes cheating lose, how soon a cheat is caught, and what verification costs.",
    )
    .requiredOption("--rate <share>", "part of all steps that are checked, as in 0.05", sharePpm(1))
    .requiredOption("--gain <units>", "what one wrong step saves or gains whoever takes it", units)
    .requiredOption("--steps <count>", "inner steps of a unit (of a round)", wholeNumber(1, 1_000_000))
    .option("--reward <units>", "what an accepted unit pays", units, 0n)
    .option("--slash <share>", "part of a proven offender's stake that is slashed", sharePpm(0), PER_MILLION)
    .option("--verifiers <count>", "verifiers of each checked step", wholeNumber(1, 255), 1)
    .option("--units <count>", "units to give the chance of being caught for", wholeNumber(1, 1_000_000), 100)
    .option("--forced <share>", "part of the checks that are of planted errors", sharePpm(0), 0)
    .option("--prize <units>", "for finding a planted error; missing it costs as much", units, 0n)
    .option("--check-cost <units>", "what one check costs a verifier", units, 0n)
    .option("--json", "the same as JSON")
    .action((flags: PlanFlags & { json?: boolean }) => {
      const { rate, slash, forced, json, ...given } = flags;
      const shares = { rate: rate / PER_MILLION, slash: slash / PER_MILLION, forced: forced / PER_MILLION };
      const text = json
        ? JSON.stringify({ ...shares, ...given, ...planOf(flags) }, plain, 2)
        : planLines(flags).join("\n");
      process.stdout.write(`${text}\n`);
    });
}

export function auditCommand(): Command {
  return new Command("audit")
    .description("Plans the checks of a verified run, or replays one from its ledger.")
    .addCommand(planCommand())
    .addCommand(replayCommand());
}
