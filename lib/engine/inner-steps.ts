/** Inner steps of a trainer: whole, or as a gradient and an update with something in between. */
import { GradmeshError } from "../base/errors.js";
import type { Strategy } from "../strategy/strategy.js";
import type { StepResult, Trainer } from "../trainer/trainer.js";
import type { Exchange } from "./exchange.js";
import { trainerWork } from "./trainer-work.js";

export class InnerSteps {
  /** Something happens between gradient and update: an exchange, or a peer's own change of the gradient. */
  readonly split: boolean;
  readonly #trainer: Trainer;
  readonly #exchanges: readonly (Exchange | null)[];
  /** The inner optimizer takes the gradient; else an outer one has moved the parameters itself (DeMo). */
  readonly #updates: boolean;

  /** @throws ERR_CONFIG where the trainer offers only whole steps and a strategy needs more. */
  constructor(trainer: Trainer, strategies: readonly Strategy[], exchanges: readonly (Exchange | null)[]) {
    this.#trainer = trainer;
    this.#exchanges = exchanges;
    const ofGradient = strategies.filter(({ recipe }) => recipe.source === "gradient");
    const adjusting = strategies.filter(({ recipe }) => recipe.local.kind !== "none");
    this.split = ofGradient.length + adjusting.length > 0;
    this.#updates = ofGradient.every(({ recipe }) => recipe.outer.kind === "inner");
    const offers = trainer.gradient !== undefined && trainer.update !== undefined && trainer.gradients;
    if (this.split && !offers)
      throw new GradmeshError(
        "ERR_CONFIG",
        `strategy "${(ofGradient[0] ?? adjusting[0])!.recipe.strategy}" works on gradients: the trainer must offer ` +
          "gradient(), update() and gradients (lib/trainer/trainer.ts); or choose a strategy that needs only step(), such as diloco",
      );
  }

  /** One whole inner step. @param last as StepContext.last: somebody reads or writes the state after it. */
  async whole(step: number, last: boolean): Promise<StepResult> {
    if (!this.split) return trainerWork(`in step ${step}`, () => this.#trainer.step({ step, last }));
    const result = await this.gradient(step);
    await this.update(step);
    return result;
  }

  /** The gradient of a step with every strategy's own change of it. */
  async gradient(step: number): Promise<StepResult> {
    const result = await trainerWork(`in step ${step}`, () => this.#trainer.gradient!({ step }));
    for (const exchange of this.#exchanges) await exchange?.adjustGradient?.();
    return result;
  }

  /** What the inner optimizer does with the gradient, if it is its to take. */
  async update(step: number): Promise<void> {
    if (this.#updates) await trainerWork(`in step ${step}`, () => this.#trainer.update!({ step }));
  }
}

/** Losses of so many steps, added up in their order. */
export interface LossSum {
  loss: number;
  steps: number;
}

export function addLoss(sum: LossSum, { loss }: StepResult): void {
  sum.loss += loss;
  sum.steps += 1;
}

export const meanOf = ({ loss, steps }: LossSum) => ({
  loss: steps === 0 ? Number.NaN : loss / steps,
  steps,
});
