/**
 * What a peer asks another for when it checks its work, over a channel of its own for every question: the state before a
 * transition of the other's unit, or the evidence of what a dispute is about (evidence.ts): of a leaf of a step's trace, the
 * digests, proof and bytes of each source and the outputs, or the whole state; of a contribution, the first and last state.
 *
 *   question -> answer, then pieces until every tensor is whole | refused
 *
 * The asker knows every size beforehand, from its own model: an answer of another size is refused before anything is
 * allocated for it, and a piece that is not just as long as it must be ends the channel.
 */
import { z } from "zod";
import { GradmeshError } from "../../base/errors.js";
import type { Channel } from "../../peer/channel.js";
import { parseMessage } from "../../peer/message.js";
import { bytesSchema, codeSchema, hashSchema, reasonSchema, u32Schema } from "./words.js";

export const PROOF_PROTOCOL = "/gradmesh/proof/1";

/** Bytes of every piece but the last of an answer: a quarter of the longest message. */
export const PIECE_BYTES = 1 << 18;
/** Hashes of a proof in a tree of 2^32 leaves: 15 of each of 8 levels. */
const PROOF_HASHES_MAX = 120;
/** Arrays of one answer: a state is the parameters and a few inner tensors; evidence is three per source, and outputs. */
const TENSORS_MAX = 4096;

export const questionSchema = z.discriminatedUnion("type", [
  /** Transition `transition` of the unit that the asked peer has committed to in this round. */
  z.strictObject({
    type: z.literal("opening"),
    ledgerId: hashSchema,
    round: u32Schema,
    transition: u32Schema,
  }),
  /** The evidence of a dispute's leaf, by its number in the step's trace; where the contribution is disputed, 0. */
  z.strictObject({
    type: z.literal("evidence"),
    ledgerId: hashSchema,
    dispute: u32Schema,
    operator: u32Schema,
  }),
]);
export type ProofQuestion = z.infer<typeof questionSchema>;

/** Bytes of each array of an answer, in their order. */
const sizesSchema = z.array(z.int().nonnegative()).max(TENSORS_MAX);
const proofSchema = z.array(hashSchema).max(PROOF_HASHES_MAX);

export const answerSchema = z.discriminatedUnion("type", [
  z.strictObject({
    type: z.literal("opening"),
    /** Before and after the transition, each with its proof against the unit's root. */
    leaves: z.tuple([hashSchema, hashSchema]),
    proofs: z.tuple([proofSchema, proofSchema]),
    /** Of the parameters, then of each tensor of the inner state. */
    sizes: sizesSchema,
  }),
  z.strictObject({ type: z.literal("evidence"), sizes: sizesSchema }),
  z.strictObject({
    type: z.literal("refused"),
    code: codeSchema,
    reason: reasonSchema,
    /** Where asking again may help: after how many milliseconds. */
    retryMs: z.number().nonnegative().max(600_000).nullable(),
  }),
]);
export type ProofAnswer = z.infer<typeof answerSchema>;

const pieceSchema = z.strictObject({ type: z.literal("piece"), data: bytesSchema(PIECE_BYTES) });

/** The bytes of a tensor, where they are. */
export function bytesOf({ buffer, byteOffset, byteLength }: ArrayBufferView): Uint8Array {
  return new Uint8Array(buffer, byteOffset, byteLength);
}

/** Sends tensors, one after another, in pieces that each wait for the one before to leave. */
export async function sendPieces(
  channel: Channel,
  tensors: readonly Uint8Array[],
  signal: AbortSignal,
): Promise<void> {
  for (const tensor of tensors)
    for (let begin = 0; begin < tensor.length; begin += PIECE_BYTES) {
      signal.throwIfAborted();
      await channel.send({ type: "piece", data: tensor.subarray(begin, begin + PIECE_BYTES) });
    }
}

/** Fills tensors from a channel's pieces. @throws ERR_PROOF for a piece that is not as long as it must be, or missing. */
export async function receivePieces(
  remote: string,
  next: () => Promise<unknown>,
  tensors: readonly Uint8Array[],
): Promise<void> {
  for (const [index, tensor] of tensors.entries())
    for (let begin = 0; begin < tensor.length; ) {
      const { data } = parseMessage(pieceSchema, await next());
      const expected = Math.min(PIECE_BYTES, tensor.length - begin);
      if (data.length !== expected)
        throw new GradmeshError(
          "ERR_PROOF",
          `${remote} sent a piece of ${data.length} bytes of tensor ${index}, where ${expected} are next`,
        );
      tensor.set(data, begin);
      begin += expected;
    }
}
