/** A round's way through its phases: each ends when all have done their part, or at its deadline, which the silent pay for. */
import { drawChecks, drawSeed } from "../draw.js";
import type { Account } from "../events.js";
import type { Effect } from "./effect.js";
import { hasCapability, isAnswered, place, stakeOf, standing, termsOf, transitionsOf } from "./lookup.js";
import { accept, forgo, rejectSoft } from "./rewards.js";
import { compensate, fine, forfeit, lateFee, withholdingFine } from "./slash.js";
import type { CheckState, LedgerState, RoundPhase, RoundState, Unit } from "./state.js";
import { setTimer } from "./time.js";

const has = (round: RoundState, status: Unit["status"]) =>
  [...round.units.values()].some((unit) => standing(unit) === status);

/** Whether somebody's part of the phase is missing. */
function isMissing(round: RoundState): boolean {
  switch (round.phase) {
    case "commit":
      return has(round, "assigned");
    case "reveal":
      return has(round, "committed");
    case "verdictCommit":
      return round.checks.some((check) => check.void === null && check.commitment === null);
    case "verdictReveal":
      return round.checks.some((check) => check.void === null && check.verdict === null);
    default:
      return true;
  }
}

export function enter(
  state: LedgerState,
  round: RoundState,
  phase: RoundPhase,
  span: number,
  now: number,
  effects: Effect[],
): void {
  round.phase = phase;
  round.deadline = now + span;
  setTimer(state, { at: round.deadline, kind: "phase", round: round.round, phase });
  effects.push({ type: "phase", time: now, round: round.round, phase });
}

/** Goes on to the next phases as far as nobody's part is missing. */
export function advance(state: LedgerState, round: RoundState, now: number, effects: Effect[]): void {
  const { revealSpan, verdictSpan } = termsOf(state);
  while (!isMissing(round)) {
    if (round.phase === "commit") enter(state, round, "reveal", revealSpan, now, effects);
    else if (round.phase === "reveal") {
      drawRound(state, round, now, effects);
      enter(state, round, "verdictCommit", verdictSpan, now, effects);
    } else if (round.phase === "verdictCommit")
      enter(state, round, "verdictReveal", verdictSpan, now, effects);
    else decideRound(state, round, now, effects);
  }
}

/** Who can be drawn to check, with its stake: of those who could work, who has revealed its work, and so is there. */
function verifiersOf(state: LedgerState, round: RoundState): Map<Account, bigint> {
  const { stakeMin } = termsOf(state);
  const able = [...state.accounts.values()].filter(
    (account) =>
      account.registered &&
      !account.ejected &&
      hasCapability(account, "verifier") &&
      account.bonded >= stakeMin &&
      (round.units.get(account.account)?.revealed != null || !hasCapability(account, "worker")) &&
      !round.left.has(account.account),
  );
  return new Map(able.map((account) => [account.account, stakeOf(account)]));
}

/** All salts that will be revealed are: chance says who checks what. What nobody checks is accepted. */
function drawRound(state: LedgerState, round: RoundState, now: number, effects: Effect[]): void {
  const units = [...round.units.values()].filter((unit) => standing(unit) === "revealed");
  const salts = units.map((unit) => unit.revealed!.salt);
  round.checks = drawChecks({
    seed: drawSeed(round.beacon, salts),
    workers: units.map(({ worker }) => worker),
    verifiersByStake: verifiersOf(state, round),
    transitions: transitionsOf(state),
    ratePpm: (worker) => round.units.get(worker)!.ratePpm,
    count: termsOf(state).verifiers,
  }).map((check) => ({ ...check, commitment: null, verdict: null, digest: null, void: null }));
  effects.push({ type: "drawn", time: now, round: round.round, amount: BigInt(round.checks.length) });
  const checked = new Set(round.checks.map(({ worker }) => worker));
  for (const unit of units)
    if (checked.has(unit.worker)) place(unit, "verifying");
    else accept(state, round, unit, now, effects);
}

