/** Boundaries between rounds: which view comes next, pauses, and what is checked once every member has applied. */
import { releaseLeavers } from "./admission.js";
import { minorityOf, settleDiverged } from "./diverged.js";
import { matrixOf } from "./link-matrix.js";
import type { Metrics, Notice } from "./messages.js";
import { sameMembers } from "./record.js";
import {
  type Applying,
  activeMembers,
  byRank,
  candidates,
  endRun,
  faultsOf,
  type Gathering,
  holdsState,
  type Retries,
  record,
  send,
  type Turn,
  unseat,
  wait,
} from "./state.js";

/** Who has which digest, for a message: `abc on A, B; def on C`. */
export function whoHasWhat(digests: ReadonlyMap<string, string>): string {
  const holders = Map.groupBy(digests, ([, digest]) => digest);
  return [...holders]
    .map(([digest, held]) => `${digest} on ${held.map(([peer]) => peer).join(", ")}`)
    .join("; ");
}

/** Tells who came and went since the last notice. */
function tellMembers(turn: Turn, members: readonly string[], reason: string): void {
  const { state } = turn;
  const gone = new Map(state.departures);
  for (const peer of state.told) {
    if (members.includes(peer) || gone.has(peer)) continue;
    gone.set(peer, { change: "lost", reason: "it did not come back" });
  }
  const changes: Extract<Notice, { kind: "membership" }>["changes"] = [...gone].map(([peerId, why]) => ({
    peerId,
    ...why,
  }));
  for (const peerId of members) {
    if (state.told.includes(peerId) && !gone.has(peerId)) continue;
    const { round } = state.record;
    const how = holdsState(state, peerId) ? `holds the state of round ${round}` : "has the state sent to it";
    changes.push({ peerId, change: "joined", reason: how });
  }
  const { epoch, round } = state.record;
  turn.actions.push({
    type: "notify",
    notice: { kind: "membership", epoch, round, members: [...members], changes, reason },
  });
  state.told = [...members];
  state.departures.clear();
}

/** The members run the record's round: under a new epoch unless all of it is as it was in the round before. */
export function announce(
  turn: Turn,
  chosen: readonly string[],
  reason: string,
  retries: Retries | null,
): void {
  const { state } = turn;
  const members = byRank(state, chosen);
  const unchanged =
    state.record.viewRound < state.record.round &&
    sameMembers(members, state.record.members) &&
    sameMembers(activeMembers(state), members);
  const epoch = state.record.epoch + (unchanged ? 0 : 1);
  const { round } = state.record;
  const holders = members.filter((peer) => holdsState(state, peer));
  const targets = members.filter((peer) => !holdsState(state, peer));
  // A joiner whose sync failed before is given another source.
  const faults = Math.max(0, ...targets.map((peer) => faultsOf(state, peer)));
  const source = targets.length === 0 ? null : holders[faults % holders.length]!;
  for (const peer of state.record.members) {
    if (!members.includes(peer)) unseat(turn, peer, "lost", reason);
  }
  const again = state.record.viewRound === round;
  record(turn, { type: "view", epoch, round, members });
  for (const peer of members) state.peers.get(peer)!.member = true;
  state.phase = {
    name: "running",
    since: turn.now,
    source,
    delayed: source === null ? [] : [source, ...targets],
    votes: new Map(),
    finished: new Map(),
    firstVoteAt: null,
    firstFailureAt: null,
    retries: retries ?? { links: 0, failures: 0, reports: new Map() },
  };
  const described = members.map((peerId) => ({
    peerId,
    addresses: [...state.peers.get(peerId)!.addresses],
    shard: state.record.shards.get(peerId)!,
    samples: state.peers.get(peerId)!.samples,
    dialable: state.peers.get(peerId)!.dialable,
  }));
  const links = matrixOf(state.links, members);
  for (const peer of members) {
    const sync = source === null ? null : { source, targets };
    send(turn, peer, { type: "view", epoch, round, members: described, sync, again, links });
  }
  if (!unchanged) tellMembers(turn, members, reason);
  turn.reasons.push(`round ${round} runs under epoch ${epoch}: ${reason}`);
}

/** The same round again, under a new epoch, with those who are left; a pause when they are too few. */
export function reopen(
  turn: Turn,
  members: readonly string[],
  reason: string,
  retries: Retries | null,
): void {
  const enough = members.length >= turn.state.charter.settings.membersMin;
  if (enough && members.some((peer) => holdsState(turn.state, peer)))
    announce(turn, members, reason, retries);
  else pause(turn, reason);
}

