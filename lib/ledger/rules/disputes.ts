/**
 * Disputes (refereed delegation, as in Verde, arXiv 2502.19405): the worker splits the tree of its states down to the disputed
 * transition, opens the operators of that step, and splits those where the challenger picks, down to one operator that a
 * referee runs. Every answer is checked against the hash that was given before, and who is silent loses. A round's aggregate
 * is disputed the same way from the trace on: as transition 0, with the sequencer as its worker.
 */
import { childCount, FAN_OUT, levelsOf, nodeHash, verifyProof } from "../../verify/merkle.js";
import type { Account, Hash } from "../events.js";
import type { Effect } from "./effect.js";
import {
  disputedUnit,
  hasCapability,
  lesser,
  refuse,
  registered,
  roundOf,
  standing,
  termsOf,
  transitionsOf,
  unitLeaves,
} from "./lookup.js";
import { challengerLoses, endUnsettled, workerLoses } from "./outcome.js";
import { refereeOf } from "./referee.js";
import type { Rule } from "./rule.js";
import { fine, forfeit, lateFee } from "./slash.js";
import {
  DISPUTE_ROUNDS,
  DISPUTES_OPEN_MAX,
  type Dispute,
  type DisputePhase,
  type LedgerState,
  type RoundState,
  TRACE_LEAVES_MAX,
  type Unit,
  type UnitStatus,
} from "./state.js";
import { setTimer } from "./time.js";

/** What can be wrong: work that is revealed and neither paid nor given up. */
const disputable: readonly UnitStatus[] = ["revealed", "verifying", "hard", "pending", "soft"];

function checkUnit(
  state: LedgerState,
  round: RoundState,
  worker: Account,
  transition: number,
  now: number,
): Unit {
  const last = transitionsOf(state);
  if (transition > last)
    refuse(`the transition is ${transition}; allowed: 1 to ${last}, and 0 for the aggregate`);
  if (round.round < state.nextRound - DISPUTE_ROUNDS)
    refuse(
      `work can be disputed until two rounds later; round ${round.round} is too long ago for its states to be kept`,
    );
  const unit = disputedUnit(state, round, worker, transition);
  if (unit === undefined)
    return refuse(
      transition === 0
        ? `there is no aggregate of ${worker} in round ${round.round}`
        : `${worker} has no unit in round ${round.round}`,
    );
  const status = standing(unit);
  if (!disputable.includes(status))
    refuse(`the unit of ${worker} in round ${round.round} is ${status}; nothing can be disputed about it`);
  if (unit.lockEnd !== null && unit.lockEnd <= now)
    refuse(`the unit could be disputed until ${unit.lockEnd}`);
  return unit;
}

function checkChallenger(state: LedgerState, round: RoundState, worker: Account, author: Account): void {
  const own = registered(state, author);
  if (author === worker) refuse("nobody disputes its own unit");
  const found = round.checks.some(
    (check) => check.verifier === author && check.worker === worker && (check.verdict ?? 0) !== 0,
  );
  if (!found && !hasCapability(own, "challenger"))
    refuse(`${author} is no challenger, and has not rejected the unit as its verifier`);
  const open = [...state.disputes.values()].filter(({ phase }) => phase !== "over");
  if (open.length >= DISPUTES_OPEN_MAX) refuse(`${DISPUTES_OPEN_MAX} disputes are open`);
  if (open.some((one) => one.challenger === author && one.worker === worker && one.round === round.round))
    refuse(`${author} disputes this unit already`);
  const { disputeBond } = termsOf(state);
  if (own.free < disputeBond && own.bonded - own.pledged < disputeBond)
    refuse(
      `a dispute takes ${disputeBond}; ${author} has ${own.free} free and ${own.bonded - own.pledged} bonded`,
    );
}

/** The bond goes out of the challenger's free balance, or else is pledged of its stake; the worker's of its stake. */
function layDown(state: LedgerState, challenger: Account, worker: Account) {
  const { disputeBond } = termsOf(state);
  const accuser = state.accounts.get(challenger)!;
  const accused = state.accounts.get(worker)!;
  const held = accuser.free >= disputeBond ? disputeBond : 0n;
  const challengerPledge = disputeBond - held;
  accuser.free -= held;
  accuser.pledged += challengerPledge;
  const able = accused.bonded - accused.pledged;
  const workerPledge = able > 0n ? lesser(able, disputeBond) : 0n;
  accused.pledged += workerPledge;
  return { held, challengerPledge, workerPledge };
}

