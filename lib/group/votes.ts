/** What happens inside a round: votes, broken links, losses, joiners that are sent the state. */
import type { ErrorCode } from "../base/errors.js";
import { errorCodes } from "../base/errors.js";
import { minorityOf, settleDiverged } from "./diverged.js";
import type { PeerMessage, Vote } from "./messages.js";
import { reopen, whoHasWhat } from "./rounds.js";
import {
  activeMembers,
  endRun,
  holdsState,
  type Retries,
  type Running,
  record,
  send,
  sitsOut,
  strike,
  type Turn,
} from "./state.js";

type Failed = Extract<Vote, { outcome: "failed" }>;
type SyncMessage = Extract<PeerMessage, { type: "synced" | "sync-failed" }>;

/** Whether the message is about the view that runs, and its sender is in it. */
export function isCurrent(turn: Turn, peer: string, message: { epoch: number; round: number }): boolean {
  const { record: known, phase, peers } = turn.state;
  if (phase.name !== "running" || peers.get(peer)?.member !== true) return false;
  return message.epoch === known.epoch && message.round === known.round;
}

/** The first vote of a member in an epoch counts; late and repeated ones do not. */
export function castVote(turn: Turn, peer: string, vote: Vote): void {
  const { phase } = turn.state;
  if (phase.name !== "running" || !isCurrent(turn, peer, vote) || phase.votes.has(peer)) {
    turn.reasons.push(`a late vote of ${peer} is ignored`);
    return;
  }
  // A joiner without the state cannot have the result either.
  if (vote.outcome === "done" && !holdsState(turn.state, peer)) {
    turn.reasons.push(`a vote of ${peer}, which lacks the state, is ignored`);
    return;
  }
  phase.votes.set(peer, vote);
  phase.firstVoteAt ??= turn.now;
  if (vote.outcome === "failed") phase.firstFailureAt ??= turn.now;
  turn.reasons.push(`${peer} votes ${vote.outcome === "done" ? "done" : `failed: ${vote.reason}`}`);
}

/** A joiner holds the run's state, or it, or its source, says why not. */
export function hearSync(turn: Turn, peer: string, message: SyncMessage): void {
  const { phase, peers, record: known } = turn.state;
  if (phase.name !== "running" || !isCurrent(turn, peer, message)) return;
  if (message.type === "sync-failed") {
    const failed = phase.source === peer ? joiners(turn) : joiners(turn).filter((joiner) => joiner === peer);
    for (const joiner of failed) strike(turn, joiner, `it could not be sent the state: ${message.reason}`);
    return;
  }
  if (holdsState(turn.state, peer)) return;
  if (message.stateDigest !== known.stateDigest) {
    strike(turn, peer, `it holds ${message.stateDigest} after the sync, not ${known.stateDigest}`);
    return;
  }
  const there = peers.get(peer)!;
  there.round = known.round;
  there.stateDigest = known.stateDigest;
  turn.reasons.push(`${peer} holds the state of round ${known.round}`);
}

function joiners(turn: Turn): string[] {
  return activeMembers(turn.state).filter((peer) => !holdsState(turn.state, peer));
}

/** Takes out members that keep the others waiting. */
export function checkLimits(turn: Turn, phase: Running): void {
  const { roundLimitMs, syncLimitMs } = turn.state.charter.settings;
  if (turn.now - phase.since >= syncLimitMs) {
    for (const peer of joiners(turn)) strike(turn, peer, `it was not in sync within ${syncLimitMs} ms`);
  }
  if (phase.firstVoteAt === null || turn.now - phase.firstVoteAt < roundLimitMs) return;
  for (const peer of activeMembers(turn.state)) {
    if (!phase.votes.has(peer)) strike(turn, peer, `no result within ${roundLimitMs} ms of the first vote`);
  }
}

/** Commits when the whole view agrees; otherwise finds who is lost, links anew, or ends the run. */
export function settleRunning(turn: Turn, phase: Running): void {
  const { state } = turn;
  const { members } = state.record;
  const active = activeMembers(state);
  if (active.length < members.length) {
    const reasons = members.filter((peer) => !active.includes(peer)).map((peer) => why(turn, peer));
    reopen(turn, active, reasons.join("; "), null);
    return;
  }
  const allVoted = members.every((peer) => phase.votes.has(peer));
  if (phase.firstFailureAt !== null) {
    const named = [...namedBy(turn, phase).keys()];
    // A peer that itself reports a failure is alive: nothing is left to wait for.
    const alive = named.every((peer) => phase.votes.get(peer)?.outcome === "failed");
    const waited = turn.now - phase.firstFailureAt >= state.charter.settings.silenceLimitMs;
    if ((allVoted && alive) || waited) settleFailure(turn, phase);
  } else if (allVoted) settleResult(turn, phase);
}

