/** gradmesh audit: replays a run (audit-replay.ts); and plan: what a rate of checks, a stake and a reward come to, before a run is founded on them. */
import { Command, InvalidArgumentError, Option } from "commander";
import { formatCount, formatShare } from "../../base/format.js";
import { PER_MILLION } from "../../ledger/draw.js";
import {
  catchProbability,
  checkingPays,
  stakeNeeded,
  verificationOverhead,
  wrongUntilCaught,
} from "../../ledger/economics.js";
import { sharePpm, wholeNumber } from "../options.js";
import { amountsJson, tableLines } from "../text.js";
import { replayCommand } from "./audit-replay.js";

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

/** The least stake with which cheating loses; 0 where the reward forgone is enough, null where no stake is. */
function stakeOf({ rate: ratePpm, gain, reward, slash: slashPpm }: PlanFlags): bigint | null {
  try {
    return stakeNeeded({ ratePpm, gain, reward, slashPpm });
  } catch (error) {
    if (error instanceof RangeError) return null;
    throw error;
  }
}

function stakeLine({ gain, reward, slash }: PlanFlags, stake: bigint | null): string {
  if (stake === null)
    return "Nothing is slashed, so a caught cheat only is not paid, and that is too little: no stake makes cheating lose.";
  if (stake === 0n && reward === 0n)
    return `A wrong step that gains ${gain} does not pay whatever the stake: every wrong step is found, or none gains anything.`;
  if (stake === 0n)
    return `A wrong step that gains ${gain} does not pay whatever the stake: the reward forgone, ${reward}, is enough.`;
  return `A wrong step that gains ${gain} loses in the mean with a stake of ${stake} (slashed ${formatShare(slash / PER_MILLION)}, reward ${reward} forgone): set trust.stake to at least that.`;
}

function checkingLine({ forced, prize, checkCost }: PlanFlags, pays: boolean | null): string {
  if (pays === null) return "Without forced errors nothing but disputes finds a verifier that does not look.";
  return `With ${formatShare(forced / PER_MILLION)} planted errors, prize and fine ${prize}, a check that costs ${checkCost} ${pays ? "pays" : "does NOT pay: raise the prize or plant more"}.`;
}

/** From one wrong step of a unit to all of them, about tenfold apart. */
function planOf(flags: PlanFlags) {
  const { rate, steps, verifiers, units: count, prize, forced, checkCost: cost } = flags;
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
  return {
    rows,
    stake: stakeOf(flags),
    overhead: verificationOverhead(rate, verifiers),
    /** Null where no errors are planted: then nothing is earned by looking, or lost by not. */
    checkingPays: forced === 0 ? null : checkingPays({ forcedPpm: forced, prize, fine: prize, cost }),
  };
}

function planLines(flags: PlanFlags): string[] {
  const { rate, steps, verifiers, units: count } = flags;
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
  return [
    `Each step is checked at ${formatShare(rate / PER_MILLION)} by ${verifiers} verifier${verifiers === 1 ? "" : "s"}: verification adds ${formatShare(overhead)} to the workers' steps.`,
    "",
    ...tableLines(cells, "   "),
    "",
    stakeLine(flags, stake),
    checkingLine(flags, pays),
  ];
}

/** An option of 0 units by default, which commander could not print as it is. */
const amount = (flags: string, meaning: string) =>
  new Option(flags, meaning).argParser(units).default(0n, "0");

function planCommand(): Command {
  return new Command("plan")
    .description(
      "Says what stake makes cheating lose, how soon a cheat is caught, and what verification costs.",
    )
    .requiredOption("--rate <share>", "part of all steps that are checked, as in 0.05", sharePpm(1))
    .requiredOption("--gain <units>", "what one wrong step saves or gains whoever takes it", units)
    .requiredOption("--steps <count>", "inner steps of a unit (of a round)", wholeNumber(1, 1_000_000))
    .addOption(amount("--reward <units>", "what an accepted unit pays"))
    .option("--slash <share>", "part of a proven offender's stake that is slashed", sharePpm(0), PER_MILLION)
    .option("--verifiers <count>", "verifiers of each checked step", wholeNumber(1, 255), 1)
    .option("--units <count>", "units to give the chance of being caught for", wholeNumber(1, 1_000_000), 100)
    .option("--forced <share>", "part of the checks that are of planted errors", sharePpm(0), 0)
    .addOption(amount("--prize <units>", "for finding a planted error; missing it costs as much"))
    .addOption(amount("--check-cost <units>", "what one check costs a verifier"))
    .option("--json", "the same as JSON")
    .action((flags: PlanFlags & { json?: boolean }) => {
      const { rate, slash, forced, json, ...given } = flags;
      const shares = { rate: rate / PER_MILLION, slash: slash / PER_MILLION, forced: forced / PER_MILLION };
      const text = json
        ? amountsJson({ ...shares, ...given, ...planOf(flags) })
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
