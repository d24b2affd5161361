/**
 * The trace of an inner step: what was given and what each operator wrote, as digests under a Merkle tree. It is made only
 * when a step is disputed; then both sides go down their trees to the first leaf that differs.
 *
 * Leaves, in this order: a digest of each part of a binding that the graph reads before it writes it (parameters, moments,
 * data, schedule); for each operator the digests of its outputs; the state after the step. A leaf holds no digests of inputs:
 * where each input comes from follows from the graph (sources.ts), so whoever agrees on all leaves before an operator's agrees
 * on its inputs, and nobody can claim others.
 */
import { createHash } from "node:crypto";
import { GradmeshError } from "../base/errors.js";
import { native } from "../native/load.js";
import type { TracedStep } from "../trainer/traced-step.js";
import type { StepContext, Trainer } from "../trainer/trainer.js";
import { type Hash, type Tree, treeOf } from "./merkle.js";
import { type LoadedView, type Read, type Source, type SourcePlan, sourcePlan } from "./sources.js";
import { copyState, type StateTensors, stateDigest, tensorsOf } from "./state.js";

export type Values = Float32Array | Int32Array;

/** Whose step it is that is traced. */
export type TracedContext = Pick<StepContext, "step" | "draw">;

export interface Trace {
  readonly plan: SourcePlan;
  readonly tree: Tree;
  /** What each leaf is made of. */
  readonly digests: readonly (readonly Hash[])[];
}

/** What a leaf is about: the index-th given view, node, or the state after. */
export type LeafSubject = { readonly kind: "given" | "node" | "state"; readonly index: number };

/** One source of a disputed operator's inputs, with what shows that it is the leaf on which both sides agree. */
export interface SourceEvidence {
  /** What the source's leaf is made of, and the leaf's proof against the trace's root. */
  readonly digests: readonly Hash[];
  readonly proof: readonly Hash[];
  /** The source's values, little-endian. */
  readonly bytes: Uint8Array;
}

/** What a worker shows the referee of a disputed leaf. */
export interface Evidence {
  /** Of a given view of the state: the whole state before the step. */
  readonly state?: StateTensors;
  /** Of an operator or of the state after: in the order of sourcesOf(). */
  readonly sources: readonly SourceEvidence[];
  /** Of an operator: the worker's own outputs, so that the first wrong element can be named. */
  readonly outputs: readonly Uint8Array[];
}

const DOMAINS = { given: "gradmesh-trace-given", node: "gradmesh-trace-node", state: "gradmesh-trace-state" };

/** SHA-256(domain of the kind ‖ index u32 little-endian ‖ digests): a leaf of the trace. */
export function traceLeaf({ kind, index }: LeafSubject, digests: readonly Hash[]): Hash {
  const number = Buffer.alloc(4);
  number.writeUInt32LE(index);
  const hash = createHash("sha256").update(DOMAINS[kind]).update(number);
  for (const digest of digests) hash.update(Buffer.from(digest, "hex"));
  return hash.digest("hex");
}

/** How many leaves the trace of a step has. */
export const leavesOf = ({ loaded, reads }: SourcePlan): number => loaded.length + reads.length + 1;

/** What leaf `leaf` is about. */
export function subjectOf({ loaded, reads }: SourcePlan, leaf: number): LeafSubject {
  if (leaf < loaded.length) return { kind: "given", index: leaf };
  const index = leaf - loaded.length;
  return index < reads.length ? { kind: "node", index } : { kind: "state", index: 0 };
}

/** The leaf that holds a source. */
export const leafOf = ({ loaded }: SourcePlan, source: Source): number =>
  "loaded" in source ? source.loaded : loaded.length + source.node;

/** What is read for a leaf: the inputs of an operator, or the state after. */
export function readsOf(plan: SourcePlan, { kind, index }: LeafSubject): readonly Read[] {
  if (kind === "given") return [];
  return kind === "node" ? plan.reads[index]! : plan.closing;
}

const sourceKey = (source: Source) =>
  "loaded" in source ? `given ${source.loaded}` : `node ${source.node} ${source.output}`;