export const disputeOpened: Rule<"DisputeOpened"> = (state, body, { author, now }) => {
  const { round: number, worker, transition } = body;
  const round = roundOf(state, number);
  const unit = checkUnit(state, round, worker, transition, now);
  checkChallenger(state, round, worker, author);
  return (effects) => {
    if (unit.openDisputes === 0) {
      unit.resume = unit.status;
      unit.status = "disputed";
    }
    unit.openDisputes += 1;
    const leaves = unitLeaves(state);
    const dispute: Dispute = {
      id: state.nextDispute,
      round: number,
      worker,
      challenger: author,
      transition,
      openedAt: now,
      ...layDown(state, author, worker),
      phase: "states",
      turn: "worker",
      deadline: now,
      moves: 0,
      leaves,
      level: levelsOf(leaves),
      index: 0,
      node: unit.revealed!.root,
      children: null,
      leaf: transition === 0 ? unit.revealed!.root : null,
      before: null,
      trace: null,
      operator: null,
      operatorLeaf: null,
      referee: null,
      silent: [],
      outcome: null,
    };
    state.nextDispute += 1;
    state.disputes.set(dispute.id, dispute);
    effects.push({
      type: "disputed",
      time: now,
      round: number,
      account: worker,
      other: author,
      transition,
      dispute: dispute.id,
    });
    awaitMove(state, dispute, transition === 0 ? "trace" : "states", "worker", now);
  };
};

/** The next move is somebody's, until a deadline. */
function awaitMove(
  state: LedgerState,
  dispute: Dispute,
  phase: DisputePhase,
  turn: Dispute["turn"],
  now: number,
): void {
  dispute.phase = phase;
  dispute.turn = turn;
  dispute.moves += 1;
  dispute.deadline = now + termsOf(state).moveSpan;
  setTimer(state, { at: dispute.deadline, kind: "move", dispute: dispute.id, moves: dispute.moves });
}

function disputeOf(
  state: LedgerState,
  id: number,
  author: Account,
  turn: Dispute["turn"],
  phases: readonly DisputePhase[],
): Dispute {
  const dispute = state.disputes.get(id);
  if (dispute === undefined) return refuse(`there is no dispute ${id}`);
  if (dispute.turn !== turn || !phases.includes(dispute.phase))
    refuse(`dispute ${id} is in its phase ${dispute.phase}, and awaits ${dispute.turn ?? "nobody"}`);
  const mover =
    turn === "worker" ? dispute.worker : turn === "challenger" ? dispute.challenger : dispute.referee;
  if (author !== mover) refuse(`the move in dispute ${id} is ${mover}'s`);
  return dispute;
}

function moved(dispute: Dispute, now: number): Effect {
  const { id, round, worker, challenger, phase, transition } = dispute;
  return {
    type: "moved",
    time: now,
    round,
    account: worker,
    other: challenger,
    transition,
    dispute: id,
    phase,
  };
}

function descend(dispute: Dispute, children: readonly string[], place: number): void {
  dispute.node = children[place]!;
  dispute.level -= 1;
  dispute.index = FAN_OUT * dispute.index + place;
  dispute.children = null;
}

export const split: Rule<"Split"> = (state, { dispute: id, children }, { author, now }) => {
  const dispute = disputeOf(state, id, author, "worker", ["states", "operators"]);
  const { leaves, level, index, node, transition } = dispute;
  const count = childCount(leaves, level, index);
  if (children.length !== count) refuse(`the node has ${count} children, not ${children.length}`);
  if (nodeHash(level, leaves, children) !== node) refuse("the children do not hash to the node at hand");
  return (effects) => {
    if (dispute.phase === "operators") {
      dispute.children = children;
      awaitMove(state, dispute, "operators", "challenger", now);
    } else {
      descend(dispute, children, Math.floor(transition / FAN_OUT ** (level - 1)) - FAN_OUT * index);
      if (dispute.level === 0) dispute.leaf = dispute.node;
      awaitMove(state, dispute, dispute.level === 0 ? "trace" : "states", "worker", now);
    }
    effects.push(moved(dispute, now));
  };
};

