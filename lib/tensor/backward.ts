/** Reverse-mode differentiation: appends to a graph the nodes that compute the gradients of its loss. */
import { GradmeshError } from "../base/errors.js";
import type { OpName } from "../native/abi.gen.js";
import type { GraphBuilder } from "./builder.js";
import { type GraphNode, type GraphTensor, reshape } from "./description.js";
import { add, copy, scaleBy } from "./elements.js";
import {
  attentionBackward,
  biasBackward,
  crossEntropyBackward,
  embeddingBackward,
  geluBackward,
  layernormBackward,
  matmulBackwardInput,
  matmulBackwardWeight,
} from "./operators.js";
import { col2im, type Window } from "./windows.js";

/** What a rule may use, all in the shapes that the node was given: its tensors, the gradient of its first output, and where gradients are wanted. */
interface RuleContext {
  readonly graph: GraphBuilder;
  readonly inputs: readonly GraphTensor[];
  readonly outputs: readonly GraphTensor[];
  readonly integers: readonly number[];
  readonly gradient: GraphTensor;
  /** Whether the loss's gradient in respect of this input is of use to anyone. */
  wanted(input: number): boolean;
  /** A tensor to write this input's gradient to: its final place where this is its only contribution. */
  target(input: number): GraphTensor;
}

interface Rule {
  /** The inputs that have a gradient. */
  readonly inputs: (node: GraphNode) => readonly number[];
  /** Appends the backward nodes; gives the gradients by input. */
  readonly apply: (context: RuleContext) => ReadonlyMap<number, GraphTensor>;
}

/** The window of an im2col node. */
function windowOf(integers: readonly number[]): Window {
  const [kernel, stride, padding] = integers.slice(4) as [number, number, number];
  return { kernel, stride, padding };
}

/** The backward rule of every operator that has one. Only an operator's first output can have a gradient. */
const rules: Partial<Record<OpName, Rule>> = {
  embedding: {
    inputs: () => [1, 2],
    apply({ graph, inputs, gradient, target }) {
      const [dTable, dPositions] = [target(1), target(2)];
      embeddingBackward(graph, inputs[0]!, gradient, dTable, dPositions);
      return new Map([[1, dTable] as const, [2, dPositions] as const]);
    },
  },
  layernorm: {
    inputs: () => [0, 1, 2],
    apply({ graph, inputs, outputs, gradient, target }) {
      const [dX, dGain, dBias] = [target(0), target(1), target(2)];
      layernormBackward(
        graph,
        [gradient, inputs[0]!, inputs[1]!, outputs[1]!, outputs[2]!],
        [dX, dGain, dBias],
      );
      return new Map([[0, dX] as const, [1, dGain] as const, [2, dBias] as const]);
    },
  },
  matmul: {
    inputs: ({ integers }) => (integers[3] === 1 ? [0, 1, 2] : [0, 1]),
    apply({ graph, inputs, integers, gradient, wanted, target }) {
      const gradients = new Map<number, GraphTensor>();
      const want = (input: number, append: (into: GraphTensor) => void) => {
        if (!wanted(input)) return;
        const into = target(input);
        append(into);
        gradients.set(input, into);
      };
      want(0, (dX) => matmulBackwardInput(graph, gradient, inputs[1]!, dX));
      want(1, (dW) => matmulBackwardWeight(graph, inputs[0]!, gradient, dW));
      if (integers[3] === 1) want(2, (dBias) => biasBackward(graph, gradient, dBias));
      return gradients;
    },
  },
  gelu: {
    inputs: () => [0],
    apply({ graph, inputs, gradient, target }) {
      const dX = target(0);
      geluBackward(graph, inputs[0]!, gradient, dX);
      return new Map([[0, dX]]);
    },
  },
  attention: {
    inputs: () => [0],
    apply({ graph, inputs, outputs, gradient, target }) {
      const dQkv = target(0);
      attentionBackward(graph, gradient, inputs[0]!, outputs[1]!, dQkv);
      return new Map([[0, dQkv]]);
    },
  },
  // The sum hands its own gradient on to both terms, without a node.
  add: {
    inputs: () => [0, 1],
    apply: ({ gradient }) => new Map([[0, gradient] as const, [1, gradient] as const]),
  },
  copy: {
    inputs: () => [0],
    apply: ({ gradient }) => new Map([[0, gradient]]),
  },
  // Coefficients are given, not learned.
  axpby: {
    inputs: () => [0, 1],
    apply({ graph, inputs, gradient, wanted, target }) {
      const scaled = (input: number) =>
        scaleBy(graph, gradient, graph.part(inputs[2]!, [1], input), target(input));
      return new Map([0, 1].filter(wanted).map((input) => [input, scaled(input)]));
    },
  },
  scale_by: {
    inputs: () => [0],
    apply: ({ graph, inputs, gradient, target }) =>
      new Map([[0, scaleBy(graph, gradient, inputs[1]!, target(0))]]),
  },
  im2col: {
    inputs: () => [0],
    apply({ graph, integers, gradient, target }) {
      const dImages = target(0);
      col2im(graph, gradient, dImages, windowOf(integers));
      return new Map([[0, dImages]]);
    },
  },
  // ops.def gives the gradient of the mean loss at once, so `gradient` (of the losses) has no values of its own.
  cross_entropy: {
    inputs: () => [0],
    apply({ graph, inputs, outputs, target }) {
      const dLogits = target(0);
      crossEntropyBackward(graph, outputs[1]!, inputs[1]!, dLogits);
      return new Map([[0, dLogits]]);
    },
  },
};

