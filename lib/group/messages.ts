/** Every message between a peer and the coordinator, as schemas: what does not fit is refused, never guessed at. */
import { z } from "zod";

/** Raised when a message changes; both sides must speak the same one. */
export const GROUP_VERSION = 4;

/** The libp2p protocol that carries these messages. */
export const GROUP_PROTOCOL = `/gradmesh/group/${GROUP_VERSION}`;

/** Addresses of one peer; more helps nobody. */
const ADDRESSES_MAX = 16;
/** Numbers in one peer's record of a round. */
const METRICS_MAX = 32;
/** Members of a view; a collective has at most 64 ranks. */
export const MEMBERS_MAX = 64;

const peerId = z.string().min(1).max(128);
const digest = z.string().min(1).max(128);
const count = z.number().int().nonnegative();
const reason = z.string().max(4096);
const code = z.string().max(64);
/** Of a peer's shard, the weight of its peer in a mean by samples. */
const samples = z.number().positive().max(Number.MAX_SAFE_INTEGER);
const addresses = z.array(z.string().max(512)).max(ADDRESSES_MAX);
/** Any numbers, also NaN: a loss that diverges is news, not a fault of the protocol. */
const metrics = z
  .record(
    z.string().max(64),
    z.custom<number>((value) => typeof value === "number", "must be a number"),
  )
  .refine((record) => Object.keys(record).length <= METRICS_MAX, `at most ${METRICS_MAX} numbers`);

/** Small numbers of one peer's round, such as trainLoss, validationLoss, bytesSent; names are the trainer's affair. */
export type Metrics = Record<string, number>;

/** A collective's result that a peer holds and whose commit it has not seen. */
export const pendingSchema = z.strictObject({ epoch: count, round: count, resultDigest: digest });
export type Pending = z.infer<typeof pendingSchema>;

export const helloSchema = z.strictObject({
  type: z.literal("hello"),
  version: count,
  runId: z.string().max(128),
  secret: z.string().max(256),
  /** Null while the peer has no config; it says hello again on the same channel once it has built its trainer. */
  recipeDigest: digest.nullable(),
  /** Where other members reach the peer's control host. */
  addresses,
  /** Whether others can open a connection to it. */
  dialable: z.boolean(),
  /** 1 while the peer has no trainer. */
  samples,
  /** The outer step that its state is the start of; -1 without state. */
  round: z.number().int().min(-1),
  stateDigest: digest.nullable(),
  pending: pendingSchema.nullable(),
  /** What it reported, or would have, on applying the last commit it saw. */
  applied: z.strictObject({ round: count, metrics }).nullable(),
});
export type Hello = z.infer<typeof helloSchema>;

const done = z.strictObject({
  type: z.literal("vote"),
  epoch: count,
  round: count,
  outcome: z.literal("done"),
  resultDigest: digest,
});
const failed = z.strictObject({
  type: z.literal("vote"),
  epoch: count,
  round: count,
  outcome: z.literal("failed"),
  code,
  lost: z.array(peerId).max(MEMBERS_MAX),
  reason,
});
export const voteSchema = z.discriminatedUnion("outcome", [done, failed]);
export type Vote = z.infer<typeof voteSchema>;

export const appliedSchema = z.strictObject({
  type: z.literal("applied"),
  /** The round of the commit that was applied; the state is the start of the round after it. */
  round: count,
  stateDigest: digest,
  metrics,
});
export type Applied = z.infer<typeof appliedSchema>;

const synced = z.strictObject({ type: z.literal("synced"), epoch: count, round: count, stateDigest: digest });
const syncFailed = z.strictObject({ type: z.literal("sync-failed"), epoch: count, round: count, reason });
/** The peer's inner steps of the view's round are done; of a view that is void too. */
const finished = z.strictObject({ type: z.literal("finished"), epoch: count, round: count });
export const measuredLinkSchema = z.strictObject({
  /** To whom. */
  peerId,
  bytesPerSecond: z.number().min(0).finite(),
  /** One way. */
  seconds: z.number().min(0).max(60),
});
export type MeasuredLink = z.infer<typeof measuredLinkSchema>;
/** What the peer measured its bulk links to be. */
const links = z.strictObject({
  type: z.literal("links"),
  measured: z.array(measuredLinkSchema).min(1).max(MEMBERS_MAX),
});
const beat = z.strictObject({ type: z.literal("beat") });
const leave = z.strictObject({ type: z.literal("leave") });

