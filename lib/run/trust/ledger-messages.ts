/**
 * What a peer and the sequencer say to each other about the run's ledger, over one lasting channel:
 *
 *   follow -> following, then records in order, from the one asked for, for as long as the channel lives; beats in silence
 *   submit -> receipt | refused
 *
 * Events and records travel as their own bytes (lib/ledger/record.ts), which are what is signed and hashed. Records of one
 * sending end at a signed head, so a follower always knows what the sequencer stands for.
 */
import { z } from "zod";
import { HEAD_BYTES } from "../../ledger/head.js";
import { EVENT_BYTES_MAX, RECORD_BYTES_MAX } from "../../ledger/record.js";
import { bytesSchema, codeSchema, hashSchema, reasonSchema, u32Schema } from "./words.js";

export const LEDGER_PROTOCOL = "/gradmesh/ledger/1";

/** Of one message; its last record may be beyond the bytes, and is still well within the longest message. */
export const BATCH_RECORDS_MAX = 256;
export const BATCH_BYTES = 1 << 18;

const seqSchema = z.int().nonnegative();
const headSchema = z.custom<Uint8Array>(
  (value) => value instanceof Uint8Array && value.length === HEAD_BYTES,
  `must be ${HEAD_BYTES} bytes`,
);

export const followerMessageSchema = z.discriminatedUnion("type", [
  /** The first word. From: the records that the peer has. */
  z.strictObject({ type: z.literal("follow"), ledgerId: hashSchema, from: seqSchema }),
  /** The id comes back with the answer. */
  z.strictObject({ type: z.literal("submit"), id: u32Schema, event: bytesSchema(EVENT_BYTES_MAX) }),
]);
export type FollowerMessage = z.infer<typeof followerMessageSchema>;

export const sequencerMessageSchema = z.discriminatedUnion("type", [
  /** Records that are there now. */
  z.strictObject({ type: z.literal("following"), count: seqSchema }),
  /** The next ones. With the last that are there now comes their head. */
  z.strictObject({
    type: z.literal("records"),
    records: z.array(bytesSchema(RECORD_BYTES_MAX)).max(BATCH_RECORDS_MAX),
    head: headSchema.nullable(),
  }),
  /** The event is on disk, in the ledger whose head this is. */
  z.strictObject({ type: z.literal("receipt"), id: u32Schema, seq: seqSchema, head: headSchema }),
  /** The event is not recorded now; what is recorded of its author already is among the first `count` records. */
  z.strictObject({
    type: z.literal("refused"),
    id: u32Schema,
    code: codeSchema,
    reason: reasonSchema,
    count: seqSchema,
  }),
  /** The last word: the peer is not served; where it is final, asking again is no use. */
  z.strictObject({
    type: z.literal("dismissed"),
    code: codeSchema,
    reason: reasonSchema,
    final: z.boolean(),
  }),
  z.strictObject({ type: z.literal("beat") }),
]);
export type SequencerMessage = z.infer<typeof sequencerMessageSchema>;
