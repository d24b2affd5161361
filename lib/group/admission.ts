/** Who may take part: hellos, shards, leaves. */
import type { ErrorCode } from "../base/errors.js";
import { keepKnown } from "./link-matrix.js";
import type { Applied, Hello } from "./messages.js";
import {
  candidates,
  endRun,
  FORGIVEN_ROUNDS,
  faultsOf,
  holdsState,
  lose,
  type PeerState,
  record,
  refuse,
  send,
  type Turn,
  unseat,
  wait,
} from "./state.js";

type OpenHello = Omit<Hello, "secret">;

/** Why the peer is not admitted, or null. */
function refusal(turn: Turn, peer: string, hello: OpenHello): { code: ErrorCode; reason: string } | null {
  const { charter } = turn.state;
  if (hello.runId !== charter.runId) {
    const reason = `its ticket is for run ${hello.runId}, this is run ${charter.runId}; ask for a new ticket`;
    return { code: "ERR_REFUSED", reason };
  }
  if (hello.recipeDigest !== null && hello.recipeDigest !== charter.recipeDigest) {
    const reason = `its recipe ${hello.recipeDigest} is not the run's ${charter.recipeDigest}; join with the ticket alone`;
    return { code: "ERR_REFUSED", reason };
  }
  const faults = faultsOf(turn.state, peer);
  if (faults >= charter.settings.strikesMax) {
    return {
      code: "ERR_REFUSED",
      reason: `it was taken out of the run ${faults} times within ${FORGIVEN_ROUNDS} rounds`,
    };
  }
  return null;
}

/**
 * The shard of a connecting peer: its old one unless another connected peer reads it, else the lowest that nobody is
 * remembered for, else the lowest that no connected peer reads. Null when the run is full.
 */
function freeShard(turn: Turn, peer: string): number | null {
  const { charter, peers, phase, record } = turn.state;
  // A restarted coordinator keeps the places of the members it waits for.
  const present = new Set([...peers.keys(), ...(phase.name === "gathering" ? phase.expected : [])]);
  present.delete(peer);
  const taken = new Set([...present].map((other) => record.shards.get(other)));
  const old = record.shards.get(peer);
  if (old !== undefined && !taken.has(old)) return old;
  const remembered = new Set(record.shards.values());
  const free = Array.from({ length: charter.settings.peersMax }, (_, shard) => shard).filter(
    (s) => !taken.has(s),
  );
  return free.find((shard) => !remembered.has(shard)) ?? free[0] ?? null;
}

/** The first hello of a connection. */
function admit(turn: Turn, peer: string): void {
  const { charter } = turn.state;
  lose(turn, peer, "it connected again");
  const shard = freeShard(turn, peer);
  if (shard === null) {
    refuse(turn, peer, "ERR_REFUSED", `the run is full: ${charter.settings.peersMax} peers (peersMax)`);
    return;
  }
  if (turn.state.record.shards.get(peer) !== shard) record(turn, { type: "admitted", peer, shard });
  for (const other of turn.state.strikes.keys()) {
    // Only remembered peers, at most peersMax, are worth memory.
    if (!turn.state.record.shards.has(other)) turn.state.strikes.delete(other);
  }
  for (const other of turn.state.diverged.keys())
    if (!turn.state.record.shards.has(other)) turn.state.diverged.delete(other);
  turn.state.links = keepKnown(turn.state.links, (other) => turn.state.record.shards.has(other));
  turn.state.peers.set(peer, {
    addresses: [],
    seenAt: turn.now,
    ready: false,
    round: -1,
    stateDigest: null,
    catching: false,
    leaving: false,
    member: false,
    dialable: true,
    samples: 1,
    resting: false,
    spared: false,
    suspended: false,
  });
  const { beatMs, silenceLimitMs } = charter.settings;
  send(turn, peer, {
    type: "welcome",
    runId: charter.runId,
    peerId: peer,
    config: charter.config,
    shard,
    round: turn.state.record.round,
    ledgerId: charter.ledgerId,
    beatMs,
    silenceLimitMs,
  });
  turn.reasons.push(`${peer} is admitted with shard ${shard}`);
}

/** Sends the last commit to a peer that holds its result but has not seen it. */
function catchUp(turn: Turn, peer: string, there: PeerState, hello: OpenHello): void {
  const { commit } = turn.state.record;
  const { pending } = hello;
  const holds =
    commit !== null &&
    there.round === commit.round &&
    pending?.epoch === commit.epoch &&
    pending.round === commit.round &&
    pending.resultDigest === commit.resultDigest;
  there.catching = holds;
  if (holds) send(turn, peer, { type: "commit", ...commit, contributors: [...commit.contributors] });
}

