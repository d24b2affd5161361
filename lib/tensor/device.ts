/** Where graphs may run, checked before anything depends on it. */
import { asGradmeshError, GradmeshError } from "../base/errors.js";
import { native } from "../native/load.js";

/**
 * Passes where graphs can run.
 * @param device "cpu", "cuda" (the first GPU) or "cuda:<index>".
 * @throws ERR_INVALID_ARGUMENT for a device that is none of these; ERR_UNSUPPORTED where there is no such GPU, with the
 * reason.
 */
export function checkDevice(device: string): void {
  try {
    native.deviceCheck(device);
  } catch (cause) {
    const { code, message } = asGradmeshError(cause);
    if (code !== "ERR_UNSUPPORTED") throw cause;
    throw new GradmeshError(
      code,
      `device "${device}" cannot be used: ${message}; without it ("cpu") the CPU trains, with the same bits`,
      { cause },
    );
  }
}
