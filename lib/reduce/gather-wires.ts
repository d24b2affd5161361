/**
 * Every member's tensor to every member: each codes its own once, the wires travel bit for bit, and everybody decodes all
 * of them alike, its own too. So all hold the same bytes, and what a member sent can be known before it travels: `decodeOwn`.
 */
import { GradmeshError } from "../base/errors.js";
import { type Codec, openCodec } from "../native/codec.js";
import { native } from "../native/load.js";

export interface GatheredTensor {
  /** The codec's specification. */
  readonly codec: string;
  /** Keys the codec's random numbers, with the sender's number. */
  readonly key: { readonly seed: number; readonly step: number };
  /** The senders' numbers by rank, such as their shards, so that one stays when members come and go. */
  readonly coders: readonly number[];
  /** float32 [n]; stays as it is. */
  readonly input: Float32Array;
  /** float32 [ranks x n], by rank; its content after an error means nothing. */
  readonly output: Float32Array;
}

/** An fp32 all-gather's tensors: a place for each rank's wire, in 32-bit words. */
export interface Wires {
  /** The own wire in its place. */
  readonly own: Float32Array;
  /** What the all-gather writes; where a wire is the tensor itself, the output. */
  readonly all: Float32Array;
}

/** 32-bit words of a wire; the last may be filled up with zeros. */
export const wireWords = (codec: string, elements: number): number =>
  Math.ceil(native.codecBytes(openCodec(codec).id, elements) / 4);

/** A rank's wire, without what fills up its last word. */
function wireAt(words: Float32Array, bytes: number, rank: number): Uint8Array {
  return new Uint8Array(words.buffer, words.byteOffset + 4 * Math.ceil(bytes / 4) * rank, bytes);
}

const encode = (
  codec: Codec,
  key: GatheredTensor["key"],
  coder: number,
  input: Float32Array,
  wire: Uint8Array,
) => native.codecEncode(codec.id, key.seed, key.step, coder, 0, input, wire);

/** Codes what this rank sends. */
export async function packWires(
  { codec: spec, key, coders, input, output }: GatheredTensor,
  rank: number,
  ranks: number,
): Promise<Wires> {
  const codec = openCodec(spec);
  if (codec.identity) {
    const own = new Float32Array(output.length);
    own.set(input, input.length * rank);
    return { own, all: output };
  }
  const words = ranks * wireWords(spec, input.length);
  const own = new Float32Array(words);
  await encode(
    codec,
    key,
    coders[rank]!,
    input,
    wireAt(own, native.codecBytes(codec.id, input.length), rank),
  );
  return { own, all: new Float32Array(words) };
}

/** Decodes every rank's wire into its row of the output. */
export async function unpackWires(
  { codec: spec, key, coders, input, output }: GatheredTensor,
  all: Float32Array,
): Promise<void> {
  const codec = openCodec(spec);
  if (codec.identity) return;
  const bytes = native.codecBytes(codec.id, input.length);
  await Promise.all(
    rowsOf(output, input.length).map((row, rank) =>
      native.codecDecode(codec.id, key.seed, key.step, coders[rank]!, 0, wireAt(all, bytes, rank), row),
    ),
  );
}

/** Live views of [ranks x n], by rank. */
export function rowsOf(gathered: Float32Array, elements: number): Float32Array[] {
  return Array.from({ length: elements === 0 ? 0 : gathered.length / elements }, (_, rank) =>
    gathered.subarray(rank * elements, (rank + 1) * elements),
  );
}

/** What everybody will decode of a coder's tensor, float32 [n], in memory of its own. */
export async function decodeOwn(
  { codec: spec, key, input }: Pick<GatheredTensor, "codec" | "key" | "input">,
  coder: number,
): Promise<Float32Array> {
  const codec = openCodec(spec);
  if (codec.identity) return input.slice();
  const [wire, decoded] = [
    new Uint8Array(native.codecBytes(codec.id, input.length)),
    new Float32Array(input.length),
  ];
  await encode(codec, key, coder, input, wire);
  await native.codecDecode(codec.id, key.seed, key.step, coder, 0, wire, decoded);
  return decoded;
}

/**
 * One NaN in a mean is everybody's. All members hold the same rows, so all name the same peers.
 * @param peerIds by rank. @throws ERR_DIVERGED with detail.peers, whose rows are not finite.
 */
export async function expectFiniteRows(
  rows: readonly Float32Array[],
  peerIds: readonly string[],
): Promise<void> {
  const finite = await Promise.all(rows.map((row) => native.allFinite(row)));
  const peers = peerIds.filter((_, rank) => !finite[rank]);
  if (peers.length === 0) return;
  throw new GradmeshError(
    "ERR_DIVERGED",
    `the contribution of ${peers.join(", ")} has NaN or infinite elements; the round goes on without ${peers.length === 1 ? "it" : "them"}`,
    { detail: { peers } },
  );
}
