/**
 * The referee of a dispute that is down at one leaf of a step's trace: it recomputes what that leaf is about from what both
 * sides agree on, and compares.
 *
 * The burden of proof is the worker's: it alone must show the values, whose digests are in leaves that the challenger has
 * agreed to by picking a later one. What the worker says of the disputed leaf itself is not needed to decide.
 */
import { canonicalDigest } from "../base/canonical-json.js";
import { GradmeshError } from "../base/errors.js";
import { native } from "../native/load.js";
import type { TracedStep } from "../trainer/traced-step.js";
import type { Trainer } from "../trainer/trainer.js";
import { type Hash, isHash, leafHash, verifyProof } from "./merkle.js";
import { runOperator } from "./operator.js";
import { type Read, type SourcePlan, sourcePlan } from "./sources.js";
import { fits, loadState, partsOf, stateDigest, stateHash } from "./state.js";
import {
  type Evidence,
  givenValues,
  leafOf,
  leavesOf,
  placeOf,
  readsOf,
  type SourceEvidence,
  sourcesOf,
  subjectOf,
  type TracedContext,
  tracedStep,
  traceLeaf,
  type Values,
} from "./trace.js";

/** A dispute down at a leaf of the trace, as the ledger's rules keep it (lib/ledger/rules). */
export interface DisputedLeaf {
  readonly transition: number;
  /** The digest of the state before the step, which is proved to be the unit's leaf transition - 1. */
  readonly before: Hash;
  /** leafHash of the unit's leaf transition. */
  readonly leaf: Hash;
  /** Of TraceOpened: the trace's root and leaves. */
  readonly trace: Hash;
  readonly leaves: number;
  /** Which leaf of the trace, and its leafHash. */
  readonly operator: number;
  readonly operatorLeaf: Hash;
}

/** The first element of the operator's outputs that the worker has wrong: its bits and the right ones. */
export interface WrongElement {
  /** Which of the operator's outputs, and which of its elements. */
  readonly output: number;
  readonly element: number;
  /** 32 bits in hexadecimal. */
  readonly shown: string;
  readonly right: string;
}

export interface Ruling {
  readonly winner: "worker" | "challenger";
  /** The leaf of the trace, as Settled has it. */
  readonly operator: number;
  /** Where the leaf is an operator: its index in the graph, and its name. */
  readonly node?: number;
  readonly op?: string;
  /** Where the worker has shown its outputs, and they are those of its leaf. */
  readonly wrong?: WrongElement;
  readonly reason: string;
}

/** What Settled calls evidence: SHA-256 of the ruling as canonical JSON. */
export const rulingDigest = (ruling: Ruling): Hash => canonicalDigest(ruling);

class Unusable extends Error {}

/** A copy, since bytes of a message need not be aligned. */
function valuesFrom(bytes: Uint8Array, elements: number, kind: "f32" | "i32"): Values {
  if (!(bytes instanceof Uint8Array) || bytes.length !== elements * 4)
    throw new Unusable(`it shows ${bytes?.length} bytes where ${elements * 4} are needed`);
  const { buffer } = bytes.slice();
  return kind === "f32" ? new Float32Array(buffer) : new Int32Array(buffer);
}

/** One ruling: the parts that its steps share. */
class Case {
  readonly traced: TracedStep;
  readonly plan: SourcePlan;
  /** Of the disputed step. */
  readonly step: number;
  readonly #dispute: DisputedLeaf;
  readonly #evidence: Evidence;

  constructor(traced: TracedStep, step: number, dispute: DisputedLeaf, evidence: Evidence) {
    this.traced = traced;
    this.step = step;
    this.plan = sourcePlan(traced);
    this.#dispute = dispute;
    this.#evidence = evidence;
  }

