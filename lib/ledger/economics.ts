/**
 * What makes honesty pay, in closed forms. A transition is checked with the rate p, and a check finds a wrong one with the
 * power q (1 for replay: a wrong step never has the right digest). Who gains g by cheating in a unit loses, when found, the
 * slashed stake S and the unit's reward R; so honesty pays where pq (S + R) >= (1 - pq) g. What decides is in integers.
 */

import { PER_MILLION } from "./draw.js";

const SQUARE = BigInt(PER_MILLION) ** 2n;

export interface CheatOdds {
  /** Rate of checks and power of one, in parts per million. */
  readonly ratePpm: number;
  readonly powerPpm?: number;
}

function oddsOf({ ratePpm, powerPpm = PER_MILLION }: CheatOdds): bigint {
  for (const [name, value] of [
    ["rate", ratePpm],
    ["power", powerPpm],
  ] as const)
    if (!Number.isInteger(value) || value < 1 || value > PER_MILLION)
      throw new RangeError(`${name} is ${value} ppm; allowed: an integer from 1 to ${PER_MILLION}`);
  return BigInt(ratePpm) * BigInt(powerPpm);
}

const ceilDivide = (a: bigint, b: bigint) => (a + b - 1n) / b;

/**
 * The least stake with which one wrong step a unit, that gains `gain`, does not pay: g (1 - pq) / pq - R, over the part that is
 * slashed. More wrong steps a unit need no more: their gain grows slower than the odds of being caught.
 * @throws RangeError where nothing is slashed and the reward alone does not do it.
 */
export function stakeNeeded(
  terms: CheatOdds & {
    readonly gain: bigint;
    /** Of a unit. */
    readonly reward?: bigint;
    readonly slashPpm?: number;
  },
): bigint {
  const odds = oddsOf(terms);
  const { gain, reward = 0n, slashPpm = PER_MILLION } = terms;
  const slashed = ceilDivide(gain * (SQUARE - odds), odds) - reward;
  if (slashed <= 0n) return 0n;
  if (slashPpm <= 0) throw new RangeError("nothing is slashed, so no stake makes cheating lose");
  return ceilDivide(slashed * BigInt(PER_MILLION), BigInt(slashPpm));
}

/** The chance that at least one of so many wrong transitions is found: 1 - (1 - pq)^n. For printing. */
export function catchProbability(odds: CheatOdds, wrong: number): number {
  const one = Number(oddsOf(odds)) / Number(SQUARE);
  return -Math.expm1(wrong * Math.log1p(-one));
}

/** How many wrong transitions are found with at least this chance, below 1. */
export function wrongUntilCaught(odds: CheatOdds, chance: number): number {
  const one = Number(oddsOf(odds)) / Number(SQUARE);
  return one === 1 ? 1 : Math.ceil(Math.log1p(-chance) / Math.log1p(-one));
}

/** Work that verification adds to the workers' own: p, times verifiers, times what a check costs of a step. */
export function verificationOverhead(ratePpm: number, verifiers: number, checkCost = 1): number {
  return (ratePpm / PER_MILLION) * verifiers * checkCost;
}

/** Whether looking pays for a verifier: f (J + S_v) >= c_v, prize and fine weighed with the rate of forced errors. */
export function checkingPays(terms: {
  /** Part of a verifier's checks that are of planted errors, in parts per million. */
  readonly forcedPpm: number;
  readonly prize: bigint;
  readonly fine: bigint;
  /** What one check costs the verifier. */
  readonly cost: bigint;
}): boolean {
  const { forcedPpm, prize, fine, cost } = terms;
  return BigInt(forcedPpm) * (prize + fine) >= cost * BigInt(PER_MILLION);
}
