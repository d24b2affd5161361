/** Inner steps of a trainer: whole, or as a gradient and an update with something in between. */
import { GradmeshError } from "../base/errors.js";
import type { Strategy } from "../strategy/strategy.js";
import type { StepContext, StepResult, Trainer } from "../trainer/trainer.js";
import type { Exchange } from "./exchange.js";
import { trainerWork } from "./trainer-work.js";

/** Of a verified run: draws the data of steps, and sees the whole state after each. Steps are the run's, from 0. */
export interface StepWatcher {
  draw(step: number): number;
  /** `step` was taken; nothing else happens until this resolves. */
  stepped(step: number): Promise<void>;
}

export class InnerSteps {
  #watcher: StepWatcher | null = null;
  /** The strategy for which something happens between gradient and update: an exchange, or a peer's own change; null: none. */
  readonly #splitFor: string | null;
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
    this.#splitFor = (ofGradient[0] ?? adjusting[0])?.recipe.strategy ?? null;
    this.#updates = ofGradient.every(({ recipe }) => recipe.outer.kind === "inner");
    const offers = trainer.gradient !== undefined && trainer.update !== undefined && trainer.gradients;
    if (this.split && !offers)
      throw new GradmeshError(
        "ERR_CONFIG",
        `strategy "${this.#splitFor}" works on gradients: the trainer must offer ` +
          "gradient(), update() and gradients (lib/trainer/trainer.ts); or choose a strategy that needs only step(), such as diloco",
      );
  }

  /** Steps are taken as a gradient and an update. */
  get split(): boolean {
    return this.#splitFor !== null;
  }

  /** @throws ERR_UNSUPPORTED where steps are split: what comes in between is no part of a step that others can take again. */
  watch(watcher: StepWatcher): void {
    if (this.#splitFor !== null)
      throw new GradmeshError(
        "ERR_UNSUPPORTED",
        `the inner steps of strategy "${this.#splitFor}" cannot be watched: they are a gradient and an update, with ` +
          "something in between; choose a strategy of whole steps, such as diloco",
      );
    this.#watcher = watcher;
  }

  /** One whole inner step. @param last as StepContext.last: somebody reads or writes the state after it. */
  async whole(step: number, last: boolean): Promise<StepResult> {
    if (!this.split)
      return this.#watcher === null ? this.#step({ step, last }) : this.#watched(step, this.#watcher);
    const result = await this.gradient(step);
    await this.update(step);
    return result;
  }

  #step(context: StepContext): Promise<StepResult> {
    return trainerWork(`in step ${context.step}`, () => this.#trainer.step(context));
  }

  async #watched(step: number, watcher: StepWatcher): Promise<StepResult> {
    const result = await this.#step({ step, draw: watcher.draw(step), last: true });
    await watcher.stepped(step);
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