/** What an admitted peer may say after its first hello. */
export const peerMessageSchema = z.discriminatedUnion("type", [
  helloSchema,
  voteSchema,
  appliedSchema,
  synced,
  syncFailed,
  finished,
  links,
  beat,
  leave,
]);
export type PeerMessage = z.infer<typeof peerMessageSchema>;

export const viewMemberSchema = z.strictObject({
  peerId,
  addresses,
  shard: count,
  samples,
  dialable: z.boolean(),
});
export type ViewMember = z.infer<typeof viewMemberSchema>;

const welcome = z.strictObject({
  type: z.literal("welcome"),
  runId: z.string().max(128),
  peerId,
  /** The run's recipe, opaque here. */
  config: z.unknown(),
  shard: count,
  /** The round the run is in; at 0 a peer may build its state from the seed, later it is sent one. */
  round: count,
  /** Of a verified run: the id of its ledger. */
  ledgerId: z.string().max(64).nullable(),
  beatMs: z.number().positive(),
  silenceLimitMs: z.number().positive(),
});
export type Welcome = z.infer<typeof welcome>;

const wait = z.strictObject({ type: z.literal("wait"), reason });
const matrix = z.array(z.number().min(0).finite()).max(MEMBERS_MAX * MEMBERS_MAX);
/** Row-major by rank, the sender first; 0 where nothing was measured. */
export const viewLinksSchema = z.strictObject({ bytesPerSecond: matrix, seconds: matrix });
export type ViewLinks = z.infer<typeof viewLinksSchema>;

const view = z.strictObject({
  type: z.literal("view"),
  epoch: count,
  round: count,
  /** In rank order. */
  members: z.array(viewMemberSchema).min(1).max(MEMBERS_MAX),
  /** The source sends its state at the start of this round to the targets, which have none or another. */
  sync: z.strictObject({ source: peerId, targets: z.array(peerId).min(1).max(MEMBERS_MAX) }).nullable(),
  /** The round was begun before, under an earlier epoch. */
  again: z.boolean(),
  /** The links between the members, so that all of them choose alike; null while nothing was measured. */
  links: viewLinksSchema.nullable(),
});
export type View = z.infer<typeof view>;

const commit = z.strictObject({
  type: z.literal("commit"),
  epoch: count,
  round: count,
  contributors: z.array(peerId).min(1).max(MEMBERS_MAX),
  resultDigest: digest,
});
export type Commit = z.infer<typeof commit>;

const refused = z.strictObject({ type: z.literal("refused"), reason, code });
const end = z.strictObject({ type: z.literal("end"), reason, code: code.nullable() });
export type End = z.infer<typeof end>;

/** slow: left out of a round, and still there. */
export const membershipChanges = ["joined", "left", "lost", "slow"] as const;
export type MembershipChange = (typeof membershipChanges)[number];
const membershipNotice = z.strictObject({
  kind: z.literal("membership"),
  epoch: count,
  round: count,
  members: z.array(peerId).max(MEMBERS_MAX),
  /** Empty when the same members only link anew. */
  changes: z
    .array(z.strictObject({ peerId, change: z.enum(membershipChanges), reason }))
    .max(2 * MEMBERS_MAX),
  reason,
});
const commitNotice = z.strictObject({
  kind: z.literal("commit"),
  epoch: count,
  round: count,
  contributors: z.array(peerId).max(MEMBERS_MAX),
  stateDigest: digest,
  metrics: z.array(z.strictObject({ peerId, metrics })).max(MEMBERS_MAX),
});
export const noticeSchema = z.discriminatedUnion("kind", [membershipNotice, commitNotice]);
/** News for people: who came and went and why; what each peer reached in a round. */
export type Notice = z.infer<typeof noticeSchema>;
const notice = z.strictObject({ type: z.literal("notice"), notice: noticeSchema });

export const coordinatorMessageSchema = z.discriminatedUnion("type", [
  welcome,
  wait,
  view,
  commit,
  refused,
  end,
  notice,
  beat,
]);
export type CoordinatorMessage = z.infer<typeof coordinatorMessageSchema>;
