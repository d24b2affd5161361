/** The state of a trainer between two inner steps: its digest, copies of it, and what a fresh trainer goes on from. */
import { GradmeshError } from "../base/errors.js";
import { native } from "../native/load.js";
import type { Trainer } from "../trainer/trainer.js";
import type { Hash } from "./merkle.js";
import { type StateParts, stateHash } from "./state-hash.js";

export { type StateParts, stateHash } from "./state-hash.js";

/** The values of a state: float32, parameters [layout.elements] and the inner state's tensors in the trainer's order. */
export interface StateTensors {
  readonly parameters: Float32Array;
  readonly inner: readonly Float32Array[];
}

/** Live views of a trainer's state. */
export const tensorsOf = ({ parameters, innerState }: Trainer): StateTensors => ({
  parameters,
  inner: innerState.map(({ data }) => data),
});

/** @throws ERR_INVALID_ARGUMENT for a step number that is none. */
export async function partsOf({ parameters, inner }: StateTensors, step: number): Promise<StateParts> {
  if (!Number.isSafeInteger(step) || step < 0)
    throw new GradmeshError(
      "ERR_INVALID_ARGUMENT",
      `state: step is ${step}, not an integer from 0 to 2^53 - 1`,
    );
  const [ofParameters, ofInner] = await Promise.all([native.digest([parameters]), native.digest([...inner])]);
  return { step, parameters: ofParameters, inner: ofInner };
}

/** The digest of a trainer's state as it is, before inner step `step`. The state may not change until it resolves. */
export async function stateDigest(trainer: Trainer, step: number): Promise<Hash> {
  return stateHash(await partsOf(tensorsOf(trainer), step));
}

export const copyState = ({ parameters, inner }: StateTensors): StateTensors => ({
  parameters: parameters.slice(),
  inner: inner.map((tensor) => tensor.slice()),
});

/** Writes the values of `source` over those of `target`, which has the same lengths. */
export function overwriteState(target: StateTensors, source: StateTensors): void {
  target.parameters.set(source.parameters);
  for (const [index, tensor] of target.inner.entries()) tensor.set(source.inner[index]!);
}

/** Whether a stranger's tensors have the lengths of this trainer's. */
export function fits(trainer: Trainer, { parameters, inner }: StateTensors): boolean {
  return (
    parameters.length === trainer.parameters.length &&
    inner.length === trainer.innerState.length &&
    inner.every((tensor, index) => tensor.length === trainer.innerState[index]!.data.length)
  );
}

/** Lets the trainer go on from this state. @throws ERR_INVALID_ARGUMENT for tensors of other lengths. */
export function loadState(trainer: Trainer, state: StateTensors): void {
  if (!fits(trainer, state)) {
    const lengths = ({ parameters, inner }: StateTensors) =>
      `parameters ${parameters.length}, inner state [${inner.map(({ length }) => length)}]`;
    throw new GradmeshError(
      "ERR_INVALID_ARGUMENT",
      `state: it has the elements ${lengths(state)}; the trainer ${lengths(tensorsOf(trainer))}`,
    );
  }
  overwriteState(tensorsOf(trainer), state);
  trainer.parametersChanged?.();
}
