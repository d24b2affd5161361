/** What a peer sends must be numbers: one peer's NaN would be everybody's. */
import { GradmeshError } from "../base/errors.js";
import { native } from "../native/load.js";

/** @throws ERR_DIVERGED where any element is NaN or infinite. @param what as the message calls it. */
export async function expectFinite(tensor: Float32Array, what: string): Promise<void> {
  if (await native.allFinite(tensor)) return;
  throw new GradmeshError(
    "ERR_DIVERGED",
    `this peer's ${what} has NaN or infinite elements; lower the learning rate, or look at its data`,
  );
}
