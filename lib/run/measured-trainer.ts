/** A trainer with a watch: how long its inner steps take, wherever in a round they are. */
import { secondsSince } from "../base/clock.js";
import type { Trainer } from "../trainer/trainer.js";

export interface StepWatch {
  /** Seconds of inner steps since it was made. */
  seconds: number;
}

/** The trainer as the contract has it, its inner steps counted by the watch. */
export function measuredTrainer(trainer: Trainer, watch: StepWatch): Trainer {
  // What a step does before it first waits counts too.
  const timed = async <T>(work: () => Promise<T>): Promise<T> => {
    const startedAt = performance.now();
    try {
      return await work();
    } finally {
      watch.seconds += secondsSince(startedAt);
    }
  };
  const { layout, parameters, innerState, fingerprint, gradients, samples } = trainer;
  return {
    layout,
    parameters,
    innerState,
    fingerprint,
    ...(gradients === undefined ? {} : { gradients }),
    ...(samples === undefined ? {} : { samples }),
    ...(trainer.gradient === undefined ? {} : { gradient: (at) => timed(() => trainer.gradient!(at)) }),
    ...(trainer.update === undefined ? {} : { update: (at) => timed(() => trainer.update!(at)) }),
    step: (at) => timed(() => trainer.step(at)),
    evaluate: (signal) => trainer.evaluate(signal),
    parametersChanged: () => trainer.parametersChanged?.(),
    close: () => trainer.close(),
  };
}