  /** The values of everything that is read for the leaf, proved to be what both sides agree on. */
  async reads(): Promise<Values[]> {
    const reads = readsOf(this.plan, subjectOf(this.plan, this.#dispute.operator));
    const sources = sourcesOf(this.plan, reads);
    if (this.#evidence.sources.length !== sources.length)
      throw new Unusable(`it shows ${this.#evidence.sources.length} sources of ${sources.length}`);
    const bytes: Uint8Array[] = [];
    for (const [place, source] of sources.entries()) {
      const output = "loaded" in source ? 0 : source.output;
      bytes.push(await this.#proved(this.#evidence.sources[place]!, leafOf(this.plan, source), output));
    }
    return reads.map((read) => {
      const whole = new Uint8Array(read.elements * 4);
      for (const { source, from, to, elements } of read.segments) {
        const part = bytes[placeOf(sources, source)]!.subarray(from * 4, (from + elements) * 4);
        if (part.length !== elements * 4) throw new Unusable("it shows a source that is too short");
        whole.set(part, to * 4);
      }
      return valuesFrom(whole, read.elements, read.kind);
    });
  }

  /** The bytes of a source, once it is shown that the agreed leaf holds their digest. */
  async #proved(
    { digests, proof, bytes }: SourceEvidence,
    leaf: number,
    output: number,
  ): Promise<Uint8Array> {
    const { trace, leaves } = this.#dispute;
    const subject = subjectOf(this.plan, leaf);
    const wanted = subject.kind === "node" ? this.traced.graph.nodes[subject.index]!.outputs.length : 1;
    // A leaf's hash is of its digests in a row: an empty one would pass for none and move the others by a place.
    if (digests.length !== wanted || !digests.every(isHash))
      throw new Unusable(`what it shows of leaf ${leaf} are no ${wanted} digests`);
    const content = traceLeaf(subject, digests);
    if (!verifyProof(trace, leaves, leaf, content, proof))
      throw new Unusable(`what it shows of leaf ${leaf} is not proved against the trace's root`);
    if ((await native.digest([bytes])) !== digests[output])
      throw new Unusable(`what it shows of leaf ${leaf} has not the digest on which both sides agree`);
    return bytes;
  }
}

const matches = ({ operator, operatorLeaf }: DisputedLeaf, content: Hash) =>
  leafHash(operator, content) === operatorLeaf;

/** A part of the state, the data, the schedule or a constant, as the step begins. */
async function ruleGiven(
  trainer: Trainer,
  { plan, traced, step }: Case,
  dispute: DisputedLeaf,
  { state }: Evidence,
): Promise<boolean> {
  const view = plan.loaded[dispute.operator]!;
  if (traced.state.includes(traced.graph.bindings[view.binding]!.name)) {
    if (state === undefined || !fits(trainer, state))
      throw new Unusable("it shows no state of the model's sizes");
    loadState(trainer, state);
    if ((await stateDigest(trainer, step)) !== dispute.before)
      throw new Unusable("the state it shows is not the agreed one");
  }
  const digest = await native.digest([givenValues(traced, view)]);
  return matches(dispute, traceLeaf(subjectOf(plan, dispute.operator), [digest]));
}

/** The state after: put together from its agreed parts, it must be the unit's leaf, whatever the trace says. */
async function ruleState({ step }: Case, dispute: DisputedLeaf, reads: readonly Values[]): Promise<boolean> {
  const [parameters, ...inner] = reads as readonly Float32Array[];
  const after = stateHash(await partsOf({ parameters: parameters!, inner }, step + 1));
  return leafHash(dispute.transition, after) === dispute.leaf;
}

const bits = (values: Values) => new Uint32Array(values.buffer, values.byteOffset, values.length);
const hexadecimal = (word: number) => word.toString(16).padStart(8, "0");

function firstWrong(shown: readonly Values[], right: readonly Values[]): WrongElement | undefined {
  for (const [output, values] of right.entries()) {
    const [own, others] = [bits(shown[output]!), bits(values)];
    const element = own.findIndex((word, index) => word !== others[index]);
    if (element >= 0)
      return { output, element, shown: hexadecimal(own[element]!), right: hexadecimal(others[element]!) };
  }
  return undefined;
}

/** Compares with what the worker shows as its outputs, if that is what its leaf holds. */
async function wrongElement(
  dispute: DisputedLeaf,
  plan: SourcePlan,
  { outputs }: Evidence,
  right: readonly Values[],
): Promise<WrongElement | undefined> {
  const fit = right.every(({ byteLength }, output) => outputs[output]?.length === byteLength);
  if (!fit || outputs.length !== right.length) return undefined;
  const digests: Hash[] = [];
  for (const shown of outputs) digests.push(await native.digest([shown]));
  if (!matches(dispute, traceLeaf(subjectOf(plan, dispute.operator), digests))) return undefined;
  return firstWrong(
    outputs.map((shown) => valuesFrom(shown, shown.length / 4, "f32")),
    right,
  );
}

const tensorMap = (reads: readonly Read[], values: readonly Values[]) =>
  new Map(reads.map(({ tensor }, index) => [tensor, values[index]!]));

async function ruleOperator(
  which: Case,
  dispute: DisputedLeaf,
  evidence: Evidence,
  node: number,
): Promise<Ruling> {
  const { plan, traced } = which;
  const { op } = traced.graph.nodes[node]!;
  const reads = tensorMap(plan.reads[node]!, await which.reads());
  const right = await runOperator(traced.graph, node, reads).catch((error: unknown) => {
    if (!(error instanceof GradmeshError) || error.code !== "ERR_INVALID_ARGUMENT") throw error;
    throw new Unusable(`the operator refuses its inputs (${error.message})`);
  });
  const digests: Hash[] = [];
  for (const values of right) digests.push(await native.digest([values]));
  const subject = { operator: dispute.operator, node, op };
  if (matches(dispute, traceLeaf(subjectOf(plan, dispute.operator), digests)))
    return { winner: "worker", ...subject, reason: `operator ${node} (${op}) gives what the worker says` };
  const wrong = await wrongElement(dispute, plan, evidence, right);
  const where = wrong === undefined ? "" : `, first in element ${wrong.element} of output ${wrong.output}`;
  const reason = `operator ${node} (${op}) does not give what the worker says${where}`;
  return { winner: "challenger", ...subject, ...(wrong === undefined ? {} : { wrong }), reason };
}

/** @throws Unusable where the evidence shows nothing; whatever else goes wrong is the referee's own trouble. */
async function decide(
  trainer: Trainer,
  context: TracedContext,
  dispute: DisputedLeaf,
  evidence: Evidence | null,
): Promise<Ruling> {
  const { operator, leaves } = dispute;
  const traced = tracedStep(trainer, context);
  try {
    const which = new Case(traced, context.step, dispute, evidence ?? { sources: [], outputs: [] });
    const { plan } = which;
    if (leaves !== leavesOf(plan)) {
      const reason = `the trace has ${leaves} leaves, the step's graph ${leavesOf(plan)}`;
      return { winner: "challenger", operator, reason };
    }
    if (evidence === null) throw new Unusable("it shows nothing");
    const { kind, index } = subjectOf(plan, operator);
    if (kind === "node") return await ruleOperator(which, dispute, evidence, index);
    const right =
      kind === "given"
        ? await ruleGiven(trainer, which, dispute, evidence)
        : await ruleState(which, dispute, await which.reads());
    const what = kind === "given" ? `given part ${index}` : "the state after the step";
    return right
      ? { winner: "worker", operator, reason: `${what} is what the worker says` }
      : { winner: "challenger", operator, reason: `${what} is not what the worker says` };
  } finally {
    traced.close();
  }
}

/**
 * Decides who is right about a leaf, with a trainer of the worker's shard, whose state it overwrites.
 * @param context the disputed step: of transition k its number is that of s_0 plus k - 1.
 * @param evidence what the worker has shown; null: nothing in time.
 * @throws ERR_INVALID_ARGUMENT for a leaf that the trace does not have; ERR_UNSUPPORTED without Trainer.trace.
 */
export async function refereeRuling(
  trainer: Trainer,
  context: TracedContext,
  dispute: DisputedLeaf,
  evidence: Evidence | null,
): Promise<Ruling> {
  const { operator, leaves } = dispute;
  if (!Number.isInteger(operator) || operator < 0 || operator >= leaves)
    throw new GradmeshError("ERR_INVALID_ARGUMENT", `referee: there is no leaf ${operator} among ${leaves}`);
  try {
    return await decide(trainer, context, dispute, evidence);
  } catch (error) {
    if (!(error instanceof Unusable)) throw error;
    const reason = `the worker could not show leaf ${operator}: ${error.message}`;
    return { winner: "challenger", operator, reason };
  } finally {
    trainer.parametersChanged?.();
  }
}
