/**
 * What the coordinator must never forget: a run's charter, the facts that happened to it, and the record they add up
 * to. Facts are the only way to change a record, so replaying them gives the same record.
 */
import { z } from "zod";
import { GradmeshError } from "../base/errors.js";
import { MEMBERS_MAX } from "./messages.js";

const milliseconds = z.number().positive().finite();
const small = z.number().int().positive();

/** Limits of a run that decisions depend on; times are milliseconds. */
export const runSettingsSchema = z.strictObject({
  /** Outer steps until the run is complete. */
  rounds: small,
  /** Peers that a new run waits for before its first round. */
  peersMin: small.max(MEMBERS_MAX),
  /** Peers that may be connected, and shards of the data. */
  peersMax: small.max(MEMBERS_MAX),
  /** Members below which a started run pauses until more come. */
  membersMin: small.max(MEMBERS_MAX),
  beatMs: milliseconds,
  /** A peer silent for longer is lost. */
  silenceLimitMs: milliseconds,
  /** From the first vote of an epoch to the last, and from a commit to the last peer that applied it. */
  roundLimitMs: milliseconds,
  /** A member whose inner steps end so long after the median member's is left out of the round; 0: never. */
  slowLimitMs: z.number().nonnegative().finite().default(0),
  /** From a view to the moment its joiners hold the state. */
  syncLimitMs: milliseconds,
  /** How long a restarted coordinator waits for the members it had, and any run for a peer that holds its state. */
  recoverLimitMs: milliseconds,
  /** Epochs with the same members after broken links, before a member is evicted. */
  linkRetriesMax: z.number().int().nonnegative(),
  /** Epochs with the same members after failures that name nobody, before the run ends. */
  failureRetriesMax: z.number().int().nonnegative(),
  /** Evictions and failed syncs of one peer before it is refused. */
  strikesMax: small,
});
export type RunSettings = z.infer<typeof runSettingsSchema>;

export const defaultRunSettings: RunSettings = {
  rounds: 100,
  peersMin: 1,
  peersMax: 16,
  membersMin: 1,
  beatMs: 1000,
  silenceLimitMs: 10_000,
  roundLimitMs: 120_000,
  slowLimitMs: 0,
  syncLimitMs: 120_000,
  recoverLimitMs: 30_000,
  linkRetriesMax: 2,
  failureRetriesMax: 3,
  strikesMax: 3,
};

/** What a run is, fixed when it is made. */
export const charterSchema = z.strictObject({
  runId: z.string().min(1).max(128),
  /** Digest of the config; a peer with another one is refused. */
  recipeDigest: z.string().min(1).max(128),
  /** The recipe that joining peers are told; plain JSON, opaque here. */
  config: z.json(),
  settings: runSettingsSchema,
  /** The id of a verified run's ledger; null of other runs. */
  ledgerId: z.string().length(64).nullable().default(null),
  /** Round 0 without a digest for a new run; a checkpoint's round and state digest to resume one. */
  start: z.strictObject({
    round: z.number().int().nonnegative(),
    stateDigest: z.string().min(1).max(128).nullable(),
  }),
});
export type Charter = z.infer<typeof charterSchema>;

const peerId = z.string().min(1).max(128);
const peers = z.array(peerId).min(1).max(MEMBERS_MAX);
const count = z.number().int().nonnegative();
const digest = z.string().min(1).max(128);

export const factSchema = z.discriminatedUnion("type", [
  /** The peer reads this shard from now on; whoever had it before has none. */
  z.strictObject({ type: z.literal("admitted"), peer: peerId, shard: count }),
  /** These members were told to run the round under the epoch. */
  z.strictObject({ type: z.literal("view"), epoch: count, round: count, members: peers }),
  /** All of them hold the same result of the round; the run is at the round after it. */
  z.strictObject({
    type: z.literal("committed"),
    epoch: count,
    round: count,
    contributors: peers,
    resultDigest: digest,
  }),
  /** The state at the start of the run's round. */
  z.strictObject({ type: z.literal("state"), round: count, stateDigest: digest }),
  z.strictObject({ type: z.literal("ended"), reason: z.string(), code: z.string().nullable() }),
]);
export type Fact = z.infer<typeof factSchema>;