function why(turn: Turn, peer: string): string {
  const departure = turn.state.departures.get(peer);
  return departure === undefined ? `${peer} is gone` : `${peer} is ${departure.change}: ${departure.reason}`;
}

/** Peers' results by peer, of those who voted done. */
function results(phase: Running): Map<string, string> {
  const found = new Map<string, string>();
  for (const [peer, vote] of phase.votes) if (vote.outcome === "done") found.set(peer, vote.resultDigest);
  return found;
}

/**
 * Two members hold different results of one collective: the round runs again, and who differed from more than half of all
 * members is sent the state first, in a verified run with the next round; without such a majority the run ends.
 */
function settleDifferent(turn: Turn, phase: Running): boolean {
  const held = results(phase);
  if (new Set(held.values()).size < 2) return false;
  const { epoch, round, members } = turn.state.record;
  const split = minorityOf(held);
  const right = held.size - (split?.others.size ?? 0);
  const reason = `round ${round} of epoch ${epoch} has different results: ${whoHasWhat(held)}`;
  if (split === null || 2 * right <= members.length) {
    endRun(turn, reason, "ERR_DIVERGED");
    return true;
  }
  for (const [peer, own] of split.others)
    settleDiverged(turn, peer, { round, what: `in round ${round}`, own, expected: split.expected });
  const left = members.filter((peer) => turn.state.peers.has(peer) && !sitsOut(turn.state, peer));
  reopen(turn, left, reason, null);
  return true;
}

function settleResult(turn: Turn, phase: Running): void {
  if (settleDifferent(turn, phase)) return;
  const { epoch, round, members } = turn.state.record;
  const resultDigest = results(phase).get(members[0]!)!;
  const contributors = [...members];
  record(turn, { type: "committed", epoch, round, contributors, resultDigest });
  turn.state.phase = { name: "applying", since: turn.now, reports: new Map() };
  for (const peer of members) turn.state.peers.get(peer)!.spared = false;
  for (const peer of members) send(turn, peer, { type: "commit", epoch, round, contributors, resultDigest });
  turn.reasons.push(`round ${round} is committed`);
}

function failures(phase: Running): [string, Failed][] {
  return [...phase.votes].filter((entry): entry is [string, Failed] => entry[1].outcome === "failed");
}

/** By member that others call lost: those who do. */
function namedBy(turn: Turn, phase: Running): Map<string, string[]> {
  const found = new Map<string, string[]>();
  for (const [reporter, vote] of failures(phase)) {
    for (const peer of new Set(vote.lost)) {
      if (peer === reporter || !turn.state.record.members.includes(peer)) continue;
      found.set(peer, [...(found.get(peer) ?? []), reporter]);
    }
  }
  return found;
}

/** All members are there and yet the collective failed. */
function settleFailure(turn: Turn, phase: Running): void {
  if (settleDifferent(turn, phase)) return;
  const { record: known, charter } = turn.state;
  const named = namedBy(turn, phase);
  const { links, failures: failed, reports } = phase.retries;
  if (named.size === 0) {
    const [peer, vote] = failures(phase)[0]!;
    const reason = `${peer} failed in round ${known.round}: ${vote.reason}`;
    if (failed < charter.settings.failureRetriesMax) {
      reopen(turn, known.members, reason, { links, failures: failed + 1, reports });
      return;
    }
    const code = Object.hasOwn(errorCodes, vote.code) ? (vote.code as ErrorCode) : "ERR_INTERNAL";
    endRun(turn, `${reason}; it was tried ${failed + 1} times`, code);
    return;
  }
  const all = mergeReports(reports, named);
  if (links < charter.settings.linkRetriesMax) {
    const reason = `links broke between peers that are all there (${describeReports(named)})`;
    reopen(turn, known.members, reason, { links: links + 1, failures: failed, reports: all });
    return;
  }
  const worst = mostNamed(known.members, all);
  const reporters = all.get(worst)!.join(", ");
  const epochs = links + 1;
  strike(
    turn,
    worst,
    `${reporters} could not exchange data with it in ${epochs} epochs of round ${known.round}`,
  );
  reopen(turn, activeMembers(turn.state), why(turn, worst), null);
}

function describeReports(named: Retries["reports"]): string {
  return [...named].map(([peer, reporters]) => `${reporters.join(", ")} lost ${peer}`).join("; ");
}

function mergeReports(a: Retries["reports"], b: Retries["reports"]): Retries["reports"] {
  const merged = new Map(a);
  for (const [peer, reporters] of b)
    merged.set(peer, [...new Set([...(merged.get(peer) ?? []), ...reporters])]);
  return merged;
}

/** The member that most peers named; of equals the one of higher rank. */
function mostNamed(members: readonly string[], reports: Retries["reports"]): string {
  const count = (peer: string) => reports.get(peer)?.length ?? 0;
  return members.reduce((worst, peer) => (count(peer) >= count(worst) ? peer : worst));
}
