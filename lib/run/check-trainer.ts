/** A stranger's trainer is checked once, by what the contract asks of it, before anything relies on it. */
import { GradmeshError } from "../base/errors.js";
import type { Trainer } from "../trainer/trainer.js";

/** @throws ERR_TRAINER naming what is wrong. */
export function checkTrainer(trainer: Trainer, module: string): void {
  const wrong = (what: string) => new GradmeshError("ERR_TRAINER", `the trainer "${module}": ${what}`);
  if (typeof trainer !== "object" || trainer === null) throw wrong("createTrainer gave no object");
  const { layout, parameters, innerState, fingerprint, gradients, samples } = trainer;
  if (!Number.isSafeInteger(layout?.elements)) throw wrong("layout must be a TensorLayout");
  const isBucket = (value: unknown) => value instanceof Float32Array && value.length === layout.elements;
  if (!isBucket(parameters))
    throw wrong(`parameters must be a Float32Array of layout.elements, ${layout.elements}`);
  if (!Array.isArray(innerState)) throw wrong("innerState must be an array of named tensors");
  if (typeof fingerprint !== "string" || fingerprint === "") throw wrong("fingerprint must be a text");
  for (const name of ["step", "evaluate", "close"] as const)
    if (typeof trainer[name] !== "function") throw wrong(`${name} must be a function`);
  if (samples !== undefined && !(Number.isFinite(samples) && samples > 0))
    throw wrong("samples must be a positive number, or absent");
  if (gradients === undefined) return;
  if (!isBucket(gradients))
    throw wrong(`gradients must be a Float32Array of layout.elements, ${layout.elements}, or absent`);
  for (const name of ["gradient", "update"] as const)
    if (typeof trainer[name] !== "function")
      throw wrong(`${name} must be a function where gradients are offered`);
}
