/** A worker's evidence of a disputed leaf as byte arrays whose sizes both sides know from the step's graph, and back. */
import { GradmeshError } from "../../base/errors.js";
import type { TracedStep } from "../../trainer/traced-step.js";
import { type Hash, proofLength } from "../../verify/merkle.js";
import type { SourcePlan } from "../../verify/sources.js";
import type { StateTensors } from "../../verify/state.js";
import { type Evidence, leafOf, readsOf, sourcesOf, subjectOf } from "../../verify/trace.js";

const HASH_BYTES = 32;
const WORD_BYTES = 4;

/** Bytes of every array of the evidence, by its parts. */
interface Shape {
  readonly state: readonly number[];
  readonly sources: readonly { readonly digests: number; readonly proof: number; readonly bytes: number }[];
  readonly outputs: readonly number[];
}

function shapeOf(
  { graph, state }: Pick<TracedStep, "graph" | "state">,
  plan: SourcePlan,
  leaf: number,
  leaves: number,
  like: {
    readonly parameters: { readonly length: number };
    readonly inner: readonly { readonly length: number }[];
  },
): Shape {
  const subject = subjectOf(plan, leaf);
  if (subject.kind === "given") {
    const shown = state.includes(graph.bindings[plan.loaded[leaf]!.binding]!.name);
    const lengths = shown ? [like.parameters.length, ...like.inner.map(({ length }) => length)] : [];
    return { state: lengths.map((length) => length * WORD_BYTES), sources: [], outputs: [] };
  }
  const bytesOf = (id: number) => graph.tensors[id]!.elements * WORD_BYTES;
  const sources = sourcesOf(plan, readsOf(plan, subject)).map((source) => {
    const of = "loaded" in source ? null : graph.nodes[source.node]!.outputs;
    return {
      digests: (of?.length ?? 1) * HASH_BYTES,
      proof: proofLength(leaves, leafOf(plan, source)) * HASH_BYTES,
      bytes:
        "loaded" in source ? plan.loaded[source.loaded]!.elements * WORD_BYTES : bytesOf(of![source.output]!),
    };
  });
  const outputs = subject.kind === "node" ? graph.nodes[subject.index]!.outputs.map(bytesOf) : [];
  return { state: [], sources, outputs };
}

const sizesOf = ({ state, sources, outputs }: Shape): number[] => [
  ...state,
  ...sources.flatMap(({ digests, proof, bytes }) => [digests, proof, bytes]),
  ...outputs,
];

/** Bytes of each array that evidence of this leaf is packed into. */
export function evidenceSizes(...of: Parameters<typeof shapeOf>): number[] {
  return sizesOf(shapeOf(...of));
}

const hashBytes = (hashes: readonly Hash[]): Uint8Array => Buffer.from(hashes.join(""), "hex");

function hashesOf(bytes: Uint8Array): Hash[] {
  const text = Buffer.from(bytes).toString("hex");
  return Array.from({ length: bytes.length / HASH_BYTES }, (_, at) => text.slice(64 * at, 64 * at + 64));
}

export function packEvidence({ state, sources, outputs }: Evidence): ArrayBufferView[] {
  return [
    ...(state === undefined ? [] : [state.parameters, ...state.inner]),
    ...sources.flatMap(({ digests, proof, bytes }) => [hashBytes(digests), hashBytes(proof), bytes]),
    ...outputs,
  ];
}

/** A state's tensors from their bytes, in a unit's order; null of none. */
export function stateFrom(arrays: readonly Uint8Array[]): StateTensors | null {
  const [parameters, ...inner] = arrays.map((bytes) => new Float32Array(bytes.slice().buffer));
  return parameters === undefined ? null : { parameters, inner };
}

/** @param arrays of evidenceSizes() of the same leaf. @throws ERR_PROOF where there are others. */
export function unpackEvidence(arrays: readonly Uint8Array[], ...of: Parameters<typeof shapeOf>): Evidence {
  const shape = shapeOf(...of);
  const sizes = sizesOf(shape);
  if (arrays.length !== sizes.length || arrays.some(({ length }, at) => length !== sizes[at]))
    throw new GradmeshError("ERR_PROOF", "the evidence has not the sizes of the step's graph");
  const left = [...arrays];
  const state = stateFrom(left.splice(0, shape.state.length));
  const sources = shape.sources.map(() => {
    const [digests, proof, bytes] = left.splice(0, 3);
    return { digests: hashesOf(digests!), proof: hashesOf(proof!), bytes: bytes! };
  });
  return { ...(state === null ? {} : { state }), sources, outputs: left };
}
