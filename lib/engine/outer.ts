/** Outer optimizers: what a mean pseudo-gradient does to the anchor, natively and exactly, one fragment at a time. */
import { GradmeshError } from "../base/errors.js";
import type { Outer } from "../strategy/recipe.js";
import type { ApplyAction } from "../strategy/strategy.js";
import { axpby, copy } from "../tensor/elements.js";
import type { Graph } from "../tensor/graph.js";
import type { NamedTensor } from "../tensor/layout.js";
import { adaptive, nesterov } from "../tensor/optimizers.js";
import { type BucketRange, rangeGraph } from "./ranges.js";

/** What a round's contributions were: how many peers' and of how many. */
export interface Arrivals {
  readonly contributors: number;
  readonly ranks: number;
}

/** Steps the anchor, float32 [n]; its state is equal on all peers, part of a checkpoint and of what a joiner receives. */
export interface OuterOptimizer {
  readonly state: readonly NamedTensor[];
  /** Zeros, or what the method starts from. */
  start(): void;
  /** Takes one step on the ranges of a fragment with their packed mean pseudo-gradient. */
  apply(fragment: number, mean: Float32Array, action: ApplyAction, arrivals: Arrivals): Promise<void>;
  close(): void;
}

export interface OuterOptions {
  readonly outer: Outer;
  /** theta_g, float32 [n]. */
  readonly anchor: Float32Array;
  /** Of each fragment. */
  readonly fragments: readonly (readonly BucketRange[])[];
  readonly threads: number;
}

const named = (name: string, data: Float32Array): NamedTensor => ({ name, shape: [data.length], data });

/** Graphs of each fragment, made when they are first needed. */
class FragmentGraphs {
  readonly #make: (ranges: readonly BucketRange[]) => Graph;
  readonly #fragments: OuterOptions["fragments"];
  readonly #graphs = new Map<number, Graph>();

  constructor(fragments: OuterOptions["fragments"], make: (ranges: readonly BucketRange[]) => Graph) {
    this.#fragments = fragments;
    this.#make = make;
  }

  of(fragment: number): Graph {
    const graph = this.#graphs.get(fragment) ?? this.#make(this.#fragments[fragment]!);
    this.#graphs.set(fragment, graph);
    return graph;
  }

