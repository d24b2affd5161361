/** What a peer reads out of the ledger's state for the round at hand. Pure. */
import { canonicalDigest } from "../../base/canonical-json.js";
import { beaconInput, type Check } from "../../ledger/draw.js";
import type { Account, EventBody, Hash } from "../../ledger/events.js";
import type { Dispute, LedgerState, RoundPhase, RoundState, Unit } from "../../ledger/rules/state.js";
import { accountOfPeerId } from "../../ledger/sign.js";

export type Condition = (state: LedgerState) => boolean;

export const roundOf = (state: LedgerState, round: number): RoundState | null =>
  state.rounds.get(round) ?? null;

/** Who is to open this round, once the one before is closed. */
export function leaderOf(state: LedgerState, round: number): Account | null {
  const before = roundOf(state, round - 1);
  return state.nextRound === round && (before === null || before.phase === "closed") ? state.leader : null;
}

/** What the rules go by when they take or refuse a round's opening, beside the opening itself. */
export const openingBasis = ({ nextRound, leader, eligible }: LedgerState): string =>
  [nextRound, leader, ...eligible].join(" ");

/** What the leader of the next round proves. */
export const beaconInputOf = (state: LedgerState, ledgerId: Hash, round: number): Uint8Array =>
  beaconInput(ledgerId, state.beacon, round);

/** What a worker has revealed, or null. */
export function unitOf(
  state: LedgerState,
  round: number,
  worker: Account,
): Omit<EventBody<"WorkRevealed">, "round"> | null {
  return roundOf(state, round)?.units.get(worker)?.revealed ?? null;
}

/** Its work is right as far as it was checked, and counts. */
export const isAccepted = ({ status }: Pick<Unit, "status">): boolean =>
  status === "pending" || status === "claimable";

/** Its work will not count in the round, whatever else comes of it. */
export const isOut = ({ status }: Pick<Unit, "status">): boolean =>
  ["hard", "soft", "disputed", "settled", "expired", "left", "forced"].includes(status);

/** As isOut, where nothing that is still open can change it: no accusation, no dispute. */
export const isLost = ({ status }: Pick<Unit, "status">): boolean =>
  ["soft", "settled", "expired", "left", "forced"].includes(status);

/** Nobody's work can count in it, for everybody is gone: it is opened again. */
export const isVoid = ({ units }: RoundState): boolean =>
  [...units.values()].every(({ status }) => status === "left" || status === "expired");

/** The verdicts are in, and as they are nobody's work counts, though not all are gone: nothing is to be aggregated. */
export const isEmpty = (found: RoundState): boolean =>
  found.phase === "decided" && !isVoid(found) && ![...found.units.values()].some(isAccepted);

/** Why a round goes on without the account in its views; null where it can be in them. Of an empty one nobody is too late. */
export function outOf(found: RoundState, account: Account): string | null {
  const unit = found.units.get(account);
  if (unit !== undefined && !isOut(unit)) return null;
  if (isEmpty(found) && (unit === undefined || isLost(unit))) return null;
  const why = unit === undefined ? "" : `, as its work in it does not count (${unit.status})`;
  return `round ${found.round + 1} goes on without it${why}; it takes part from the next one on`;
}

/**
 * Why an account can be in no view, whatever round is open; null where it can. Also for a dispute of a round that is closed:
 * who trains on lets go of the states that it needs. The state is looked through once, for any number of accounts.
 */
export function hindrances({ disputes, eligible, terms, accounts }: LedgerState) {
  const accused = new Map<Account, Dispute>();
  for (const dispute of disputes.values())
    if (dispute.transition > 0 && dispute.outcome === null && !accused.has(dispute.worker))
      accused.set(dispute.worker, dispute);
  const able = new Set(eligible);
  const least = terms?.stakeMin ?? 0n;
  return (account: Account): string | null => {
    const dispute = accused.get(account);
    if (dispute !== undefined)
      return `dispute ${dispute.id} about its work in round ${dispute.round + 1} is open`;
    if (able.has(account)) return null;
    const bonded = accounts.get(account)?.bonded ?? 0n;
    return bonded < least
      ? `its stake is ${bonded} units, and a worker of the run has at least ${least} bonded`
      : "it is not registered as a worker of the run";
  };
}

/** What the members of an empty round vote for, and commit: nothing is aggregated, and the state stays as it was. */
export const emptyResult = (round: number): Hash => canonicalDigest({ round, aggregated: [] });

const order: readonly RoundPhase[] = [
  "commit",
  "reveal",
  "verdictCommit",
  "verdictReveal",
  "decided",
  "closed",
];

/** The round has come to the phase, or past it. */
export const reached =
  (round: number, phase: RoundPhase): Condition =>
  (state) => {
    const found = roundOf(state, round);
    return found !== null && order.indexOf(found.phase) >= order.indexOf(phase);
  };

/** The round's verdicts are in, and the work of all of these counts. */
export const allAccepted =
  (round: number, workers: readonly Account[]): Condition =>
  (state) => {
    const found = roundOf(state, round);
    if (found === null || !reached(round, "decided")(state)) return false;
    return workers.every((worker) => {
      const unit = found.units.get(worker);
      return unit !== undefined && isAccepted(unit);
    });
  };

/** The round's verdicts are in, and the work of none of these counts, or can come to. */
export const noneAccepted =
  (round: number, workers: readonly Account[]): Condition =>
  (state) => {
    const found = roundOf(state, round);
    if (found === null || isVoid(found) || !reached(round, "decided")(state)) return false;
    return workers.every((worker) => {
      const unit = found.units.get(worker);
      return unit === undefined || isLost(unit);
    });
  };

/** What this account was drawn to check and has not said yet. */
export function checksOf(state: LedgerState, round: number, account: Account): readonly Check[] {
  const checks = roundOf(state, round)?.checks ?? [];
  return checks.filter(
    (check) => check.verifier === account && check.void === null && check.commitment === null,
  );
}

/** Whether the ledger takes a unit that begins with this inner state; after work that was never revealed it does not. */
export function continuesWith(
  { terms, accounts, nextRound }: LedgerState,
  account: Account,
  inner: Hash,
): boolean {
  const last = accounts.get(account)?.inner ?? null;
  const { firstRound, inner: fresh } = terms!;
  const resumed = last === null && firstRound > 0 && nextRound === firstRound + 1;
  return resumed || inner === last || inner === fresh;
}

/** The part of the data that the ledger says a worker of the round reads, or null. */
export function shardOf(state: LedgerState, round: number, worker: Account): number | null {
  const found = roundOf(state, round);
  return found?.shards[found.workers.indexOf(worker)] ?? null;
}

/** As a round's opening has them. @param shards from 0 to 255. */
export const shardBytes = (shards: readonly number[]): string => Buffer.from(shards).toString("hex");

export const accountsOf = (members: readonly { readonly peerId: string }[]): Account[] =>
  members.map(({ peerId }) => accountOfPeerId(peerId));