/** The state that a contributor of the last commit reached becomes the run's, when nobody has told it yet. */
function learnState(turn: Turn, peer: string): void {
  const { record: known, phase, peers } = turn.state;
  const there = peers.get(peer);
  if (phase.name !== "gathering" || known.stateDigest !== null || there === undefined) return;
  if (there.round !== known.round || there.stateDigest === null) return;
  if (known.commit?.contributors.includes(peer) !== true) return;
  record(turn, { type: "state", round: known.round, stateDigest: there.stateDigest });
}

/** A hello: the first of a connection, or a newer one that says what the peer holds by now. */
export function hear(turn: Turn, peer: string, hello: OpenHello, fresh: boolean): void {
  const { state } = turn;
  if (state.record.ended !== null) {
    send(turn, peer, { type: "end", ...state.record.ended });
    turn.actions.push({ type: "close", peer });
    lose(turn, peer, "the run has ended");
    return;
  }
  const why = refusal(turn, peer, hello);
  if (why !== null) {
    refuse(turn, peer, why.code, why.reason);
    return;
  }
  if (fresh) admit(turn, peer);
  const there = state.peers.get(peer);
  // What a member holds is known from its votes and reports; a hello in between could only confuse.
  if (there === undefined || there.member) return;
  there.addresses = [...hello.addresses];
  there.dialable = hello.dialable;
  there.samples = hello.samples;
  there.ready = hello.recipeDigest !== null;
  there.round = hello.round;
  there.stateDigest = hello.stateDigest;
  if (!there.ready) return;
  catchUp(turn, peer, there, hello);
  if (
    state.phase.name === "gathering" &&
    hello.applied?.round === state.record.commit?.round &&
    hello.applied
  ) {
    state.phase.reports.set(peer, hello.applied.metrics);
  }
  learnState(turn, peer);
  const { round } = state.record;
  const held = holdsState(state, peer) ? "with" : "without";
  wait(turn, peer, `for the next round (it comes ${held} the state of round ${round})`);
  turn.reasons.push(`${peer} is ready, ${held} the state of round ${round}`);
}

/** What a peer reports that applied a commit outside the round; the run may have gone on meanwhile. */
export function caughtUp(turn: Turn, peer: string, message: Applied): void {
  const { phase, peers } = turn.state;
  const there = peers.get(peer)!;
  there.catching = false;
  there.round = message.round + 1;
  there.stateDigest = message.stateDigest;
  turn.reasons.push(`${peer} applied round ${message.round}`);
  if (phase.name !== "gathering") return;
  learnState(turn, peer);
  const { round, stateDigest: known } = turn.state.record;
  if (there.round !== round) return;
  phase.reports.set(peer, message.metrics);
  if (known === null || known === message.stateDigest) return;
  const reason = `after round ${message.round} ${peer} holds the state ${message.stateDigest}, others ${known}`;
  endRun(turn, reason, "ERR_DIVERGED");
}

/** An accused peer waits, in no view, until its accusation is settled. */
export function suspend(turn: Turn, peer: string, reason: string): void {
  const there = turn.state.peers.get(peer);
  if (there === undefined || there.suspended) return;
  unseat(turn, peer, "lost", reason);
  there.suspended = true;
  wait(turn, peer, reason);
  turn.reasons.push(`${peer} is suspended: ${reason}`);
}

/** The accusation did not hold: the peer takes part from the next boundary on. */
export function restore(turn: Turn, peer: string): void {
  const there = turn.state.peers.get(peer);
  if (there?.suspended !== true) return;
  there.suspended = false;
  turn.reasons.push(`${peer} is no longer suspended`);
}

/** Members go at the next boundary, others at once, unless they alone hold what the peers that stay need. */
export function askToLeave(turn: Turn, peer: string): void {
  const there = turn.state.peers.get(peer);
  if (there === undefined) return;
  there.leaving = true;
  turn.reasons.push(`${peer} asks to leave`);
  if (!there.member) releaseLeavers(turn);
}

/** Lets go those who asked to leave and are not needed; a boundary, or they are in no view. */
export function releaseLeavers(turn: Turn): void {
  const needed = candidates(turn.state);
  for (const [peer, there] of [...turn.state.peers]) {
    if (there.leaving && !there.member && !there.catching && !needed.includes(peer)) release(turn, peer);
  }
}

function release(turn: Turn, peer: string): void {
  const reason = `left the run at round ${turn.state.record.round}`;
  send(turn, peer, { type: "end", reason, code: null });
  turn.actions.push({ type: "close", peer });
  lose(turn, peer, "it asked to leave");
}