/** Each source of these reads once, in the order in which the values come into being. */
export function sourcesOf(plan: SourcePlan, reads: readonly Read[]): Source[] {
  const all = reads.flatMap(({ segments }) => segments.map(({ source }) => source));
  const place = (source: Source) => leafOf(plan, source) * 256 + ("loaded" in source ? 0 : source.output);
  const distinct = [...new Map(all.map((source) => [sourceKey(source), source])).values()];
  return distinct.sort((a, b) => place(a) - place(b));
}

/** The place of a source among those of sourcesOf(). */
export const placeOf = (sources: readonly Source[], source: Source): number =>
  sources.findIndex((each) => sourceKey(each) === sourceKey(source));

/** @throws ERR_UNSUPPORTED where the trainer's steps have no operators to show. */
export function tracedStep(trainer: Trainer, context: TracedContext): TracedStep {
  if (trainer.trace !== undefined) return trainer.trace(context);
  throw new GradmeshError(
    "ERR_UNSUPPORTED",
    "the trainer has no trace(): a dispute over one of its steps cannot be decided by one operator",
  );
}

/** A given view's values, live. */
export function givenValues(
  { graph, buffers }: TracedStep,
  { binding, offset, elements }: LoadedView,
): Values {
  return buffers[graph.bindings[binding]!.name]!.subarray(offset, offset + elements);
}

/** Traces the step from the trainer's state as it is, and leaves the trainer at the state after it. */
export async function traceOf(trainer: Trainer, { step, draw }: TracedContext): Promise<Trace> {
  const traced = tracedStep(trainer, { step, draw });
  try {
    const plan = sourcePlan(traced);
    const given: Hash[][] = [];
    for (const view of plan.loaded) given.push([await native.digest([givenValues(traced, view)])]);
    const nodes = await traced.run(0, plan.reads.length);
    trainer.parametersChanged?.();
    const digests = [...given, ...nodes, [await stateDigest(trainer, step + 1)]];
    const leaves = digests.map((of, leaf) => traceLeaf(subjectOf(plan, leaf), of));
    return { plan, tree: treeOf(leaves), digests };
  } finally {
    traced.close();
  }
}

const bytesOf = ({ buffer, byteOffset, byteLength }: Values) =>
  new Uint8Array(buffer, byteOffset, byteLength).slice();

/** Runs the step up to each source, and takes its values right then: later ones may use its memory. */
async function valuesOf(
  traced: TracedStep,
  plan: SourcePlan,
  sources: readonly Source[],
): Promise<Uint8Array[]> {
  const values: Uint8Array[] = [];
  let ran = 0;
  for (const source of sources) {
    if ("loaded" in source) {
      values.push(bytesOf(givenValues(traced, plan.loaded[source.loaded]!)));
      continue;
    }
    if (source.node >= ran) await traced.run(ran, source.node + 1);
    ran = Math.max(ran, source.node + 1);
    values.push(bytesOf(await traced.read(traced.graph.nodes[source.node]!.outputs[source.output]!)));
  }
  return values;
}

/**
 * What shows the referee a disputed leaf of a trace: from the trainer's state as it is, which is the state before the step and
 * afterwards unspecified.
 */
export async function evidenceOf(
  trainer: Trainer,
  context: TracedContext,
  { plan, tree, digests }: Trace,
  leaf: number,
): Promise<Evidence> {
  const subject = subjectOf(plan, leaf);
  const traced = tracedStep(trainer, context);
  try {
    if (subject.kind === "given") {
      const { name } = traced.graph.bindings[plan.loaded[leaf]!.binding]!;
      const shown = traced.state.includes(name) ? { state: copyState(tensorsOf(trainer)) } : {};
      return { ...shown, sources: [], outputs: [] };
    }
    const sources = sourcesOf(plan, readsOf(plan, subject));
    const own = subject.kind === "node" ? traced.graph.nodes[subject.index]!.outputs : [];
    const wanted = own.map((_, output): Source => ({ node: subject.index, output }));
    const values = await valuesOf(traced, plan, [...sources, ...wanted]);
    return {
      sources: sources.map((source, place) => {
        const of = leafOf(plan, source);
        return { digests: digests[of]!, proof: tree.proof(of), bytes: values[place]! };
      }),
      outputs: values.slice(sources.length),
    };
  } finally {
    traced.close();
    trainer.parametersChanged?.();
  }
}
