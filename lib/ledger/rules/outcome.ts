/** How disputes end, and who pays: the loser its bond, and a worker whose work was wrong the slash as well. */
import type { Effect } from "./effect.js";
import { accountOf, disputedUnit, standing } from "./lookup.js";
import { forgo, mature, rejectSoft } from "./rewards.js";
import { compensate, distribute, slash, takeStake } from "./slash.js";
import type { Dispute, LedgerState, RoundState, Unit } from "./state.js";

function placeOf(state: LedgerState, dispute: Dispute): { round: RoundState; unit: Unit } {
  const round = state.rounds.get(dispute.round)!;
  return { round, unit: disputedUnit(state, round, dispute.worker, dispute.transition)! };
}

/** The dispute is over: pledges are free again; the unit goes on from where it was if no other is open. */
function close(
  state: LedgerState,
  dispute: Dispute,
  outcome: NonNullable<Dispute["outcome"]>,
  unit: Unit,
): void {
  dispute.phase = "over";
  dispute.turn = null;
  dispute.outcome = outcome;
  dispute.children = null;
  accountOf(state, dispute.challenger).pledged -= dispute.challengerPledge;
  accountOf(state, dispute.worker).pledged -= dispute.workerPledge;
  unit.openDisputes -= 1;
  if (unit.openDisputes === 0) unit.status = unit.resume;
}

function settledEffect(dispute: Dispute, reason: string, now: number): Effect {
  const { id, round, worker, challenger, transition, outcome } = dispute;
  const verdict = outcome === "worker" ? "the worker was right" : `the ${outcome} wins`;
  return {
    type: "settled",
    time: now,
    round,
    account: worker,
    other: challenger,
    transition,
    dispute: id,
    reason: `${outcome === "void" ? "nobody wins" : verdict}: ${reason}`,
  };
}

/** What the challenger laid down out of its free balance is its own again. */
function returnBond(state: LedgerState, dispute: Dispute): void {
  accountOf(state, dispute.challenger).free += dispute.held;
  dispute.held = 0n;
}

/** Nobody wins: the bonds go back. */
export function endWithout(
  state: LedgerState,
  dispute: Dispute,
  reason: string,
  now: number,
  effects: Effect[],
): void {
  const { round, unit } = placeOf(state, dispute);
  close(state, dispute, "void", unit);
  returnBond(state, dispute);
  effects.push(settledEffect(dispute, reason, now));
  mature(state, round, unit, now, effects);
}

/** A false accusation: of the challenger's bond the worker gets half, for its trouble, and the pool the rest. */
export function challengerLoses(
  state: LedgerState,
  dispute: Dispute,
  reason: string,
  now: number,
  effects: Effect[],
): void {
  const { round, unit } = placeOf(state, dispute);
  const { challenger, challengerPledge, held, worker } = dispute;
  close(state, dispute, "worker", unit);
  const lost = held + takeStake(state, challenger, challengerPledge, now);
  dispute.held = 0n;
  effects.push(settledEffect(dispute, reason, now));
  effects.push({
    type: "slashed",
    time: now,
    account: challenger,
    amount: lost,
    dispute: dispute.id,
    reason: `accused ${worker} wrongly`,
  });
  const about = { time: now, round: dispute.round, dispute: dispute.id };
  compensate(state, worker, challenger, lost, about, effects);
  mature(state, round, unit, now, effects);
}

/** Nobody could rule: the bonds go back, and the work is not paid, as it might be wrong. */
export function endUnsettled(
  state: LedgerState,
  dispute: Dispute,
  reason: string,
  now: number,
  effects: Effect[],
): void {
  const { round, unit } = placeOf(state, dispute);
  const open = ["revealed", "verifying", "hard", "pending"];
  if (open.includes(standing(unit))) rejectSoft(state, round, unit, reason, now, effects);
  endWithout(state, dispute, reason, now, effects);
}

/**
 * The work was wrong, or was not defended. Verifiers who had accepted it are not slashed: a worker that wants to lose can open
 * a false trace of a right step. They answer for forced errors, which nobody can make up afterwards.
 */
export function workerLoses(
  state: LedgerState,
  dispute: Dispute,
  reason: string,
  now: number,
  effects: Effect[],
): void {
  const { round, unit } = placeOf(state, dispute);
  const { challenger, worker, workerPledge } = dispute;
  forgo(state, round, unit);
  unit.resume = "settled";
  close(state, dispute, "challenger", unit);
  returnBond(state, dispute);
  const bond = takeStake(state, worker, workerPledge, now);
  const { own, others } = slash(state, worker, now);
  const prize = distribute(state, { own: own + bond, others }, worker, challenger);
  const about = { time: now, round: dispute.round, dispute: dispute.id };
  effects.push(settledEffect(dispute, reason, now));
  effects.push({
    type: "slashed",
    ...about,
    account: worker,
    amount: own + bond + others,
    other: challenger,
    reason: `transition ${dispute.transition}: ${reason}`,
  });
  effects.push({ type: "rejected", ...about, account: worker, reason: `settled: ${reason}` });
  if (prize > 0n)
    effects.push({
      type: "paid",
      ...about,
      account: challenger,
      amount: prize,
      reason: `showed ${worker} wrong`,
    });
  endOthers(state, dispute, now, effects);
}

const ofAggregate = ({ transition }: Pick<Dispute, "transition">) => transition === 0;

/** Other disputes about a unit that is out of the way have nothing left to decide. */
export function endOthers(
  state: LedgerState,
  out: Pick<Dispute, "round" | "worker" | "transition">,
  now: number,
  effects: Effect[],
): void {
  for (const other of state.disputes.values())
    if (
      other.round === out.round &&
      other.worker === out.worker &&
      ofAggregate(other) === ofAggregate(out) &&
      other.phase !== "over"
    )
      endWithout(state, other, "the unit is out of the way", now, effects);
}
