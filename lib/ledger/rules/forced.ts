/**
 * Forced errors (as in Truebit): units that the submitter plants an error in, so that who accepts without looking is found.
 * The planted leaf of the unit's tree is the hash of a salt, which nobody can compute by any step; so a revealed salt proves
 * that the transition is wrong, and an honest worker's or verifier's right work can never be made out to be one.
 */
import { verifyProof } from "../../verify/merkle.js";
import type { Account } from "../events.js";
import type { Effect } from "./effect.js";
import { forcedCommitmentOf, forcedLeaf } from "./hashes.js";
import {
  accountOf,
  lesser,
  place,
  refuse,
  roundOf,
  standing,
  termsOf,
  transitionsOf,
  unitLeaves,
} from "./lookup.js";
import { endOthers } from "./outcome.js";
import { forgo } from "./rewards.js";
import type { Rule } from "./rule.js";
import { fine, forfeit } from "./slash.js";
import { FORCED_ERRORS_MAX, type LedgerState, type RoundState } from "./state.js";

export const forcedErrorCommitted: Rule<"ForcedErrorCommitted"> = (
  state,
  { round: number, commitment },
  { author, now },
) => {
  const round = roundOf(state, number);
  if (author !== state.submitter) refuse("only the submitter plants errors");
  if (round.phase !== "commit") refuse(`round ${number} is in its phase ${round.phase}, not commit`);
  if (round.forced.length >= FORCED_ERRORS_MAX)
    refuse(`a round has at most ${FORCED_ERRORS_MAX} forced errors`);
  if (round.forced.some((planted) => planted.commitment === commitment))
    refuse("this forced error is planted already");
  return (effects) => {
    round.forced.push({ commitment, revealed: false });
    effects.push({ type: "forced", time: now, round: number, reason: "committed" });
  };
};

export const forcedErrorRevealed: Rule<"ForcedErrorRevealed"> = (state, body, { author, now }) => {
  const { round: number, worker, transition, salt, path } = body;
  const round = roundOf(state, number);
  if (author !== state.submitter) refuse("only the submitter reveals what it planted");
  if ((round.phase !== "decided" && round.phase !== "closed") || now >= round.contestEnd)
    refuse("a forced error is revealed after the verdicts, and before accusers must open their disputes");
  const commitment = forcedCommitmentOf({
    ledgerId: state.ledgerId,
    round: number,
    author,
    worker,
    transition,
    salt,
  });
  const planted = round.forced.find((one) => one.commitment === commitment && !one.revealed);
  if (planted === undefined)
    return refuse("no such forced error was committed to, or it is revealed already");
  const revealed = round.units.get(worker)?.revealed;
  if (revealed === undefined || revealed === null)
    return refuse(`${worker} has revealed no unit in round ${number}`);
  if (transition < 1 || transition > transitionsOf(state)) refuse(`there is no transition ${transition}`);
  if (!verifyProof(revealed.root, unitLeaves(state), transition, forcedLeaf(state.ledgerId, salt), path))
    refuse(`leaf ${transition} of the unit of ${worker} is not the planted one`);
  return (effects) => {
    planted.revealed = true;
    effects.push({
      type: "forced",
      time: now,
      round: number,
      account: worker,
      transition,
      reason: "revealed",
    });
    withdrawUnit(state, round, worker, transition, now, effects);
    reckon(state, round, worker, transition, now, effects);
  };
};

/** It was never meant to count: not paid, not slashed, and disputes about it end. */
function withdrawUnit(
  state: LedgerState,
  round: RoundState,
  worker: Account,
  transition: number,
  now: number,
  effects: Effect[],
): void {
  const unit = round.units.get(worker)!;
  if (!["pending", "hard", "soft"].includes(standing(unit))) return;
  forgo(state, round, unit);
  place(unit, "forced");
  endOthers(state, { round: round.round, worker, transition }, now, effects);
}

/** Who accepted it pays, who found it is paid, as far as the pool has it. */
function reckon(
  state: LedgerState,
  round: RoundState,
  worker: Account,
  transition: number,
  now: number,
  effects: Effect[],
): void {
  const { forcedErrorPrize } = termsOf(state);
  const checks = round.checks.filter((check) => check.worker === worker && check.transition === transition);
  for (const { verifier, verdict } of checks)
    if (verdict === 0) {
      const reason = "accepted a forced error";
      forfeit(state, fine(state, verifier, forcedErrorPrize, reason, now, effects), verifier);
    }
  for (const { verifier, verdict } of checks) {
    if (verdict !== 2) continue;
    const amount = lesser(state.pool, forcedErrorPrize);
    state.pool -= amount;
    accountOf(state, verifier).free += amount;
    effects.push({
      type: "paid",
      time: now,
      round: round.round,
      account: verifier,
      amount,
      reason: "found a forced error",
    });
  }
}
