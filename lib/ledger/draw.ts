/**
 * What chance decides in a verified run, from a beacon that nobody chooses: the data of each step, which transitions are
 * checked, and by whom. All in integers, so that every peer draws the same.
 *
 * A round's beacon is the output of its leader's verifiable random function over the beacon before: the leader can compute
 * it and cannot choose it. It can only withhold it, which costs it, and makes the round's beacon a hash that everybody knows:
 * two possible beacons, so at most one bit of choice. The draw of checks also depends on the salts that all workers have
 * committed to before any is revealed; a worker that sees the draw coming can only not reveal, and then its unit is lost.
 */
import { GradmeshError } from "../base/errors.js";
import { domainDigest as digest } from "./domain-digest.js";
import type { Account, Hash } from "./events.js";

/** Rates and shares are parts of this. */
export const PER_MILLION = 1_000_000;
const MILLION = BigInt(PER_MILLION);

/** A transition of a worker's unit that a verifier has to check. */
export interface Check {
  readonly worker: Account;
  /** From 1: from state `transition - 1` to state `transition`. */
  readonly transition: number;
  readonly verifier: Account;
}

export interface DrawOptions {
  /** From drawSeed. */
  readonly seed: Hash;
  /** Whose units are checked; the checks come in this order, but each is drawn on its own. */
  readonly workers: readonly Account[];
  /** Who may be drawn, with the stake that each is drawn by; without stake, never. Their order means nothing. */
  readonly verifiersByStake: ReadonlyMap<Account, bigint>;
  /** Transitions of every unit, from 1 to this. */
  readonly transitions: number;
  /** The rate at which a worker's transitions are checked, in parts per million, from 0 to 1,000,000. */
  readonly ratePpm: (worker: Account) => number;
  /** Verifiers of each checked transition. */
  readonly count: number;
}

/** What the leader of a round computes its verifiable random function of. */
export function beaconInput(ledgerId: Hash, previous: Hash, round: number): Uint8Array {
  return digest("gradmesh-beacon-input", ledgerId, previous, round);
}

/** The beacon of a round from its leader's output. @param output 64 bytes in hexadecimal, from vrfVerify. */
export function beaconOf(output: string): Hash {
  return digest("gradmesh-beacon", output).toString("hex");
}

/** The beacon of a round whose leader gave none. */
export function skippedBeacon(previous: Hash, round: number): Hash {
  return digest("gradmesh-beacon-skipped", previous, round).toString("hex");
}

/** What draws the data of a worker's inner step (StepContext.draw). @param step from 0 to 2^32 - 1. */
export function dataSeed(beacon: Hash, account: Account, step: number): number {
  const bytes = digest("gradmesh-data", beacon, account, step);
  return bytes.readUInt32LE(0) + (bytes.readUInt32LE(4) >>> 11) * 2 ** 32;
}

/** What draws a round's checks. @param salts that the workers have revealed, in the order of the round's workers. */
export function drawSeed(beacon: Hash, salts: readonly Hash[]): Hash {
  return digest("gradmesh-draw", beacon, salts.length, ...salts).toString("hex");
}

/** Whether chance takes each transition of a worker's unit; four are drawn from each hash, 64 bits for each. */
function takenTransitions(seed: Hash, worker: Account, transitions: number, ratePpm: number): number[] {
  if (!Number.isInteger(ratePpm) || ratePpm < 0 || ratePpm > PER_MILLION)
    throw new GradmeshError(
      "ERR_INVALID_ARGUMENT",
      `the rate of checks of ${worker} is ${ratePpm}; allowed: an integer from 0 to ${PER_MILLION}`,
    );
  const rate = BigInt(ratePpm);
  const taken: number[] = [];
  let lots: Buffer = Buffer.alloc(0);
  for (let transition = 1; transition <= transitions; transition += 1) {
    const lane = (transition - 1) % 4;
    if (lane === 0) lots = digest("gradmesh-check", seed, worker, (transition - 1) / 4);
    if ((lots.readBigUInt64LE(8 * lane) * MILLION) >> 64n < rate) taken.push(transition);
  }
  return taken;
}

interface Candidate {
  readonly account: Account;
  readonly stake: bigint;
  /** Its place in the shuffled line. */
  readonly lot: string;
}

/**
 * Up to `count` different candidates, each with a chance of `count` times its part of the stake: the candidates lie in a
 * shuffled line, as long as their stake, on which `count` points lie at equal distances from a random first one
 * (systematic sampling with probabilities proportional to size: Madow, Annals of Mathematical Statistics 20, 1949). So who
 * splits a stake over many accounts is drawn as often as before. Who holds a whole distance or more is certain to be drawn,
 * and once only; the others are then drawn for what is left.
 */
function drawByStake(candidates: readonly Candidate[], count: number, lot: bigint): Account[] {
  let line = candidates.toSorted((a, b) => (a.lot < b.lot ? -1 : 1));
  const drawn: Account[] = [];
  let places = BigInt(Math.min(count, line.length));
  let total = line.reduce((sum, { stake }) => sum + stake, 0n);
  for (let certain = true; certain && places > 0n; ) {
    const [all, left] = [total, places];
    const isCertain = ({ stake }: Candidate) => stake * left >= all;
    const sure = line.filter(isCertain);
    certain = sure.length > 0;
    drawn.push(...sure.map(({ account }) => account));
    places -= BigInt(sure.length);
    total -= sure.reduce((sum, { stake }) => sum + stake, 0n);
    line = line.filter((candidate) => !isCertain(candidate));
  }
  if (places <= 0n || total === 0n) return drawn;
  // In units of stake / places all is whole: the line is places * total long, and its points are total apart.
  let point = lot % total;
  let end = 0n;
  for (const { account, stake } of line) {
    end += stake * places;
    if (point < end) {
      drawn.push(account);
      point += total;
    }
  }
  return drawn;
}

/**
 * The checks of a round: every transition of every unit is taken with its worker's rate, and each that is taken has `count`
 * different verifiers drawn by stake (fewer where there are not so many), never the worker itself.
 * @throws ERR_INVALID_ARGUMENT for a rate, stake or count that is impossible.
 */
export function drawChecks(options: DrawOptions): Check[] {
  const { seed, workers, verifiersByStake, transitions, ratePpm, count } = options;
  if (!Number.isInteger(count) || count < 0)
    throw new GradmeshError("ERR_INVALID_ARGUMENT", `the number of verifiers is ${count}`);
  for (const [account, stake] of verifiersByStake)
    if (stake < 0n) throw new GradmeshError("ERR_INVALID_ARGUMENT", `the stake of ${account} is ${stake}`);
  const staked = [...verifiersByStake].filter(([, stake]) => stake > 0n);
  return workers.flatMap((worker) =>
    takenTransitions(seed, worker, transitions, ratePpm(worker)).flatMap((transition) => {
      const candidates = staked
        .filter(([account]) => account !== worker)
        .map(([account, stake]) => ({
          account,
          stake,
          lot: digest("gradmesh-line", seed, worker, transition, account).toString("hex"),
        }));
      // 256 bits: what the remainder by a total below 2^72 favours cannot be seen.
      const lot = BigInt(`0x${digest("gradmesh-verifier", seed, worker, transition).toString("hex")}`);
      return drawByStake(candidates, count, lot).map((verifier) => ({ worker, transition, verifier }));
    }),
  );
}
