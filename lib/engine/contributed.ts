/**
 * What a peer's inner steps come to as a contribution, from the parameters before and after them alone: of strategies that
 * send the whole pseudo-gradient, without feedback, at the end of a round. So others can compute what a peer must send.
 */
import { GradmeshError } from "../base/errors.js";
import { decodeOwn } from "../reduce/gather-wires.js";
import type { Strategy, StrategyView } from "../strategy/strategy.js";
import { subtract } from "../tensor/elements.js";
import type { Graph } from "../tensor/graph.js";
import { exchangeKey } from "./contribution.js";
import { rangeGraph } from "./ranges.js";
import { actionsAt } from "./timeline.js";

export interface ContributedOptions {
  /** One, whose recipe sends deltas. */
  readonly strategies: readonly Strategy[];
  /** The run's seed and steps. */
  readonly seed: number;
  readonly steps: number;
  readonly elements: number;
  readonly threads: number;
}

export class Contributed {
  readonly #options: ContributedOptions;
  readonly #delta: Float32Array;
  readonly #difference: Graph;
  /** One computation at a time: they share memory. */
  #busy: Promise<unknown> = Promise.resolve();

  constructor(options: ContributedOptions) {
    this.#options = options;
    const { elements, threads } = options;
    this.#delta = new Float32Array(elements);
    const whole = [{ begin: 0, elements }];
    this.#difference = rangeGraph(elements, whole, threads, (graph, views) => {
      subtract(graph, views.bucket("base"), views.bucket("parameters"), views.packed("delta"));
    });
  }

  /**
   * What the others decode of it, float32 [n], in memory of its own.
   * @param end the round's last step. @param coder who codes it, as the members number coders.
   */
  decoded(
    { before, after }: { readonly before: Float32Array; readonly after: Float32Array },
    end: number,
    coder: number,
  ): Promise<Float32Array> {
    const work = this.#busy.then(async () => {
      await this.#difference.run({ base: before, parameters: after, delta: this.#delta });
      return decodeOwn({ ...this.#codingAt(end), input: this.#delta }, coder);
    });
    this.#busy = work.catch(() => {});
    return work;
  }

  #codingAt(end: number): { codec: string; key: { seed: number; step: number } } {
    const { strategies, seed, steps } = this.#options;
    const view: StrategyView = { epoch: 0, members: [], seed, steps, measures: {} };
    const [planned] = actionsAt(strategies, end, view).boundary.begins;
    if (planned === undefined)
      throw new GradmeshError("ERR_INTERNAL", `nothing is exchanged at the end of the round, step ${end}`);
    const { index, action } = planned;
    return { codec: action.up, key: exchangeKey({ seed, index }, action) };
  }

  close(): void {
    this.#difference.close();
  }
}
