/** Finds and loads the native addon; its errors are GradmeshErrors. */
import { createRequire } from "node:module";
import { fileURLToPath } from "node:url";
import { GradmeshError } from "../base/errors.js";
import type { NativeAbi } from "./abi.gen.js";

interface Addon {
  bind(errorClass: typeof GradmeshError): NativeAbi;
}

const addonPath = fileURLToPath(new URL("../../../build/Release/gradmesh.node", import.meta.url));

function load(): NativeAbi {
  let addon: Addon;
  try {
    addon = createRequire(import.meta.url)(addonPath) as Addon;
  } catch (cause) {
    throw new GradmeshError(
      "ERR_UNSUPPORTED",
      `the native addon could not be loaded from ${addonPath}; build it with "npm run build:native"`,
      { cause },
    );
  }
  return addon.bind(GradmeshError);
}

/** The native functions, one for each row of bindings/abi.def. */
export const native: NativeAbi = load();

/**
 * Runs native work that takes a cancel flag, raising the flag when the signal aborts.
 * @throws the signal's reason when it is aborted already; ERR_ABORTED when it aborts during the work.
 */
export async function withCancel<T>(
  signal: AbortSignal | undefined,
  work: (cancel: number) => Promise<T>,
): Promise<T> {
  if (signal === undefined) return work(0);
  signal.throwIfAborted();
  const cancel = native.cancelCreate();
  const raise = () => native.cancelRaise(cancel);
  signal.addEventListener("abort", raise, { once: true });
  try {
    return await work(cancel);
  } finally {
    signal.removeEventListener("abort", raise);
    native.cancelFree(cancel);
  }
}
