/** The rules of work and of verdicts: both are committed to before others' are known, and revealed after. */
import { commitmentOf, verdictCommitmentOf } from "../../verify/commitment.js";
import { stateHash } from "../../verify/state-hash.js";
import type { Account, EventBody } from "../events.js";
import { accountOf, refuse, roundOf, termsOf } from "./lookup.js";
import { advance } from "./phases.js";
import type { Rule } from "./rule.js";
import {
  type CheckState,
  type LedgerState,
  POOL,
  type RoundPhase,
  type RoundState,
  type Unit,
} from "./state.js";

function inPhase(state: LedgerState, number: number, phase: RoundPhase): RoundState {
  const round = roundOf(state, number);
  if (round.phase !== phase) refuse(`round ${number} is in its phase ${round.phase}, not ${phase}`);
  return round;
}

function unitOf(round: RoundState, author: Account): Unit {
  return round.units.get(author) ?? refuse(`${author} has no unit in round ${round.round}`);
}

export const workCommitted: Rule<"WorkCommitted"> = (
  state,
  { round: number, commitment },
  { author, now },
) => {
  const round = inPhase(state, number, "commit");
  const unit = unitOf(round, author);
  if (unit.status !== "assigned")
    refuse(`the unit of ${author} in round ${number} is ${unit.status} already`);
  return (effects) => {
    unit.status = "committed";
    unit.commitment = commitment;
    effects.push({ type: "committed", time: now, round: number, account: author });
    advance(state, round, now, effects);
  };
};

/**
 * Why a unit does not begin with the round's parameters and with the inner state that the worker's last unit ended with (or a
 * fresh one); null where it does. Else steps could be taken rightly from a state of the worker's own choice.
 */
function startFault(state: LedgerState, author: Account, body: EventBody<"WorkRevealed">): string | null {
  const { round, before, after, inner, parametersAfter, innerAfter } = body;
  const { unitSteps, inner: fresh, firstRound } = termsOf(state);
  if (fresh === POOL) return null;
  const step = round * unitSteps;
  const { parameters } = state;
  if (parameters !== POOL && stateHash({ step, parameters, inner }) !== before)
    return "does not begin with the parameters that the round begins with";
  if (stateHash({ step: step + unitSteps, parameters: parametersAfter, inner: innerAfter }) !== after)
    return "does not end with the parameters and the inner state that it names";
  const last = state.accounts.get(author)?.inner ?? null;
  // After a checkpoint everybody goes on from an inner state of its own.
  const resumed = last === null && firstRound > 0 && round === firstRound;
  if (resumed || inner === fresh || inner === last) return null;
  return "does not begin with the inner state that the last one ended with, nor with a fresh one";
}

export const workRevealed: Rule<"WorkRevealed"> = (state, body, { author, now }) => {
  const round = inPhase(state, body.round, "reveal");
  const unit = unitOf(round, author);
  if (unit.status !== "committed")
    refuse(`the unit of ${author} in round ${body.round} is ${unit.status}, not committed`);
  const { round: _, ...work } = body;
  const fault = startFault(state, author, body);
  if (fault !== null) refuse(`the unit of ${author} in round ${body.round} ${fault}`);
  if (commitmentOf({ ledgerId: state.ledgerId, round: body.round, author, ...work }) !== unit.commitment)
    refuse(`what ${author} reveals is not what it had committed to in round ${body.round}`);
  return (effects) => {
    unit.status = "revealed";
    unit.revealed = work;
    accountOf(state, author).inner = body.innerAfter;
    effects.push({ type: "revealed", time: now, round: body.round, account: author });
    advance(state, round, now, effects);
  };
};

function checkOf(round: RoundState, worker: Account, transition: number, author: Account): CheckState {
  const check = round.checks.find(
    (one) => one.verifier === author && one.worker === worker && one.transition === transition,
  );
  if (check === undefined)
    return refuse(
      `${author} was not drawn to check transition ${transition} of ${worker} in round ${round.round}`,
    );
  if (check.void !== null) refuse(`this check is void: ${check.void}`);
  return check;
}

export const verdictCommitted: Rule<"VerdictCommitted"> = (
  state,
  { round: number, worker, transition, commitment },
  { author, now },
) => {
  const round = inPhase(state, number, "verdictCommit");
  const check = checkOf(round, worker, transition, author);
  if (check.commitment !== null) refuse(`${author} has committed to this verdict already`);
  return (effects) => {
    check.commitment = commitment;
    effects.push({
      type: "verdictCommitted",
      time: now,
      round: number,
      account: worker,
      other: author,
      transition,
    });
    advance(state, round, now, effects);
  };
};

export const verdictRevealed: Rule<"VerdictRevealed"> = (state, body, { author, now }) => {
  const { round: number, worker, transition, verdict, digest, salt } = body;
  const round = inPhase(state, number, "verdictReveal");
  const check = checkOf(round, worker, transition, author);
  if (check.verdict !== null) refuse(`${author} has revealed this verdict already`);
  if (verdict > 2) refuse(`a verdict is ${verdict}; allowed: 0 accept, 1 soft reject, 2 hard reject`);
  const content = {
    ledgerId: state.ledgerId,
    round: number,
    author,
    worker,
    transition,
    verdict,
    digest,
    salt,
  };
  if (verdictCommitmentOf(content) !== check.commitment)
    refuse(`the verdict that ${author} reveals is not the one it had committed to`);
  return (effects) => {
    check.verdict = verdict;
    check.digest = digest;
    const about = { time: now, round: number, account: worker, other: author, transition };
    effects.push({ type: "verdict", ...about, verdict });
    if (verdict === 2) effects.push({ type: "accused", ...about });
    advance(state, round, now, effects);
  };
};
