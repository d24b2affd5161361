/**
 * Where every value that an operator reads comes from: which earlier operator wrote it, or which part of what was given at
 * the step's beginning it is. It follows from the graph alone, so both sides of a dispute and its referee agree on it.
 */
import { GradmeshError } from "../base/errors.js";
import type { OpName } from "../native/abi.gen.js";
import type { GraphDescription, GraphNode, GraphTensor } from "../tensor/description.js";
import type { TracedStep } from "../trainer/traced-step.js";

/** Operators whose first so many outputs are read before they are written: ops.def says "updated in place". */
export const IN_PLACE: ReadonlyMap<OpName, number> = new Map([
  ["adamw", 3],
  ["nesterov", 2],
  ["sign_step", 1],
  ["adaptive", 3],
  ["scatter", 1],
  ["centered_clip", 1],
]);

/** A part of a binding that is read before any node writes it. Counts are elements. */
export interface LoadedView {
  readonly binding: number;
  readonly offset: number;
  readonly elements: number;
}

/** One of the things that values come from: a loaded view, or an output of a node. */
export type Source = { readonly loaded: number } | { readonly node: number; readonly output: number };

/** So many elements from `from` of the source's own to `to` of the reader's. */
export interface Segment {
  readonly source: Source;
  readonly from: number;
  readonly to: number;
  readonly elements: number;
}

/** A tensor as a node reads it, put together from its sources. Of what the closing leaf reads, tensor is -1. */
export interface Read {
  readonly tensor: number;
  readonly elements: number;
  readonly kind: "f32" | "i32";
  readonly segments: readonly Segment[];
}

export interface SourcePlan {
  /** In the order in which they are first read. */
  readonly loaded: readonly LoadedView[];
  /** What each node reads, each tensor once: its inputs, and outputs that are updated in place. */
  readonly reads: readonly (readonly Read[])[];
  /** The state's bindings after the last node, in the order of TracedStep.state. */
  readonly closing: readonly Read[];
}

/** Whose values a stretch of a binding holds: element `begin` is element `from` of the source's. */
interface Stretch {
  readonly begin: number;
  readonly end: number;
  readonly source: Source | null;
  readonly from: number;
}

const cut = (stretch: Stretch, begin: number, end: number): Stretch => ({
  ...stretch,
  begin,
  end,
  from: stretch.from + begin - stretch.begin,
});

/** The stretches that lie within [begin, end), cut at its ends. */
function within(stretches: readonly Stretch[], begin: number, end: number): Stretch[] {
  return stretches
    .filter((stretch) => stretch.begin < end && stretch.end > begin)
    .map((stretch) => cut(stretch, Math.max(begin, stretch.begin), Math.min(end, stretch.end)));
}

class Planner {
  readonly #step: Pick<TracedStep, "graph" | "given">;
  /** Of each binding, in order and without gaps; a source of null: what was given. */
  readonly #stretches: Stretch[][];
  readonly #arena = new Map<number, Source>();
  readonly #loaded = new Map<string, { readonly index: number; readonly view: LoadedView }>();

  constructor(step: Pick<TracedStep, "graph" | "given">) {
    this.#step = step;
    this.#stretches = step.graph.bindings.map(({ elements }) => [
      { begin: 0, end: elements, source: null, from: 0 },
    ]);
  }

  get loaded(): LoadedView[] {
    return [...this.#loaded.values()].map(({ view }) => view);
  }

  read({ id, binding, offset, elements, kind }: Omit<GraphTensor, "name" | "shape">): Read {
    if (binding < 0) {
      const source = this.#arena.get(id);
      if (source === undefined)
        throw new GradmeshError("ERR_INTERNAL", `trace: nothing has written tensor ${id}`);
      return { tensor: id, elements, kind, segments: [{ source, from: 0, to: 0, elements }] };
    }
    const segments = within(this.#stretches[binding]!, offset, offset + elements).map((stretch) => {
      const { begin, end, source } = stretch;
      const to = begin - offset;
      if (source !== null) return { source, from: stretch.from, to, elements: end - begin };
      return { source: this.#load(binding, begin, end), from: 0, to, elements: end - begin };
    });
    return { tensor: id, elements, kind, segments };
  }

  /** The node's reads, then its writes. */
  pass(node: GraphNode, index: number): Read[] {
    const { tensors } = this.#step.graph;
    const ids = new Set([...node.inputs, ...node.outputs.slice(0, IN_PLACE.get(node.op) ?? 0)]);
    const reads = [...ids].map((id) => this.read(tensors[id]!));
    for (const [output, id] of node.outputs.entries()) this.#write(tensors[id]!, { node: index, output });
    return reads;
  }

  #load(binding: number, begin: number, end: number): Source {
    const { name } = this.#step.graph.bindings[binding]!;
    if (!this.#step.given.includes(name))
      throw new GradmeshError(
        "ERR_INTERNAL",
        `trace: "${name}" is read before it is written, and nobody gives it`,
      );
    const key = `${binding} ${begin} ${end}`;
    const known = this.#loaded.get(key);
    if (known !== undefined) return { loaded: known.index };
    const index = this.#loaded.size;
    this.#loaded.set(key, { index, view: { binding, offset: begin, elements: end - begin } });
    return { loaded: index };
  }

  #write({ id, binding, offset, elements }: GraphTensor, source: Source): void {
    if (binding < 0) {
      this.#arena.set(id, source);
      return;
    }
    const end = offset + elements;
    const all = this.#stretches[binding]!;
    const size = this.#step.graph.bindings[binding]!.elements;
    this.#stretches[binding] = [
      ...within(all, 0, offset),
      { begin: offset, end, source, from: 0 },
      ...within(all, end, size),
    ];
  }
}

/** @throws ERR_INTERNAL for a graph that reads what nobody has given or written: its steps would not be pure functions. */
export function sourcePlan(step: Pick<TracedStep, "graph" | "given" | "state">): SourcePlan {
  const planner = new Planner(step);
  const { bindings, nodes }: GraphDescription = step.graph;
  const reads = nodes.map((node, index) => planner.pass(node, index));
  const closing = step.state.map((name) => {
    const binding = bindings.find((each) => each.name === name);
    if (binding === undefined)
      throw new GradmeshError("ERR_INTERNAL", `trace: there is no binding "${name}"`);
    const { index, elements, kind } = binding;
    return planner.read({ id: -1, binding: index, offset: 0, elements, kind });
  });
  return { loaded: planner.loaded, reads, closing };
}
