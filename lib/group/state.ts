/** The coordinator's state, the events that change it, the actions it asks for, and the small steps all rules share. */
import type { ErrorCode } from "../base/errors.js";
import type { LinkRecord } from "./link-matrix.js";
import type {
  Applied,
  CoordinatorMessage,
  Hello,
  MembershipChange,
  Metrics,
  Notice,
  PeerMessage,
  Vote,
} from "./messages.js";
import { type Charter, type Fact, foldFact, type RunRecord, startRecord } from "./record.js";

/** How a member goes. */
export type Departure = Exclude<MembershipChange, "joined">;

/** A connected peer. */
export interface PeerState {
  addresses: string[];
  /** When it last said anything. */
  seenAt: number;
  /** It has the recipe and can take part; before, it only wants the config. */
  ready: boolean;
  /** The state it holds. */
  round: number;
  stateDigest: string | null;
  /** It was sent the last commit outside the round, and will report the state it reaches. */
  catching: boolean;
  leaving: boolean;
  /** It is in the view that the record names, over this very connection. */
  member: boolean;
  /** Others can open connections to it. */
  dialable: boolean;
  /** Of its shard. */
  samples: number;
  /** It was left out of a round as too slow, and is still at its inner steps. */
  resting: boolean;
  /** It was left out since it last contributed, so that the next round waits for it. */
  spared: boolean;
  /** Accused by a verifier: it stays connected and in no view until that is settled. */
  suspended: boolean;
}

/** No view runs: a new run, a pause, or a coordinator that was restarted. */
export interface Gathering {
  name: "gathering";
  /** Members of the last view that a restarted coordinator still waits for. */
  expected: string[];
  /** When it stops waiting for them, or for any peer that holds the state; null while nothing is awaited. */
  until: number | null;
  /** The last commit was not told as news yet. */
  untold: boolean;
  reports: Map<string, Metrics>;
}

/** The members of the record's view work on the record's round. */
export interface Running {
  name: "running";
  since: number;
  /** Whom joiners get the state from; null when every member holds it. */
  source: string | null;
  /** The source and the joiners, whose inner steps begin late. */
  delayed: string[];
  votes: Map<string, Vote>;
  /** When each member had taken its inner steps. */
  finished: Map<string, number>;
  firstVoteAt: number | null;
  firstFailureAt: number | null;
  retries: Retries;
}

/** Epochs that this round took with the same members. */
export interface Retries {
  links: number;
  failures: number;
  /** By peer named as lost: the peers that named it. */
  reports: Map<string, string[]>;
}

/** The round is committed; its members apply the result. */
export interface Applying {
  name: "applying";
  since: number;
  reports: Map<string, Pick<Applied, "stateDigest" | "metrics">>;
}

export type Phase = Gathering | Running | Applying | { name: "ended" };

export interface CoordinatorState {
  readonly charter: Charter;
  /** Durable: what the journal's facts add up to. All else is lost with the process, and may be. */
  record: RunRecord;
  phase: Phase;
  peers: Map<string, PeerState>;
  /** Evictions and failed syncs by peer, and the round of the last one. */
  strikes: Map<string, { faults: number; round: number }>;
  /** Peers that held other bits than the rest, and the round of the first time. */
  diverged: Map<string, number>;
  /** Members as told in the last notice. */
  told: string[];
  /** Why members went since the last notice. */
  departures: Map<string, { change: Departure; reason: string }>;
  /** What members measured their links to be; never changed in place. */
  links: LinkRecord;
  tickedAt: number | null;
}

export type CoordinatorEvent =
  /** `fresh`: the first hello of a connection; it replaces any older one of the peer. `suspended`: why it is in no view yet. */
  | { type: "hello"; peer: string; hello: Omit<Hello, "secret">; fresh: boolean; suspended?: string }
  | { type: "message"; peer: string; message: Exclude<PeerMessage, Hello> }
  /** The peer's connection is gone. */
  | { type: "closed"; peer: string; reason: string }
  /** The run's ledger accuses the peer, or takes that back, of all whom it concerns at once. */
  | { type: "suspend"; peer: string; reason: string }
  | { type: "restore"; peers: readonly string[] }
  /** The peer said what no correct peer says. */
  | { type: "fault"; peer: string; code: ErrorCode; reason: string }
  /** Whoever leads the run has found that it cannot go on. */
  | { type: "end"; code: ErrorCode; reason: string }
  | { type: "tick" };

/** In their order: records must be durable before anything else of the same list is carried out. */
export type Action =
  | { type: "record"; fact: Fact }
  | { type: "send"; peer: string; message: CoordinatorMessage }
  | { type: "close"; peer: string }
  /** The peer's bits differ from those of more than half of the members, for the first time or again. */
  | {
      type: "diverged";
      peer: string;
      round: number;
      own: string;
      expected: string;
      again: boolean;
      reason: string;
    }
  /** To every connected peer, and to whoever watches the coordinator. */
  | { type: "notify"; notice: Notice };

/** One call of `coordinate`: a state that may be changed, and what it asks for. */
export interface Turn {
  readonly state: CoordinatorState;
  readonly now: number;
  readonly actions: Action[];
  readonly reasons: string[];
}

