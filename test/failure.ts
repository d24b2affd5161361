/** The error that work is expected to end with. */
import * as assert from "uvu/assert";
import { GradmeshError } from "../lib/base/errors.js";

/** Resolves with the GradmeshError that the work rejects with; fails the test when it does not. */
export async function failure(work: Promise<unknown>): Promise<GradmeshError> {
  try {
    await work;
  } catch (error) {
    assert.instance(error, GradmeshError, String(error));
    return error as GradmeshError;
  }
  throw new Error("the work did not fail");
}
