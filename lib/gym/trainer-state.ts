/** A trainer's state as memory of its own, from which many arms can start: what a pre-training leaves. */
import { GradmeshError } from "../base/errors.js";
import type { NamedTensor } from "../tensor/layout.js";
import type { StepContext, Trainer } from "../trainer/trainer.js";

export interface TrainerState {
  /** Inner steps taken: data and learning rate go on from there. */
  readonly steps: number;
  /** float32 [layout.elements]. */
  readonly parameters: Float32Array;
  /** The inner optimizer's. */
  readonly inner: readonly NamedTensor[];
}

/** A copy of a trainer's state after so many inner steps. @param parameters in place of the trainer's own. */
export function copyState(trainer: Trainer, steps: number, parameters = trainer.parameters): TrainerState {
  const inner = trainer.innerState.map(({ name, shape, data }) => ({ name, shape, data: data.slice() }));
  return { steps, parameters: parameters.slice(), inner };
}

function write(target: Float32Array, source: Float32Array | undefined, name: string): void {
  if (source?.length === target.length) target.set(source);
  else
    throw new GradmeshError(
      "ERR_INVALID_ARGUMENT",
      `the initial state has ${source === undefined ? "no" : `${source.length} elements of`} "${name}"; ` +
        `this trainer needs ${target.length}; train the initial state with the same trainer options`,
    );
}

/** The trainer at this state, its steps counted from there. @throws ERR_INVALID_ARGUMENT for another model's state. */
export function startedFrom(trainer: Trainer, { steps, parameters, inner }: TrainerState): Trainer {
  write(trainer.parameters, parameters, "parameters");
  for (const { name, data } of trainer.innerState)
    write(data, inner.find((tensor) => tensor.name === name)?.data, name);
  trainer.parametersChanged?.();
  if (steps === 0) return trainer;
  const later = (context: StepContext): StepContext => ({ ...context, step: context.step + steps });
  const { layout, innerState, fingerprint, gradients, samples, domains } = trainer;
  return {
    layout,
    parameters: trainer.parameters,
    innerState,
    fingerprint,
    ...(gradients === undefined ? {} : { gradients }),
    ...(samples === undefined ? {} : { samples }),
    ...(domains === undefined ? {} : { domains }),
    ...(trainer.gradient === undefined ? {} : { gradient: (at) => trainer.gradient!(later(at)) }),
    ...(trainer.update === undefined ? {} : { update: (at) => trainer.update!(later(at)) }),
    ...(trainer.evaluateTokens === undefined
      ? {}
      : { evaluateTokens: (signal) => trainer.evaluateTokens!(signal) }),
    step: (at) => trainer.step(later(at)),
    evaluate: (signal) => trainer.evaluate(signal),
    parametersChanged: () => trainer.parametersChanged?.(),
    close: () => trainer.close(),
  };
}