/** No view until enough peers are there, one of them with the state. */
export function pause(turn: Turn, reason: string): void {
  const { state } = turn;
  const untold = state.record.commit !== null && state.record.stateDigest === null;
  for (const there of state.peers.values()) {
    there.member = false;
    // Nobody is left that it would keep waiting, and it may be the only one with the state.
    there.resting = false;
  }
  releaseLeavers(turn);
  state.phase = { name: "gathering", expected: [], until: null, untold, reports: new Map() };
  for (const [peer, there] of state.peers) {
    if (there.ready) wait(turn, peer, `the run waits for peers: ${reason}`);
  }
  if (state.told.length > 0) tellMembers(turn, [], `the run waits for peers: ${reason}`);
  turn.reasons.push(`the run pauses in round ${state.record.round}: ${reason}`);
}

/** A boundary: leavers go, joiners come, the next round starts, or the run is complete. */
function openRound(turn: Turn, reason: string): void {
  const { state } = turn;
  const { settings } = state.charter;
  if (state.record.round >= settings.rounds) {
    endRun(turn, "complete", null);
    return;
  }
  const members = candidates(state);
  for (const [peer, there] of state.peers) {
    if (there.leaving && !members.includes(peer)) unseat(turn, peer, "left", "it asked to leave");
  }
  releaseLeavers(turn);
  const enough = members.length >= settings.membersMin;
  if (enough && members.some((peer) => holdsState(state, peer))) announce(turn, members, reason, null);
  else
    pause(turn, enough ? "no peer holds the state" : `${members.length} of ${settings.membersMin} are there`);
}

function tellCommit(turn: Turn, reports: ReadonlyMap<string, Metrics>): void {
  const { commit, stateDigest } = turn.state.record;
  if (commit === null || stateDigest === null) return;
  const { epoch, round, contributors } = commit;
  const metrics = [...reports].map(([peerId, numbers]) => ({ peerId, metrics: numbers }));
  turn.actions.push({
    type: "notify",
    notice: { kind: "commit", epoch, round, contributors: [...contributors], stateDigest, metrics },
  });
}

/** Whether a member of the last view is back, as far as it can be. */
function isBack(turn: Turn, peer: string): boolean {
  const there = turn.state.peers.get(peer);
  return there?.ready === true && !there.catching;
}

/** A new run's first state is the one that its first peer built from the seed. */
function learnStart(turn: Turn, ready: readonly string[]): void {
  const { record: known, peers, charter } = turn.state;
  if (known.stateDigest !== null || known.commit !== null || ready.length < charter.settings.peersMin) return;
  for (const peer of ready) {
    const { round, stateDigest } = peers.get(peer)!;
    if (round !== known.round || stateDigest === null) continue;
    record(turn, { type: "state", round, stateDigest });
    return;
  }
}

/** Starts the next view once enough peers are there, one with the state, and no member is worth waiting for. */
export function settleGathering(turn: Turn, phase: Gathering): void {
  const { state, now } = turn;
  const { settings } = state.charter;
  const expired = phase.until !== null && now >= phase.until;
  releaseLeavers(turn);
  const ready = candidates(state);
  learnStart(turn, ready);
  if (!ready.some((peer) => holdsState(state, peer))) {
    if (state.record.epoch === 0) return;
    if (phase.until === null) phase.until = now + settings.recoverLimitMs;
    else if (expired) {
      const reason = `no peer holds the state of round ${state.record.round}; resume from a checkpoint`;
      endRun(turn, reason, "ERR_CHECKPOINT");
    }
    return;
  }
  if (phase.expected.some((peer) => !isBack(turn, peer)) && !expired) return;
  const cause = state.record.epoch === 0 ? "the run starts" : "the run goes on";
  phase.expected = [];
  phase.until = null;
  if (phase.untold) tellCommit(turn, phase.reports);
  phase.untold = false;
  const complete = state.record.round >= settings.rounds;
  const enough = state.record.epoch === 0 ? settings.peersMin : settings.membersMin;
  if (complete || ready.length >= enough) openRound(turn, cause);
}

/** Compares the states of all members that are still there, and goes on when they are equal. */
export function settleApplying(turn: Turn, phase: Applying): void {
  const { state } = turn;
  const active = activeMembers(state);
  if (active.length === 0) {
    pause(turn, "every member went before it had applied the round");
    return;
  }
  if (!active.every((peer) => phase.reports.has(peer))) return;
  const digests = new Map([...phase.reports].map(([peer, report]) => [peer, report.stateDigest]));
  const { round } = state.record;
  const split = minorityOf(digests);
  if (split === null) {
    const reason = `after round ${round - 1} peers hold different states: ${whoHasWhat(digests)}`;
    endRun(turn, reason, "ERR_DIVERGED");
    return;
  }
  record(turn, { type: "state", round, stateDigest: split.expected });
  for (const [peer, own] of split.others)
    settleDiverged(turn, peer, {
      round: round - 1,
      what: `after round ${round - 1}`,
      own,
      expected: split.expected,
    });
  tellCommit(turn, new Map([...phase.reports].map(([peer, report]) => [peer, report.metrics])));
  openRound(turn, `round ${round - 1} is done`);
}