/** The inputs that a gradient flows to; all of them where there is no rule, so that reaching one is an error. */
function differentiable(node: GraphNode): readonly number[] {
  return rules[node.op]?.inputs(node) ?? node.inputs.map((_, input) => input);
}

/** Which tensors depend on something whose gradient was asked for. */
function dependents(graph: GraphBuilder, nodes: readonly GraphNode[]): ReadonlySet<number> {
  const depends = new Set<number>();
  const needs = (id: number) => depends.has(id) || graph.gradients.has(id);
  for (const node of nodes) {
    const through = differentiable(node);
    for (const input of through) if (needs(node.inputs[input]!)) depends.add(node.inputs[input]!);
    if (through.some((input) => needs(node.inputs[input]!))) for (const id of node.outputs) depends.add(id);
  }
  return depends;
}

/** How many gradients will flow into each tensor, so that the last one can be written to its final place. */
function contributions(
  nodes: readonly GraphNode[],
  losses: number,
  depends: ReadonlySet<number>,
): ReadonlyMap<number, number> {
  const counts = new Map<number, number>([[losses, 1]]);
  for (const node of nodes.toReversed()) {
    if (!counts.has(node.outputs[0]!)) continue;
    for (const input of differentiable(node)) {
      const id = node.inputs[input]!;
      if (depends.has(id)) counts.set(id, (counts.get(id) ?? 0) + 1);
    }
  }
  return counts;
}

/** Adds up the gradients of each tensor as they come: later uses of a tensor first, in the order of the nodes. */
class Accumulator {
  readonly #graph: GraphBuilder;
  readonly #counts: ReadonlyMap<number, number>;
  readonly #sums = new Map<number, { sum: GraphTensor; received: number }>();

  constructor(graph: GraphBuilder, counts: ReadonlyMap<number, number>) {
    this.#graph = graph;
    this.#counts = counts;
  }

  target(tensor: GraphTensor): GraphTensor {
    const final = this.#counts.get(tensor.id) === 1 ? this.#graph.gradients.get(tensor.id) : undefined;
    return final ?? this.#graph.arena(`d.${tensor.name}`, tensor.shape);
  }

  receive(tensor: GraphTensor, gradient: GraphTensor): void {
    const before = this.#sums.get(tensor.id);
    const received = (before?.received ?? 0) + 1;
    const final = received === this.#counts.get(tensor.id) ? this.#graph.gradients.get(tensor.id) : undefined;
    let sum = gradient;
    if (before !== undefined) sum = add(this.#graph, before.sum, gradient, final);
    else if (final !== undefined && final.id !== gradient.id) sum = copy(this.#graph, gradient, final);
    this.#sums.set(tensor.id, { sum, received });
  }

  sum(id: number): GraphTensor | undefined {
    return this.#sums.get(id)?.sum;
  }
}

/**
 * Appends the backward pass of `loss`, which must be the mean of a cross-entropy. Every gradient that was asked for
 * by differentiate() is then written, at each run, to the tensor named there. Nodes are walked last to first; where
 * a tensor is used twice its gradients are added, the later use's first.
 * @throws ERR_INVALID_ARGUMENT when the loss is no such mean, an operator on the way has no backward rule, or a
 * gradient that was asked for does not depend on the loss.
 */
export function backward(graph: GraphBuilder, loss: GraphTensor): void {
  const nodes = [...graph.nodes];
  const producer = (id: number) => nodes.find((node) => node.outputs.includes(id));
  const meanNode = producer(loss.id);
  const lossNode = meanNode?.op === "mean" ? producer(meanNode.inputs[0]!) : undefined;
  if (lossNode?.op !== "cross_entropy") {
    throw new GradmeshError(
      "ERR_INVALID_ARGUMENT",
      `backward: "${loss.name}" is not the mean of a cross_entropy, the only loss that ops.def can differentiate`,
    );
  }
  const losses = graph.tensor(lossNode.outputs[0]!);
  const depends = dependents(graph, nodes);
  const counts = contributions(nodes, losses.id, depends);
  const sums = new Accumulator(graph, counts);
  sums.receive(losses, losses);
  for (const node of nodes.toReversed()) appendRule(graph, node, sums, depends, counts);
  for (const id of graph.gradients.keys()) {
    if (sums.sum(id) !== undefined) continue;
    const { name } = graph.tensor(id);
    throw new GradmeshError("ERR_INVALID_ARGUMENT", `backward: "${name}" has no part in "${loss.name}"`);
  }
}

function appendRule(
  graph: GraphBuilder,
  node: GraphNode,
  sums: Accumulator,
  depends: ReadonlySet<number>,
  counts: ReadonlyMap<number, number>,
): void {
  const gradient = sums.sum(node.outputs[0]!);
  if (gradient === undefined || !depends.has(node.outputs[0]!)) return;
  const stray = node.outputs.slice(1).find((id) => counts.has(id));
  const rule = rules[node.op];
  if (rule === undefined || stray !== undefined) {
    const what = rule === undefined ? "" : ` for its output "${graph.tensor(stray!).name}"`;
    throw new GradmeshError("ERR_INVALID_ARGUMENT", `backward: ${node.op} has no backward rule${what}`);
  }
  const { inputs, outputs } = graph.operands(node);
  const gradients = rule.apply({
    graph,
    inputs,
    outputs,
    integers: node.integers,
    gradient: reshape(gradient, outputs[0]!.shape),
    wanted: (input) => depends.has(node.inputs[input]!),
    target: (input) => reshape(sums.target(inputs[input]!), inputs[input]!.shape),
  });
  for (const [input, value] of gradients) {
    if (depends.has(inputs[input]!.id)) sums.receive(inputs[input]!, value);
  }
}
