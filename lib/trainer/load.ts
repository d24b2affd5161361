/** Finds a trainer by name: "gpt", "mlp", "cnn", or a module (a path or a package) that exports `createTrainer`. */
import { isAbsolute, resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { GradmeshError } from "../base/errors.js";
import { cnnFactory, mlpFactory } from "./digits.js";
import { gptFactory } from "./gpt.js";
import type { TrainerFactory } from "./trainer.js";

const builtIn: Readonly<Record<string, () => TrainerFactory>> = {
  gpt: gptFactory,
  mlp: mlpFactory,
  cnn: cnnFactory,
};

/** A path (./x.js, ../x.js, /x.js) or file URL becomes a file URL; anything else is a package's name. */
function specifierOf(name: string, folder: string): string {
  const isPath = name.startsWith("./") || name.startsWith("../") || isAbsolute(name);
  return isPath ? pathToFileURL(resolve(folder, name)).href : name;
}

/**
 * The factory of the trainer called `name`; paths are relative to `folder`. What one factory of the built-in trainers makes
 * shares the data that was read, so that many peers of one process need it once.
 * @throws ERR_CONFIG when the module cannot be imported, or exports no function `createTrainer`.
 */
export async function loadTrainer(name: string, folder: string): Promise<TrainerFactory> {
  if (Object.hasOwn(builtIn, name)) return builtIn[name]!();
  const allowed = `allowed: ${Object.keys(builtIn).join(", ")}, or a module that exports createTrainer`;
  let module: { readonly createTrainer?: unknown };
  try {
    module = (await import(specifierOf(name, folder))) as typeof module;
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new GradmeshError(
      "ERR_CONFIG",
      `trainer is "${name}", which cannot be imported (${reason}); ${allowed}`,
      {
        cause,
      },
    );
  }
  if (typeof module.createTrainer !== "function") {
    const names = Object.keys(module).join(", ") || "nothing";
    throw new GradmeshError("ERR_CONFIG", `trainer is "${name}", which exports ${names}; ${allowed}`);
  }
  return module.createTrainer as TrainerFactory;
}
