/**
 * Slow members: one whose inner steps end too long after the median member's is left out of the round. It is not lost:
 * it goes on with its steps, comes back at the boundary after them, brings that work along, and is then waited for.
 */
import type { PeerMessage } from "./messages.js";
import { activeMembers, holdsState, type Running, type Turn, unseat, wait } from "./state.js";
import { isCurrent } from "./votes.js";

type Finished = Extract<PeerMessage, { type: "finished" }>;

/** A member has taken its inner steps, or one that was left out has at last. */
export function hearFinished(turn: Turn, peer: string, message: Finished): void {
  const { phase, peers } = turn.state;
  const there = peers.get(peer)!;
  if (there.resting) {
    there.resting = false;
    turn.reasons.push(`${peer}, which was left out, has finished the inner steps of round ${message.round}`);
  } else if (phase.name === "running" && isCurrent(turn, peer, message) && !phase.finished.has(peer))
    phase.finished.set(peer, turn.now);
}

/** When more than half of the members had taken their steps; null before. */
function medianAt(phase: Running, members: readonly string[]): number | null {
  const times = members.flatMap((peer) => phase.finished.get(peer) ?? []).sort((a, b) => a - b);
  return times[Math.floor(members.length / 2)] ?? null;
}

/**
 * Leaves out the members past the limit, unless the round could not go on without them. Who sends or receives the state
 * first has limits of its own.
 */
export function leaveOutSlow(turn: Turn, phase: Running): void {
  const { state, now } = turn;
  const { slowLimitMs, membersMin } = state.charter.settings;
  const members = activeMembers(state);
  const median = medianAt(phase, members);
  if (slowLimitMs === 0 || median === null || now - median < slowLimitMs) return;
  const busy = (peer: string) => !phase.finished.has(peer) && !phase.votes.has(peer);
  const excused = (peer: string) => phase.delayed.includes(peer) || state.peers.get(peer)!.spared;
  const slow = members.filter((peer) => busy(peer) && !excused(peer));
  const rest = members.filter((peer) => !slow.includes(peer));
  if (rest.length < membersMin || !rest.some((peer) => holdsState(state, peer))) return;
  for (const peer of slow) {
    const there = state.peers.get(peer)!;
    const reason = `its inner steps take ${Math.round(now - median)} ms longer than the median (slowLimitMs ${slowLimitMs})`;
    unseat(turn, peer, "slow", reason);
    there.resting = true;
    there.spared = true;
    wait(turn, peer, `left out of round ${state.record.round}: ${reason}; its work goes into a later round`);
    turn.reasons.push(`${peer} is left out: ${reason}`);
  }
}
