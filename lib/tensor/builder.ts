/** Writes an operator graph: a list of nodes over bound tensors and arena tensors, as plain data. */
import { createHash } from "node:crypto";
import { GradmeshError } from "../base/errors.js";
import { type OpName, ops } from "../native/abi.gen.js";
import { Graph } from "./graph.js";
import { elementsOf } from "./layout.js";

export type TensorKind = "f32" | "i32";

/** A tensor of a graph. Bound ones lie in a buffer given at each run; the others in the graph's own arena. */
export interface GraphTensor {
  readonly id: number;
  readonly name: string;
  readonly shape: readonly number[];
  readonly elements: number;
  readonly kind: TensorKind;
  /** Index of the binding, or -1 for the arena. */
  readonly binding: number;
  /** First element within the binding; 0 in the arena, where native code finds the place. */
  readonly offset: number;
}

/** A buffer that the caller gives at each run. */
export interface GraphBinding {
  readonly index: number;
  readonly name: string;
  readonly elements: number;
  readonly kind: TensorKind;
}

/** One operator application; tensors by id, integers and floats in the order of native/ops/ops.def. */
export interface GraphNode {
  readonly op: OpName;
  readonly inputs: readonly number[];
  readonly outputs: readonly number[];
  readonly integers: readonly number[];
  readonly floats: readonly number[];
}

/** A whole graph as data: what it computes, node by node, without a machine or a thread count. */
export interface GraphDescription {
  readonly bindings: readonly GraphBinding[];
  readonly tensors: readonly GraphTensor[];
  readonly nodes: readonly GraphNode[];
}

export class GraphBuilder {
  readonly #bindings: GraphBinding[] = [];
  readonly #tensors: GraphTensor[] = [];
  readonly #nodes: GraphNode[] = [];
  readonly #gradients = new Map<number, GraphTensor>();
  readonly #written = new Set<number>();
  /** Put before the names of arena tensors, so that a printed graph reads well. */
  scope = "";

  /** Declares a buffer that each run must bind under this name. */
  binding(name: string, elements: number, kind: TensorKind = "f32"): GraphBinding {
    if (this.#bindings.some((binding) => binding.name === name)) {
      throw new GradmeshError("ERR_INVALID_ARGUMENT", `graph: the binding "${name}" is declared twice`);
    }
    const binding = { index: this.#bindings.length, name, elements, kind };
    this.#bindings.push(binding);
    return binding;
  }

  /** A tensor inside a binding. @throws ERR_INVALID_ARGUMENT when it reaches past the binding's end. */
  view(binding: GraphBinding, shape: readonly number[], offset = 0, name = binding.name): GraphTensor {
    const elements = elementsOf(shape);
    if (offset < 0 || offset + elements > binding.elements) {
      throw new GradmeshError(
        "ERR_INVALID_ARGUMENT",
        `graph: "${name}" [${shape}] at ${offset} lies outside "${binding.name}" of ${binding.elements} elements`,
      );
    }
    return this.#declare({ name, shape, elements, kind: binding.kind, binding: binding.index, offset });
  }

  /** A tensor of the graph's own memory. */
  arena(name: string, shape: readonly number[]): GraphTensor {
    const elements = elementsOf(shape);
    return this.#declare({ name: this.scope + name, shape, elements, kind: "f32", binding: -1, offset: 0 });
  }

  /** Asks for the gradient of the loss in respect of `tensor`; backward() writes it into `gradient`. */
  differentiate(tensor: GraphTensor, gradient: GraphTensor): void {
    if (tensor.elements !== gradient.elements) {
      throw new GradmeshError(
        "ERR_INVALID_ARGUMENT",
        `graph: the gradient of "${tensor.name}" has ${gradient.elements} elements, not ${tensor.elements}`,
      );
    }
    this.#gradients.set(tensor.id, gradient);
  }

  /** Where backward() is to write the gradients that were asked for, by tensor id. */
  get gradients(): ReadonlyMap<number, GraphTensor> {
    return this.#gradients;
  }

  tensor(id: number): GraphTensor {
    const tensor = this.#tensors[id];
    if (tensor === undefined) throw new GradmeshError("ERR_INVALID_ARGUMENT", `graph: no tensor ${id}`);
    return tensor;
  }

  get nodes(): readonly GraphNode[] {
    return this.#nodes;
  }

  /** Appends a node. @throws ERR_INVALID_ARGUMENT for counts that are not those of ops.def, or an unwritten input. */
  node(
    op: OpName,
    inputs: readonly GraphTensor[],
    outputs: readonly GraphTensor[],
    integers: readonly number[],
    floats: readonly number[] = [],
  ): void {
    const row = ops[op];
    const given = [inputs.length, outputs.length, integers.length, floats.length];
    const wanted = [row.inputs, row.outputs, row.integers, row.floats];
    if (given.some((count, index) => count !== wanted[index])) {
      throw new GradmeshError(
        "ERR_INVALID_ARGUMENT",
        `graph: ${op} takes [inputs, outputs, integers, floats] [${wanted}], not [${given}]`,
      );
    }
    const unwritten = inputs.find((tensor) => tensor.binding < 0 && !this.#written.has(tensor.id));
    if (unwritten !== undefined) {
      throw new GradmeshError(
        "ERR_INVALID_ARGUMENT",
        `graph: ${op} reads "${unwritten.name}" before it is written`,
      );
    }
    for (const tensor of outputs) this.#written.add(tensor.id);
    const ids = (tensors: readonly GraphTensor[]) => tensors.map((tensor) => tensor.id);
    this.#nodes.push({ op, inputs: ids(inputs), outputs: ids(outputs), integers, floats });
  }

  /** The graph as data. */
  describe(): GraphDescription {
    return {
      bindings: [...this.#bindings],
      tensors: [...this.#tensors],
      nodes: [...this.#nodes],
    };
  }

  /** Builds the native graph; it runs on so many threads, with the same bytes for any number of them. */
  build(threads: number): Graph {
    return new Graph(this.describe(), threads);
  }

  #declare(tensor: Omit<GraphTensor, "id">): GraphTensor {
    const declared = { id: this.#tensors.length, ...tensor };
    this.#tensors.push(declared);
    return declared;
  }
}

/** One line a node: `0007 matmul(block0.norm1.y, ...) -> (block0.qkv.y) [1024,128,384,1]`. */
export function printGraph({ tensors, nodes }: GraphDescription): string {
  const names = (ids: readonly number[]) => ids.map((id) => tensors[id]?.name).join(", ");
  return nodes
    .map(({ op, inputs, outputs, integers, floats }, index) => {
      const numbers = [...integers, ...floats].join(",");
      return `${String(index).padStart(4, "0")} ${op}(${names(inputs)}) -> (${names(outputs)}) [${numbers}]\n`;
    })
    .join("");
}

/** SHA-256 of everything that decides what the graph computes, 64 hex characters. */
export function graphDigest({ bindings, tensors, nodes }: GraphDescription): string {
  const facts = [
    bindings.map(({ name, elements, kind }) => [name, elements, kind]),
    tensors.map(({ shape, kind, binding, offset }) => [shape, kind, binding, offset]),
    nodes.map(({ op, inputs, outputs, integers, floats }) => [op, inputs, outputs, integers, floats]),
  ];
  return createHash("sha256").update(JSON.stringify(facts)).digest("hex");
}
