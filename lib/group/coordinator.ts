/**
 * The coordinator: the pure state machine that decides a run's membership, epochs and rounds. It knows digests, never
 * tensors. The same events at the same times give the same states and actions; nothing here waits, sends or stores.
 *
 * Rules: a round commits once every member of its view holds the same result, and the next begins once every member
 * reports the same state. A member that is lost in between costs an epoch: the survivors run the round again. Peers
 * join and leave at round boundaries; a joiner is sent the state by a member. One that is far slower than the others
 * may be left out of a round, and comes back at a boundary.
 */

import { askToLeave, caughtUp, hear, restore, suspend } from "./admission.js";
import { addMeasured, keepKnown } from "./link-matrix.js";
import type { Applied, Hello, PeerMessage } from "./messages.js";
import { settleApplying, settleGathering } from "./rounds.js";
import { hearFinished, leaveOutSlow } from "./slow.js";
import {
  type Action,
  activeMembers,
  type CoordinatorEvent,
  type CoordinatorState,
  endRun,
  lose,
  refuse,
  strike,
  type Turn,
} from "./state.js";
import { castVote, checkLimits, hearSync, settleRunning } from "./votes.js";

export interface Decision {
  state: CoordinatorState;
  /** To be carried out in order; records durably before anything else. */
  actions: Action[];
  /** What was decided and why, for logs. */
  reason: string;
}

/**
 * What follows from an event at the time `now` (milliseconds of a clock that never goes back). `state` is not changed.
 */
export function coordinate(state: CoordinatorState, event: CoordinatorEvent, now: number): Decision {
  const { charter, record, links, ...session } = state;
  const draft: CoordinatorState = { charter, record, links, ...structuredClone(session) };
  const turn: Turn = { state: draft, now, actions: [], reasons: [] };
  handle(turn, event);
  settle(turn);
  return { state: turn.state, actions: turn.actions, reason: turn.reasons.join("; ") };
}

function handle(turn: Turn, event: CoordinatorEvent): void {
  if (event.type === "tick") {
    tick(turn);
    return;
  }
  if (event.type === "end") {
    if (turn.state.record.ended === null) endRun(turn, event.reason, event.code);
    return;
  }
  if (event.type === "restore") {
    for (const peer of event.peers) restore(turn, peer);
    return;
  }
  const { peer } = event;
  if (event.type === "hello") {
    seen(turn, peer);
    hear(turn, peer, event.hello, event.fresh);
    if (event.suspended !== undefined) suspend(turn, peer, event.suspended);
  } else if (event.type === "closed") lose(turn, peer, event.reason);
  else if (event.type === "fault") refuse(turn, peer, event.code, event.reason);
  else if (event.type === "suspend") suspend(turn, peer, event.reason);
  else if (turn.state.peers.has(peer)) {
    seen(turn, peer);
    hearMessage(turn, peer, event.message);
  }
}

function seen(turn: Turn, peer: string): void {
  const there = turn.state.peers.get(peer);
  if (there !== undefined) there.seenAt = turn.now;
}

function hearMessage(turn: Turn, peer: string, message: Exclude<PeerMessage, Hello>): void {
  switch (message.type) {
    case "vote":
      castVote(turn, peer, message);
      break;
    case "applied":
      hearApplied(turn, peer, message);
      break;
    case "synced":
    case "sync-failed":
      hearSync(turn, peer, message);
      break;
    case "leave":
      if (turn.state.record.ended === null) askToLeave(turn, peer);
      break;
    case "finished":
      hearFinished(turn, peer, message);
      break;
    case "links":
      turn.state.links = keepKnown(
        addMeasured(turn.state.links, peer, message.measured),
        // Whatever peers a member names, the matrix stays bounded.
        (other) => turn.state.record.shards.has(other),
      );
      break;
    case "beat":
      break;
  }
}

function hearApplied(turn: Turn, peer: string, message: Applied): void {
  const { phase, record, peers } = turn.state;
  const there = peers.get(peer)!;
  if (there.catching) {
    caughtUp(turn, peer, message);
    return;
  }
  if (message.round !== record.commit?.round) return;
  if (phase.name !== "applying" || !there.member || phase.reports.has(peer)) return;
  phase.reports.set(peer, { stateDigest: message.stateDigest, metrics: message.metrics });
  there.round = record.round;
  there.stateDigest = message.stateDigest;
  turn.reasons.push(`${peer} applied round ${message.round}`);
}

/** Looks for silent and slow peers. */
function tick(turn: Turn): void {
  const { state, now } = turn;
  const { silenceLimitMs, roundLimitMs } = state.charter.settings;
  const gap = state.tickedAt === null ? 0 : now - state.tickedAt;
  state.tickedAt = now;
  // A coordinator that was itself stopped finds everybody silent; the fault is its own.
  if (gap > silenceLimitMs / 2) forgive(turn, gap);
  for (const [peer, there] of [...state.peers]) {
    const silentMs = now - there.seenAt;
    if (silentMs <= silenceLimitMs) continue;
    turn.actions.push({ type: "close", peer });
    lose(turn, peer, `silent for ${Math.round(silentMs)} ms (silenceLimitMs ${silenceLimitMs})`);
  }
  const { phase } = state;
  if (phase.name === "running") {
    checkLimits(turn, phase);
    leaveOutSlow(turn, phase);
  }
  if (phase.name === "applying" && now - phase.since >= roundLimitMs) {
    for (const peer of activeMembers(state)) {
      if (!phase.reports.has(peer))
        strike(turn, peer, `it did not apply the round within ${roundLimitMs} ms`);
    }
  }
}

/** Gives every peer the time back that the coordinator missed. */
function forgive(turn: Turn, gap: number): void {
  const { state, now } = turn;
  for (const there of state.peers.values()) there.seenAt = Math.min(now, there.seenAt + gap);
  const { phase } = state;
  if (phase.name === "gathering" && phase.until !== null) phase.until += gap;
  if (phase.name === "applying") phase.since += gap;
  if (phase.name !== "running") return;
  phase.since += gap;
  for (const [peer, at] of phase.finished) phase.finished.set(peer, at + gap);
  if (phase.firstVoteAt !== null) phase.firstVoteAt += gap;
  if (phase.firstFailureAt !== null) phase.firstFailureAt += gap;
}

/** Draws every conclusion that the state allows; each one leads to a new phase, and the last one to no other. */
function settle(turn: Turn): void {
  for (;;) {
    const { phase } = turn.state;
    if (phase.name === "gathering") settleGathering(turn, phase);
    else if (phase.name === "running") settleRunning(turn, phase);
    else if (phase.name === "applying") settleApplying(turn, phase);
    if (turn.state.phase === phase) return;
  }
}