export interface RunRecord {
  /** Of the last view; 0 before the first. */
  readonly epoch: number;
  /** The outer step that the run is in. */
  readonly round: number;
  /** Of the state at the start of the round; null until a peer that must know has told it. */
  readonly stateDigest: string | null;
  /** Of the last view, in rank order. */
  readonly members: readonly string[];
  /** The round of the last view; -1 before the first. */
  readonly viewRound: number;
  /** Also of peers that are gone, so that they find their data again. */
  readonly shards: ReadonlyMap<string, number>;
  readonly commit: {
    readonly epoch: number;
    readonly round: number;
    readonly contributors: readonly string[];
    readonly resultDigest: string;
  } | null;
  readonly ended: { readonly reason: string; readonly code: string | null } | null;
}

export function startRecord(charter: Charter): RunRecord {
  const { round, stateDigest } = charter.start;
  return {
    epoch: 0,
    round,
    stateDigest,
    members: [],
    viewRound: -1,
    shards: new Map(),
    commit: null,
    ended: null,
  };
}

export function sameMembers(a: readonly string[], b: readonly string[]): boolean {
  return a.length === b.length && a.every((peer, rank) => peer === b[rank]);
}

/** Why the fact cannot follow the record, or null. */
function contradiction(record: RunRecord, fact: Fact): string | null {
  if (record.ended !== null) return "the run has ended";
  if (fact.type === "admitted" || fact.type === "ended") return null;
  if (fact.round !== record.round) return `the run is in round ${record.round}`;
  switch (fact.type) {
    case "view": {
      if (fact.epoch < record.epoch) return `the epoch is ${record.epoch} already`;
      const sameEpoch = fact.epoch === record.epoch;
      if (sameEpoch && !sameMembers(fact.members, record.members)) return "an epoch has one list of members";
      if (sameEpoch && fact.round <= record.viewRound) return "a round runs once in an epoch";
      return null;
    }
    case "committed":
      if (fact.epoch !== record.epoch) return `the epoch is ${record.epoch}`;
      return sameMembers(fact.contributors, record.members) ? null : "only a whole view commits";
    case "state":
      return record.stateDigest === null ? null : `its state is ${record.stateDigest} already`;
  }
}

/**
 * The record after the fact.
 * @throws ERR_INTERNAL when the fact cannot follow: epochs and rounds never go back, a round commits once.
 */
export function foldFact(record: RunRecord, fact: Fact): RunRecord {
  const why = contradiction(record, fact);
  if (why !== null)
    throw new GradmeshError("ERR_INTERNAL", `a fact cannot follow: ${why}; ${JSON.stringify(fact)}`);
  switch (fact.type) {
    case "admitted": {
      const others = [...record.shards].filter(([peer, shard]) => peer !== fact.peer && shard !== fact.shard);
      return { ...record, shards: new Map([...others, [fact.peer, fact.shard]]) };
    }
    case "view":
      return { ...record, epoch: fact.epoch, members: [...fact.members], viewRound: fact.round };
    case "committed": {
      const { epoch, round, contributors, resultDigest } = fact;
      const commit = { epoch, round, contributors: [...contributors], resultDigest };
      return { ...record, round: round + 1, stateDigest: null, commit };
    }
    case "state":
      return { ...record, stateDigest: fact.stateDigest };
    case "ended":
      return { ...record, ended: { reason: fact.reason, code: fact.code } };
  }
}

/** The record that a journal's facts add up to. */
export function replay(charter: Charter, facts: Iterable<Fact>): RunRecord {
  let record = startRecord(charter);
  for (const fact of facts) record = foldFact(record, fact);
  return record;
}
