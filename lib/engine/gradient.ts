/**
 * Exchanges of gradients, between the gradient of an inner step and its update: data parallel training with any codec and
 * feedback, whose mean the inner optimizer takes; DeMo and DisTrO (arXiv 2411.19870), where what is sent leaves a momentum
 * and the parameters go by the sign of the mean; or plain SGD on the mean.
 *
 * The momentum is of the gradients as they are, and the learning rate enters with the step, where DeMo's code scales
 * gradients as they come in: while the rate stays the two are the same, and as it changes this one weighs old gradients by
 * the new rate. A sign does not see the difference in scale.
 */
import type { Recipe } from "../strategy/recipe.js";
import type { ApplyAction, BeginAction } from "../strategy/strategy.js";
import type { NamedTensor } from "../tensor/layout.js";
import { signStep } from "../tensor/optimizers.js";
import type { Trainer } from "../trainer/trainer.js";
import type { Communicator } from "./communicator.js";
import { Contribution, type ContributionOptions } from "./contribution.js";
import type { Exchange, Flight } from "./exchange.js";
import { expectFinite } from "./finite.js";
import { gradientsOf } from "./local.js";
import { createOuter, type OuterOptimizer } from "./outer.js";
import { rangeGraph } from "./ranges.js";

export interface TrainerExchangeOptions extends ContributionOptions {
  readonly trainer: Trainer;
}

export class GradientExchange implements Exchange {
  readonly #gradients: Float32Array;
  /** A copy of the gradients that is sent while the trainer's stay. */
  readonly #captured: Float32Array;
  readonly #contribution: Contribution;
  readonly #step: OuterOptimizer;

  /** @throws ERR_CONFIG for a trainer that shows no gradients, or a step that is not for parameters. */
  constructor(options: TrainerExchangeOptions) {
    const { trainer } = options;
    this.#gradients = gradientsOf(trainer);
    this.#captured = new Float32Array(this.#gradients.length);
    this.#contribution = new Contribution(this.#gradients.length, options);
    this.#step = stepOf(options, this.#gradients);
  }

  get shared(): readonly NamedTensor[] {
    return [...this.#step.state, ...this.#contribution.shared];
  }

  get local(): readonly NamedTensor[] {
    return this.#contribution.local;
  }

  get measures(): Readonly<Record<string, number>> {
    return this.#contribution.measures;
  }

  setMeasures(measures: Readonly<Record<string, number>>): void {
    this.#contribution.setMeasures(measures);
  }

  async start(): Promise<void> {
    this.#step.start();
    this.#contribution.clear();
  }

  /** What feedback keeps is this peer's own, and goes on being owed. */
  async adopted(): Promise<void> {}

  async capture(begin: BeginAction, communicator: Communicator): Promise<Flight> {
    const contribution = this.#contribution;
    this.#captured.set(this.#gradients);
    await expectFinite(this.#captured, "gradient");
    const input = await contribution.prepare(begin, this.#captured, communicator);
    return {
      begin,
      results: [contribution.mean],
      communicate: (over, slots, last) => contribution.communicate(begin, input, over, slots, last),
      apply: (action, over) => this.#apply(begin, action, over),
      counted: (over) => contribution.commit(begin, over),
    };
  }

  async #apply(begin: BeginAction, action: ApplyAction, over: Communicator): Promise<void> {
    const ranks = over.view.members.length;
    await this.#step.apply(0, this.#contribution.mean, action, { contributors: ranks, ranks });
    this.#contribution.commit(begin, over);
  }

  close(): void {
    this.#contribution.close();
    this.#step.close();
  }
}

/** What is done with the mean: it becomes the gradient that the trainer's update takes, or steps the parameters. */
export function stepOf(
  { recipe, trainer: { parameters }, threads }: TrainerExchangeOptions,
  gradients: Float32Array,
): OuterOptimizer {
  const { outer } = recipe;
  if (outer.kind === "inner") return innerStep(gradients);
  if (outer.kind === "sign") return signedStep(outer, parameters, threads);
  const fragments = [[{ begin: 0, elements: parameters.length }]];
  return createOuter({ outer, anchor: parameters, fragments, threads });
}

function innerStep(gradients: Float32Array): OuterOptimizer {
  return {
    state: [],
    start: () => {},
    apply: async (_, mean) => gradients.set(mean),
    close: () => {},
  };
}

/** x = x (1 - lr decay) - lr sign(mean). */
function signedStep(
  { weightDecay }: Extract<Recipe["outer"], { readonly kind: "sign" }>,
  parameters: Float32Array,
  threads: number,
): OuterOptimizer {
  const elements = parameters.length;
  const graph = rangeGraph(elements, [{ begin: 0, elements }], threads, (built, views) => {
    const inputs = { gradient: views.bucket("gradient"), schedule: views.scalars("schedule", 2) };
    signStep(built, inputs, { parameters: views.bucket("parameters") });
  });
  return {
    state: [],
    start: () => {},
    apply: (_, gradient, { learningRate }) =>
      graph.run({ gradient, schedule: Float32Array.of(learningRate, weightDecay), parameters }),
    close: () => graph.close(),
  };
}