/** The verdicts are in. A hard one does not decide: its dispute does, or that nobody dares one. */
function decideRound(state: LedgerState, round: RoundState, now: number, effects: Effect[]): void {
  round.phase = "decided";
  round.contestEnd = now + termsOf(state).moveSpan;
  setTimer(state, { at: round.contestEnd, kind: "contest", round: round.round });
  for (const unit of round.units.values()) {
    if (standing(unit) !== "verifying") continue;
    const accuser = accusersOf(round, unit)[0];
    if (accuser === undefined) decideUnit(state, round, unit, now, effects);
    else place(unit, "hard");
  }
  effects.push({ type: "phase", time: now, round: round.round, phase: "decided" });
}

function accusersOf(round: RoundState, { worker }: Unit): CheckState[] {
  return round.checks.filter((check) => check.worker === worker && check.verdict === 2);
}

/** By the verdicts that are not hard: soft where most of those on one transition could not check it, else accepted. */
function decideUnit(state: LedgerState, round: RoundState, unit: Unit, now: number, effects: Effect[]): void {
  const votes = new Map<number, number>();
  for (const { worker, transition, verdict } of round.checks)
    if (worker === unit.worker && (verdict === 0 || verdict === 1))
      votes.set(transition, (votes.get(transition) ?? 0) + (verdict === 1 ? 1 : -1));
  const soft = [...votes].find(([, sum]) => sum > 0);
  if (soft === undefined) accept(state, round, unit, now, effects);
  else rejectSoft(state, round, unit, `transition ${soft[0]} could not be checked`, now, effects);
}

/** The time to open disputes is over: who accused without one pays, and the unit goes by the other verdicts. */
export function endContest(state: LedgerState, round: RoundState, now: number, effects: Effect[]): void {
  for (const unit of round.units.values()) {
    if (standing(unit) !== "hard") continue;
    for (const accusation of accusersOf(round, unit))
      if (!isAnswered(state, round.round, accusation)) payAccusation(state, round, accusation, now, effects);
    decideUnit(state, round, unit, now, effects);
  }
  for (const planted of round.forced) {
    if (planted.revealed) continue;
    planted.revealed = true;
    const { submitter } = state;
    const { forcedErrorPrize } = termsOf(state);
    const reason = "did not reveal a forced error";
    forfeit(state, fine(state, submitter, forcedErrorPrize, reason, now, effects), submitter);
  }
}

/** What an accusation without a dispute costs: as much as one that is lost. */
function payAccusation(
  state: LedgerState,
  { round }: RoundState,
  { worker, verifier }: CheckState,
  now: number,
  effects: Effect[],
): void {
  const { disputeBond } = termsOf(state);
  const taken = fine(state, verifier, disputeBond, `accused ${worker} and opened no dispute`, now, effects);
  compensate(state, worker, verifier, taken, { time: now, round }, effects);
}

/** The phase's deadline: who is silent loses its part in it. */
export function endPhase(state: LedgerState, round: RoundState, now: number, effects: Effect[]): void {
  const late = (account: Account, amount: bigint, reason: string) =>
    forfeit(state, fine(state, account, amount, reason, now, effects), account);
  for (const unit of round.units.values()) {
    if (round.phase === "commit" && unit.status === "assigned")
      expire(state, round, unit, "did not commit in time", now, effects);
    if (round.phase === "reveal" && unit.status === "committed") {
      expire(state, round, unit, "did not reveal what it had committed to", now, effects);
      late(unit.worker, withholdingFine(state), "did not reveal what it had committed to");
    }
  }
  for (const check of round.checks) {
    const silent =
      (round.phase === "verdictCommit" && check.commitment === null) ||
      (round.phase === "verdictReveal" && check.verdict === null);
    if (!silent || check.void !== null) continue;
    check.void = "silent";
    late(
      check.verifier,
      lateFee(state),
      `gave no verdict on transition ${check.transition} of ${check.worker}`,
    );
  }
  advance(state, round, now, effects);
}

function expire(
  state: LedgerState,
  round: RoundState,
  unit: Unit,
  reason: string,
  now: number,
  effects: Effect[],
): void {
  forgo(state, round, unit);
  unit.status = "expired";
  effects.push({ type: "rejected", time: now, round: round.round, account: unit.worker, reason });
}