/** The state before must be the unit's leaf before; of an aggregate, the contributions that are in it. */
function checkBefore(state: LedgerState, dispute: Dispute, before: Hash, path: readonly Hash[]): void {
  const { round, worker, transition } = dispute;
  const { revealed } = disputedUnit(state, roundOf(state, round), worker, transition)!;
  if (transition === 0) {
    if (before !== revealed!.before || path.length > 0)
      refuse(`the aggregate is of the contributions ${revealed!.before}, not ${before}`);
  } else if (!verifyProof(revealed!.root, unitLeaves(state), transition - 1, before, path))
    refuse(`the path does not show that ${before} is leaf ${transition - 1} of the unit`);
}

export const traceOpened: Rule<"TraceOpened"> = (state, body, { author, now }) => {
  const dispute = disputeOf(state, body.dispute, author, "worker", ["trace"]);
  const { before, path, trace, leaves } = body;
  checkBefore(state, dispute, before, path);
  if (leaves < 1 || leaves > TRACE_LEAVES_MAX)
    refuse(`the trace has ${leaves} leaves; allowed: 1 to ${TRACE_LEAVES_MAX}`);
  return (effects) => {
    Object.assign(dispute, { before, trace, leaves, level: levelsOf(leaves), index: 0, node: trace });
    if (dispute.level === 0) toReferee(state, dispute, now, effects);
    else awaitMove(state, dispute, "operators", "worker", now);
    effects.push(moved(dispute, now));
  };
};

export const picked: Rule<"Picked"> = (state, { dispute: id, index }, { author, now }) => {
  const dispute = disputeOf(state, id, author, "challenger", ["operators"]);
  const children = dispute.children!;
  if (index >= children.length) refuse(`the node has ${children.length} children; ${index} is none of them`);
  return (effects) => {
    descend(dispute, children, index);
    if (dispute.level === 0) toReferee(state, dispute, now, effects);
    else awaitMove(state, dispute, "operators", "worker", now);
    effects.push(moved(dispute, now));
  };
};

function toReferee(state: LedgerState, dispute: Dispute, now: number, effects: Effect[]): void {
  dispute.operator = dispute.index;
  dispute.operatorLeaf = dispute.node;
  dispute.referee = refereeOf(state, dispute);
  if (dispute.referee === null) endUnsettled(state, dispute, "there is no referee for it", now, effects);
  else awaitMove(state, dispute, "referee", "referee", now);
}

export const settled: Rule<"Settled"> = (state, { dispute: id, winner, operator }, { author, now }) => {
  const dispute = disputeOf(state, id, author, "referee", ["referee"]);
  if (winner > 1) refuse(`the winner is ${winner}; allowed: 0 worker, 1 challenger`);
  if (operator !== dispute.operator)
    refuse(`the operator in dispute is ${dispute.operator}, not ${operator}`);
  return (effects) => {
    dispute.moves += 1;
    const reason = `the referee ran operator ${operator}`;
    if (winner === 0) challengerLoses(state, dispute, reason, now, effects);
    else workerLoses(state, dispute, reason, now, effects);
  };
};

/** The deadline of a move: the silent party loses; a silent referee pays, and another is drawn. */
export function endMove(state: LedgerState, dispute: Dispute, now: number, effects: Effect[]): void {
  const { turn, referee, id } = dispute;
  if (turn === "worker") workerLoses(state, dispute, "the worker was silent", now, effects);
  else if (turn === "challenger") challengerLoses(state, dispute, "the challenger was silent", now, effects);
  else if (turn === "referee" && referee !== null) {
    const reason = `did not settle dispute ${id}`;
    forfeit(state, fine(state, referee, lateFee(state), reason, now, effects), referee);
    dispute.silent.push(referee);
    toReferee(state, dispute, now, effects);
  }
}