  close(): void {
    for (const graph of this.#graphs.values()) graph.close();
  }
}

/** b = m b + g; x = x - lr (g + m b): with m 0 it is SGD. PyTorch's form of Nesterov's momentum, as DiLoCo uses it. */
function nesterovOuter({ outer, anchor, fragments, threads }: OuterOptions): OuterOptimizer {
  const momentum = new Float32Array(anchor.length);
  const schedule = new Float32Array(2);
  const graphs = new FragmentGraphs(fragments, (ranges) =>
    rangeGraph(anchor.length, ranges, threads, (graph, views) => {
      const inputs = { gradient: views.packed("gradient"), schedule: views.scalars("schedule", 2) };
      nesterov(graph, inputs, { parameters: views.bucket("anchor"), momentum: views.bucket("momentum") });
    }),
  );
  return {
    state: outer.kind === "sgd" ? [] : [named("momentum", momentum)],
    start: () => void momentum.fill(0),
    async apply(fragment, mean, { learningRate, momentum: decay }) {
      schedule[0] = learningRate;
      schedule[1] = outer.kind === "sgd" ? 0 : decay;
      // Without momentum what earlier steps left there counts for nothing.
      await graphs.of(fragment).run({ gradient: mean, schedule, anchor, momentum });
    },
    close: () => graphs.close(),
  };
}

/**
 * Delayed Nesterov (arXiv 2401.09135, algorithm 3, c = 0): each contribution moves the anchor by plain SGD as it comes,
 * x -= lr sum(g) / n; the momentum takes the mean of what was buffered once n contributions are in, and moves it then:
 * b = m b + buffer / n, x -= lr m b. Where all n contribute each time it is Nesterov, to the bit.
 */
function delayedNesterovOuter({ anchor, fragments, threads }: OuterOptions): OuterOptimizer {
  const [momentum, buffer] = [new Float32Array(anchor.length), new Float32Array(anchor.length)];
  /** Of the fragments: contributions in the buffer. */
  const arrived = new Float32Array(fragments.length);
  const schedule = new Float32Array(2);
  const coefficients = new Float32Array(2);
  const whole = new FragmentGraphs(fragments, (ranges) =>
    rangeGraph(anchor.length, ranges, threads, (graph, views) => {
      const inputs = { gradient: views.packed("gradient"), schedule: views.scalars("schedule", 2) };
      nesterov(graph, inputs, { parameters: views.bucket("anchor"), momentum: views.bucket("momentum") });
    }),
  );
  // c = [1, share]: buffer += share g, anchor -= lr share g.
  const plain = new FragmentGraphs(fragments, (ranges) =>
    rangeGraph(anchor.length, ranges, threads, (graph, views) => {
      const gradient = views.packed("gradient");
      const collected = axpby(graph, views.bucket("buffer"), gradient, views.scalars("collect", 2));
      const moved = axpby(graph, views.bucket("anchor"), gradient, views.scalars("move", 2));
      copy(graph, collected, views.bucket("buffer"));
      copy(graph, moved, views.bucket("anchor"));
    }),
  );
  // b = m b + buffer; x -= lr m b.
  const late = new FragmentGraphs(fragments, (ranges) =>
    rangeGraph(anchor.length, ranges, threads, (graph, views) => {
      const stepped = axpby(
        graph,
        views.bucket("momentum"),
        views.bucket("buffer"),
        views.scalars("collect", 2),
      );
      const moved = axpby(graph, views.bucket("anchor"), stepped, views.scalars("move", 2));
      copy(graph, stepped, views.bucket("momentum"));
      copy(graph, moved, views.bucket("anchor"));
    }),
  );
  const move = new Float32Array(2);
  return {
    state: [named("momentum", momentum), named("buffer", buffer), named("arrived", arrived)],
    start() {
      for (const tensor of [momentum, buffer, arrived]) tensor.fill(0);
    },
    async apply(fragment, mean, { learningRate, momentum: decay }, { contributors, ranks }) {
      if (arrived[fragment] === 0 && contributors >= ranks) {
        schedule.set([learningRate, decay]);
        await whole.of(fragment).run({ gradient: mean, schedule, anchor, momentum });
        return;
      }
      const share = contributors / ranks;
      coefficients.set([1, share]);
      move.set([1, -learningRate * share]);
      await plain.of(fragment).run({ gradient: mean, buffer, anchor, collect: coefficients, move });
      arrived[fragment]! += contributors;
      if (arrived[fragment]! < ranks) return;
      coefficients.set([decay, 1]);
      move.set([1, -learningRate * decay]);
      await late.of(fragment).run({ momentum, buffer, anchor, collect: coefficients, move });
      for (const { begin, elements } of fragments[fragment]!) buffer.fill(0, begin, begin + elements);
      arrived[fragment] = 0;
    },
    close() {
      for (const graphs of [whole, plain, late]) graphs.close();
    },
  };
}

/** FedOpt (arXiv 2003.00295, algorithm 2): m and v of pseudo-gradients at the server, without bias correction. */
function adaptiveOuter({ outer, anchor, fragments, threads }: OuterOptions): OuterOptimizer {
  if (outer.kind !== "adam" && outer.kind !== "yogi" && outer.kind !== "adagrad")
    throw new GradmeshError("ERR_INTERNAL", `outer: ${outer.kind} is not adaptive`);
  const { kind, beta1, beta2, epsilon } = outer;
  const [first, second] = [new Float32Array(anchor.length), new Float32Array(anchor.length)];
  const schedule = new Float32Array(1);
  const graphs = new FragmentGraphs(fragments, (ranges) =>
    rangeGraph(anchor.length, ranges, threads, (graph, views) => {
      const inputs = { gradient: views.packed("gradient"), schedule: views.scalars("schedule", 1) };
      const parameters = views.bucket("anchor");
      const state = { parameters, first: views.bucket("first"), second: views.bucket("second") };
      adaptive(graph, inputs, state, { kind, beta1, beta2, epsilon });
    }),
  );
  return {
    state: [named("first", first), named("second", second)],
    start() {
      first.fill(0);
      second.fill(epsilon * epsilon);
    },
    async apply(fragment, mean, { learningRate }) {
      schedule[0] = learningRate;
      await graphs.of(fragment).run({ gradient: mean, schedule, anchor, first, second });
    },
    close: () => graphs.close(),
  };
}

/** @throws ERR_CONFIG for an outer optimizer that steps no anchor. */
export function createOuter(options: OuterOptions): OuterOptimizer {
  switch (options.outer.kind) {
    case "sgd":
    case "nesterov":
      return nesterovOuter(options);
    case "delayedNesterov":
      return delayedNesterovOuter(options);
    case "adam":
    case "yogi":
    case "adagrad":
      return adaptiveOuter(options);
    default:
      throw new GradmeshError(
        "ERR_CONFIG",
        `outer optimizer "${options.outer.kind}" steps no anchor; allowed: sgd, nesterov, delayedNesterov, adam, yogi, adagrad`,
      );
  }
}
