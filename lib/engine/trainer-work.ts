/** Runs a stranger's trainer and says whose fault a failure is. */
import { GradmeshError } from "../base/errors.js";
import type { Evaluation, Trainer } from "../trainer/trainer.js";

/** @throws ERR_TRAINER with the words of a trainer that fails; gradmesh's own errors, such as the GPT's, as they are. */
export async function trainerWork<T>(when: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (cause) {
    if (cause instanceof GradmeshError) throw cause;
    const words = cause instanceof Error ? cause.message : String(cause);
    throw new GradmeshError("ERR_TRAINER", `the trainer failed ${when}: ${words}`, { cause });
  }
}

/** The trainer's evaluation, with `parameters` (null: its own) in the place of its own meanwhile. */
export async function evaluateAt(
  trainer: Trainer,
  parameters: Float32Array | null,
  signal?: AbortSignal,
): Promise<Evaluation> {
  const evaluate = () => trainerWork("in its evaluation", () => trainer.evaluate(signal));
  if (parameters === null) return evaluate();
  const own = trainer.parameters.slice();
  trainer.parameters.set(parameters);
  trainer.parametersChanged?.();
  try {
    return await evaluate();
  } finally {
    trainer.parameters.set(own);
    trainer.parametersChanged?.();
  }
}
