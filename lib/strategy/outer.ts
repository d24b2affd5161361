/** The outer optimizer: the anchor (the parameters all peers share) and its momentum, stepped natively. */
import { GradmeshError } from "../base/errors.js";
import { GraphBuilder } from "../tensor/builder.js";
import type { Graph } from "../tensor/graph.js";
import { add, copy, nesterov, subtract } from "../tensor/operators.js";
import { momentumAt, type NesterovOuter } from "./strategy.js";

/**
 * Holds the anchor theta_g and the momentum b, both float32 [n] and zero at first. A round is
 * `delta = theta_g - theta`, the mean over peers, `b = m b + delta`, `theta_g = theta_g - lr (delta + m b)`, theta = theta_g.
 */
export class OuterOptimizer {
  /** theta_g; written by apply(), and by whoever restores a state. */
  readonly anchor: Float32Array;
  /** b; as the anchor, part of a checkpoint and of what a joining peer receives. */
  readonly momentum: Float32Array;
  readonly #recipe: NesterovOuter;
  readonly #schedule = new Float32Array(2);
  readonly #difference: Graph;
  readonly #step: Graph;
  readonly #copy: Graph;
  /** Made when it is first needed. */
  #sum: Graph | null = null;
  readonly #threads: number;

  constructor(elements: number, recipe: NesterovOuter, threads: number) {
    if (!Number.isSafeInteger(elements) || elements < 1) {
      throw new GradmeshError(
        "ERR_INVALID_ARGUMENT",
        `outer: elements is ${elements}, not a positive integer`,
      );
    }
    this.anchor = new Float32Array(elements);
    this.momentum = new Float32Array(elements);
    this.#recipe = recipe;
    this.#difference = differenceGraph(elements, threads);
    this.#step = stepGraph(elements, threads);
    this.#copy = copyGraph(elements, threads);
    this.#threads = threads;
  }

  /** The anchor becomes these parameters, the momentum zero: how a run starts. */
  async start(parameters: Float32Array): Promise<void> {
    await this.#copy.run({ source: parameters, target: this.anchor });
    this.momentum.fill(0);
  }

  /** target = anchor - parameters, each float32 [n]. */
  async pseudoGradient(parameters: Float32Array, target: Float32Array, signal?: AbortSignal): Promise<void> {
    await this.#difference.run({ anchor: this.anchor, parameters, target }, signal);
  }

  /**
   * Takes the outer step of `round` (from 0) with the mean pseudo-gradient, then sets the parameters to the anchor.
   * It takes no signal: half an outer step would be a state that no other peer has.
   */
  async apply(meanDelta: Float32Array, round: number, parameters: Float32Array): Promise<void> {
    this.#schedule[0] = this.#recipe.learningRate;
    this.#schedule[1] = momentumAt(this.#recipe, round);
    const { anchor, momentum } = this;
    await this.#step.run({ gradient: meanDelta, schedule: this.#schedule, anchor, momentum, parameters });
  }

  /** target = target + other, each float32 [n]. */
  async add(target: Float32Array, other: Float32Array): Promise<void> {
    this.#sum ??= sumGraph(this.anchor.length, this.#threads);
    const sum = new Float32Array(target.length);
    await this.#sum.run({ target, other, sum });
    target.set(sum);
  }

  /** parameters = anchor, after a state was restored into the anchor. */
  async reset(parameters: Float32Array): Promise<void> {
    await this.#copy.run({ source: this.anchor, target: parameters });
  }

  close(): void {
    for (const graph of [this.#difference, this.#step, this.#copy, this.#sum]) graph?.close();
  }
}

function differenceGraph(elements: number, threads: number): Graph {
  const graph = new GraphBuilder();
  const tensor = (name: string) => graph.view(graph.binding(name, elements), [elements]);
  subtract(graph, tensor("anchor"), tensor("parameters"), tensor("target"));
  return graph.build(threads);
}

function stepGraph(elements: number, threads: number): Graph {
  const graph = new GraphBuilder();
  const tensor = (name: string, extent = elements) => graph.view(graph.binding(name, extent), [extent]);
  const inputs = { gradient: tensor("gradient"), schedule: tensor("schedule", 2) };
  const state = { parameters: tensor("anchor"), momentum: tensor("momentum") };
  nesterov(graph, inputs, state);
  copy(graph, state.parameters, tensor("parameters"));
  return graph.build(threads);
}

function sumGraph(elements: number, threads: number): Graph {
  const graph = new GraphBuilder();
  const tensor = (name: string) => graph.view(graph.binding(name, elements), [elements]);
  add(graph, tensor("target"), tensor("other"), tensor("sum"));
  return graph.build(threads);
}

function copyGraph(elements: number, threads: number): Graph {
  const graph = new GraphBuilder();
  const tensor = (name: string) => graph.view(graph.binding(name, elements), [elements]);
  copy(graph, tensor("source"), tensor("target"));
  return graph.build(threads);
}
