/** Writes an operator graph: a list of nodes over bound tensors and arena tensors, as plain data. */
import { GradmeshError } from "../base/errors.js";
import { type OpName, ops } from "../native/abi.gen.js";
import type { GraphBinding, GraphDescription, GraphNode, GraphTensor, TensorKind } from "./description.js";
import { Graph } from "./graph.js";
import { elementsOf } from "./layout.js";

/** A node's tensors in the shapes in which it was given them (see reshape()). */
export interface Operands {
  readonly inputs: readonly GraphTensor[];
  readonly outputs: readonly GraphTensor[];
}

export class GraphBuilder {
  readonly #bindings: GraphBinding[] = [];
  readonly #tensors: GraphTensor[] = [];
  readonly #nodes: GraphNode[] = [];
  readonly #operands = new Map<GraphNode, Operands>();
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

  /** A part of a bound tensor, counted flat. @throws ERR_INVALID_ARGUMENT for one in the arena, or past its end. */
  part(tensor: GraphTensor, shape: readonly number[], offset = 0): GraphTensor {
    const elements = elementsOf(shape);
    if (tensor.binding < 0 || offset < 0 || offset + elements > tensor.elements) {
      throw new GradmeshError(
        "ERR_INVALID_ARGUMENT",
        `graph: [${shape}] at ${offset} is no part of "${tensor.name}" [${tensor.shape}]` +
          (tensor.binding < 0 ? ", which is in the graph's own memory; only bound tensors have parts" : ""),
      );
    }
    const { name, kind, binding } = tensor;
    return this.#declare({ name, shape, elements, kind, binding, offset: tensor.offset + offset });
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
    const node = { op, inputs: ids(inputs), outputs: ids(outputs), integers, floats };
    this.#nodes.push(node);
    this.#operands.set(node, { inputs, outputs });
  }

  /** The tensors of one of `nodes`. */
  operands(node: GraphNode): Operands {
    const operands = this.#operands.get(node);
    if (operands !== undefined) return operands;
    throw new GradmeshError("ERR_INVALID_ARGUMENT", `graph: this ${node.op} is none of its nodes`);
  }

  /** The graph as data. */
  describe(): GraphDescription {
    return {
      bindings: [...this.#bindings],
      tensors: [...this.#tensors],
      nodes: [...this.#nodes],
    };
  }

  /**
   * Builds the native graph, for the CPU on so many threads or for a GPU ("cuda", "cuda:1"); the bytes are the same.
   * @throws ERR_UNSUPPORTED where there is no such GPU, with the reason.
   */
  build(threads: number, device = "cpu"): Graph {
    return new Graph(this.describe(), threads, device);
  }

  #declare(tensor: Omit<GraphTensor, "id">): GraphTensor {
    const declared = { id: this.#tensors.length, ...tensor };
    this.#tensors.push(declared);
    return declared;
  }
}
