/**
 * Outer steps that overlap a whole round: the mean of what the last round came to is on its way while this one trains.
 *
 * eager (arXiv 2502.12996; experimental): the own part of that stale mean is exchanged for what this round came to,
 * g = delta(r) share + (mean(r - 1) - delta(r - 1) share), where share is this peer's weight in the mean: 1 / peers. So
 * anchors differ between peers. With one peer it is DiLoCo, to the bit. delayed: g = mean(r - 1), for comparison.
 * Before the first round both stale terms are zero, as in the paper.
 */
import type { ApplyAction, BeginAction } from "../strategy/strategy.js";
import { axpby, copy, subtract } from "../tensor/elements.js";
import type { Graph } from "../tensor/graph.js";
import type { NamedTensor } from "../tensor/layout.js";
import type { Communicator } from "./communicator.js";
import { Contribution, named, shareOf } from "./contribution.js";
import type { Exchange, Flight } from "./exchange.js";
import { expectFinite } from "./finite.js";
import type { TrainerExchangeOptions } from "./gradient.js";
import { createOuter, type OuterOptimizer } from "./outer.js";
import { rangeGraph } from "./ranges.js";

export class EagerExchange implements Exchange {
  readonly #options: TrainerExchangeOptions;
  readonly #eager: boolean;
  readonly #anchor: Float32Array;
  /** What the last round came to, which is sent while the next one trains. */
  readonly #delta: Float32Array;
  readonly #captured: Float32Array;
  readonly #corrected: Float32Array;
  readonly #contribution: Contribution;
  readonly #outer: OuterOptimizer;
  /** delta = anchor - parameters, and corrected of the old delta and the new one. */
  readonly #advance: Graph;

  /** @throws ERR_CONFIG for an outer optimizer that steps no anchor. */
  constructor(options: TrainerExchangeOptions) {
    this.#options = options;
    const { recipe, trainer, threads } = options;
    const elements = trainer.parameters.length;
    const whole = [{ begin: 0, elements }];
    this.#eager = recipe.staleness.kind === "eager";
    this.#anchor = new Float32Array(elements);
    this.#delta = new Float32Array(elements);
    this.#captured = new Float32Array(elements);
    this.#corrected = new Float32Array(elements);
    this.#contribution = new Contribution(elements, options);
    this.#outer = createOuter({ outer: recipe.outer, anchor: this.#anchor, fragments: [whole], threads });
    this.#advance = rangeGraph(elements, whole, threads, (graph, views) => {
      const delta = views.bucket("delta");
      const newest = subtract(graph, views.bucket("anchor"), views.bucket("parameters"));
      const others = axpby(graph, delta, views.bucket("mean"), views.scalars("without", 2));
      axpby(graph, newest, others, views.scalars("with", 2), views.bucket("corrected"));
      copy(graph, newest, delta);
    });
  }

  get shared(): readonly NamedTensor[] {
    return [named("anchor", this.#anchor), ...this.#outer.state, ...this.#contribution.shared];
  }

  get local(): readonly NamedTensor[] {
    return [named("delta", this.#delta), ...this.#contribution.local];
  }

  get measures(): Readonly<Record<string, number>> {
    return this.#contribution.measures;
  }

  setMeasures(measures: Readonly<Record<string, number>>): void {
    this.#contribution.setMeasures(measures);
  }

  async start(): Promise<void> {
    this.#anchor.set(this.#options.trainer.parameters);
    this.#delta.fill(0);
    this.#outer.start();
    this.#contribution.clear();
  }

  /** A joining peer has no last round to send. */
  async adopted(): Promise<void> {
    this.#options.trainer.parameters.set(this.#anchor);
    this.#delta.fill(0);
  }

  /** At a round's start: sends what the last round came to. */
  async capture(begin: BeginAction, communicator: Communicator): Promise<Flight> {
    const contribution = this.#contribution;
    this.#captured.set(this.#delta);
    const input = await contribution.prepare(begin, this.#captured, communicator);
    return {
      begin,
      results: [contribution.mean],
      communicate: (over, slots, last) => contribution.communicate(begin, input, over, slots, last),
      apply: (action, over) => this.#apply(begin, action, over),
    };
  }

  /** At the round's end. */
  async #apply(begin: BeginAction, action: ApplyAction, over: Communicator): Promise<void> {
    const { parameters } = this.#options.trainer;
    const { mean } = this.#contribution;
    const ranks = over.view.members.length;
    const share = this.#eager ? shareOf(begin, over.view, over.rank) : 0;
    await expectFinite(parameters, "parameters");
    const [anchor, delta, corrected] = [this.#anchor, this.#delta, this.#corrected];
    const factors = { without: Float32Array.of(-share, 1), with: Float32Array.of(share, 1) };
    await this.#advance.run({ anchor, parameters, delta, mean, corrected, ...factors });
    await this.#outer.apply(0, corrected, action, { contributors: ranks, ranks });
    parameters.set(anchor);
    this.#contribution.commit(begin, over);
  }

  close(): void {
    for (const part of [this.#contribution, this.#outer, this.#advance]) part.close();
  }
}
