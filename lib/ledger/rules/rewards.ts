/**
 * What accepted work earns: a unit's part of the round's reward, locked for as long as the work can be disputed, then
 * claimable, with as many shares of the model. What is not earned stays in the pool, so rejecting others never pays.
 */
import { PER_MILLION } from "../draw.js";
import type { Effect } from "./effect.js";
import { accountOf, checkRoom, place, refuse, standing, termsOf, unitsOf } from "./lookup.js";
import type { Rule } from "./rule.js";
import {
  type LedgerState,
  type Payout,
  POOL,
  ROUNDS_KEPT,
  type RoundState,
  type Unit,
  type UnitStatus,
} from "./state.js";
import { setTimer } from "./time.js";

/** The worker's part and its delegators', by the stakes when the round opened; what rounding leaves is the worker's. */
export function splitReward(unit: Unit, reward: bigint): Payout[] {
  const total = unit.delegators.reduce((sum, { amount }) => sum + amount, unit.ownStake);
  const keeps = BigInt(PER_MILLION - unit.commission);
  const parts = unit.delegators
    .map(({ account, amount }) => ({
      account,
      amount: (reward * amount * keeps) / (total * BigInt(PER_MILLION)),
    }))
    .filter(({ amount }) => amount > 0n);
  const given = parts.reduce((sum, { amount }) => sum + amount, 0n);
  return [{ account: unit.worker, amount: reward - given }, ...parts].filter(({ amount }) => amount > 0n);
}

export function lockUnit(state: LedgerState, round: RoundState, unit: Unit, now: number): void {
  unit.lockEnd = now + termsOf(state).lockSpan;
  setTimer(state, { at: unit.lockEnd, kind: "lock", round: round.round });
}

/** The unit's part of the reward goes from the round to those who earned it, under lock. */
export function accept(
  state: LedgerState,
  round: RoundState,
  unit: Unit,
  now: number,
  effects: Effect[],
): void {
  place(unit, "pending");
  unit.payouts = splitReward(unit, round.unitReward);
  round.reserved -= round.unitReward;
  for (const { account, amount } of unit.payouts) accountOf(state, account).locked += amount;
  lockUnit(state, round, unit, now);
  effects.push({
    type: "accepted",
    time: now,
    round: round.round,
    account: unit.worker,
    amount: round.unitReward,
  });
}

/** Before it is decided, its part of the reward is kept back in the round. */
const undecided: readonly UnitStatus[] = ["assigned", "committed", "revealed", "verifying", "hard"];

/** The unit earns nothing: what was kept back or locked for it goes back to the pool. Call it before the new standing. */
export function forgo(state: LedgerState, round: RoundState, unit: Unit): void {
  const was = standing(unit);
  if (undecided.includes(was)) {
    state.pool += round.unitReward;
    round.reserved -= round.unitReward;
  } else if (was === "pending") {
    for (const { account, amount } of unit.payouts) {
      accountOf(state, account).locked -= amount;
      state.pool += amount;
    }
    unit.payouts = [];
  }
}

/** Could not be checked: not paid, not slashed; but who thinks it wrong can still dispute it. */
export function rejectSoft(
  state: LedgerState,
  round: RoundState,
  unit: Unit,
  reason: string,
  now: number,
  effects: Effect[],
): void {
  forgo(state, round, unit);
  place(unit, "soft");
  lockUnit(state, round, unit, now);
  effects.push({ type: "rejected", time: now, round: round.round, account: unit.worker, reason });
}

/** The lock is over and no dispute open: the reward can be claimed, and the shares are there. */
export function mature(
  state: LedgerState,
  round: RoundState,
  unit: Unit,
  now: number,
  effects: Effect[],
): void {
  if (unit.status !== "pending" || unit.lockEnd === null || unit.lockEnd > now) return;
  unit.status = "claimable";
  for (const { account, amount } of unit.payouts) {
    const own = accountOf(state, account);
    own.locked -= amount;
    own.claimable += amount;
    own.shares += amount;
    const reason = account === unit.worker ? "work" : `delegated to ${unit.worker}`;
    effects.push({ type: "paid", time: now, round: round.round, account, amount, reason });
  }
}

/** Whether nothing about the unit can change any more. */
function isFinal(unit: Unit, now: number): boolean {
  if (unit.openDisputes > 0) return false;
  if (unit.status === "soft") return unit.lockEnd !== null && unit.lockEnd <= now;
  return ["claimable", "expired", "settled", "left", "forced"].includes(unit.status);
}

/** Forgets rounds of which nothing can change any more, but for the last few. */
export function forget(state: LedgerState, now: number): void {
  for (const round of state.rounds.values()) {
    if (round.round >= state.nextRound - ROUNDS_KEPT) return;
    if (round.phase !== "closed" || round.contestEnd > now) continue;
    if (!unitsOf(round).every((unit) => isFinal(unit, now))) continue;
    dropRound(state, round.round);
  }
}

/** Forgets the round, and the disputes about it. */
export function dropRound(state: LedgerState, round: number): void {
  for (const dispute of state.disputes.values())
    if (dispute.round === round) state.disputes.delete(dispute.id);
  state.rounds.delete(round);
}

export const rewardClaimed: Rule<"RewardClaimed"> = (state, { amount }, { author, now }) => {
  const own = state.accounts.get(author);
  if (own === undefined || amount <= 0n || own.claimable < amount)
    return refuse(`${author} claims ${amount}, and can claim ${own?.claimable ?? 0n}`);
  return (effects) => {
    own.claimable -= amount;
    own.free += amount;
    effects.push({ type: "claimed", time: now, account: author, amount });
  };
};

export const sharesTransferred: Rule<"SharesTransferred"> = (state, { account, amount }, { author, now }) => {
  const own = state.accounts.get(author);
  if (own === undefined || amount <= 0n || own.shares < amount)
    return refuse(`${author} gives ${amount} shares, and has ${own?.shares ?? 0n}`);
  if (account === POOL) refuse("the pool holds no shares");
  checkRoom(state, account);
  return (effects) => {
    own.shares -= amount;
    accountOf(state, account).shares += amount;
    effects.push({ type: "shares", time: now, account: author, other: account, amount });
  };
};