/** A run that has not met a peer yet, or, with a record, one whose coordinator was restarted. */
export function initialState(
  charter: Charter,
  record: RunRecord = startRecord(charter),
  now = 0,
): CoordinatorState {
  const started = record.epoch > 0;
  const gathering: Gathering = {
    name: "gathering",
    expected: started ? [...record.members] : [],
    until: started ? now + charter.settings.recoverLimitMs : null,
    untold: record.commit !== null && record.stateDigest === null,
    reports: new Map(),
  };
  return {
    charter,
    record,
    phase: record.ended === null ? gathering : { name: "ended" },
    peers: new Map(),
    strikes: new Map(),
    diverged: new Map(),
    told: [...record.members],
    departures: new Map(),
    links: new Map(),
    tickedAt: null,
  };
}

export function record(turn: Turn, fact: Fact): void {
  turn.state.record = foldFact(turn.state.record, fact);
  turn.actions.push({ type: "record", fact });
}

export function send(turn: Turn, peer: string, message: CoordinatorMessage): void {
  turn.actions.push({ type: "send", peer, message });
}

export function wait(turn: Turn, peer: string, reason: string): void {
  send(turn, peer, { type: "wait", reason });
}

/** Members of the record's view that are still there over the connection they had. */
export function activeMembers(state: CoordinatorState): string[] {
  return state.record.members.filter((peer) => state.peers.get(peer)?.member === true);
}

/** Whether the peer holds the state at the start of the run's round. */
export function holdsState(state: CoordinatorState, peer: string): boolean {
  const { round, stateDigest } = state.record;
  const there = state.peers.get(peer);
  return stateDigest !== null && there?.round === round && there.stateDigest === stateDigest;
}

/**
 * Whether the peer waits for the end of a round in which it differed: in a verified run its work is on the ledger, and can't be
 * done over from another state.
 */
export function sitsOut({ charter, record, diverged }: CoordinatorState, peer: string): boolean {
  return charter.ledgerId !== null && diverged.get(peer) === record.round;
}

/**
 * Peers that may be in the next view, in rank order: by shard. One that asked to leave is among them while others are
 * there and nobody but leavers holds the state: it gives the state to them first.
 */
export function candidates(state: CoordinatorState): string[] {
  const usable = [...state.peers].filter(
    ([name, peer]) =>
      peer.ready && !peer.catching && !peer.resting && !peer.suspended && !sitsOut(state, name),
  );
  const ranked = (leaving: boolean) =>
    byRank(
      state,
      usable.flatMap(([peer, there]) => (there.leaving === leaving ? [peer] : [])),
    );
  const stayers = ranked(false);
  if (stayers.length === 0 || stayers.some((peer) => holdsState(state, peer))) return stayers;
  const giver = ranked(true).find((peer) => holdsState(state, peer));
  return giver === undefined ? stayers : byRank(state, [...stayers, giver]);
}

export function byRank(state: CoordinatorState, peers: readonly string[]): string[] {
  const shard = (peer: string) => state.record.shards.get(peer) ?? Number.MAX_SAFE_INTEGER;
  return [...peers].sort((a, b) => shard(a) - shard(b));
}

/** The peer is no longer in the view; its connection may live on. */
export function unseat(turn: Turn, peer: string, change: Departure, reason: string): void {
  const there = turn.state.peers.get(peer);
  if (there?.member !== true) return;
  there.member = false;
  turn.state.departures.set(peer, { change, reason });
}

/** The peer's connection is gone, or will be. */
export function lose(turn: Turn, peer: string, reason: string): void {
  const there = turn.state.peers.get(peer);
  if (there === undefined) return;
  if (there.leaving) unseat(turn, peer, "left", "it asked to leave");
  else unseat(turn, peer, "lost", reason);
  turn.state.peers.delete(peer);
  turn.reasons.push(`${peer} is gone: ${reason}`);
}

export function refuse(turn: Turn, peer: string, code: ErrorCode, reason: string): void {
  send(turn, peer, { type: "refused", reason, code });
  turn.actions.push({ type: "close", peer });
  turn.reasons.push(`${peer} is refused: ${reason}`);
  lose(turn, peer, reason);
}

/** A peer that caused no fault for so many rounds is as good as any: a long run forgives what happened long ago. */
export const FORGIVEN_ROUNDS = 20;

/** Faults that still count against a peer. */
export function faultsOf(state: CoordinatorState, peer: string): number {
  const strikes = state.strikes.get(peer);
  return strikes === undefined || state.record.round - strikes.round >= FORGIVEN_ROUNDS ? 0 : strikes.faults;
}

/** Counts a fault against a peer that stays connected: it waits for the next boundary, or is refused for a while. */
export function strike(turn: Turn, peer: string, reason: string): void {
  const { strikes, charter } = turn.state;
  unseat(turn, peer, "lost", reason);
  const count = faultsOf(turn.state, peer) + 1;
  strikes.set(peer, { faults: count, round: turn.state.record.round });
  if (count >= charter.settings.strikesMax) {
    refuse(
      turn,
      peer,
      "ERR_REFUSED",
      `${reason}; that was fault ${count} of this peer, and no more are allowed`,
    );
    return;
  }
  wait(turn, peer, reason);
  turn.reasons.push(`${peer} is taken out of the view: ${reason}`);
}

/** Ends the run for everybody; `code` is null when it is complete. */
export function endRun(turn: Turn, reason: string, code: ErrorCode | null): void {
  record(turn, { type: "ended", reason, code });
  turn.state.phase = { name: "ended" };
  for (const peer of turn.state.peers.keys()) send(turn, peer, { type: "end", reason, code });
  turn.reasons.push(`the run ends: ${reason}`);
}
