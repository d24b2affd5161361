/** The digest of a state from those of its parts: what a ledger can compute, which holds no tensors. */
import { createHash } from "node:crypto";
import type { Hash } from "./merkle.js";

/** What a state's digest is made of. */
export interface StateParts {
  /** Inner steps that this peer has done before: what StepContext.step of the next one is. */
  readonly step: number;
  /** native.digest of the parameters. */
  readonly parameters: Hash;
  /** native.digest of the inner state's tensors, one after another; of no bytes where there are none. */
  readonly inner: Hash;
}

const DOMAIN = "gradmesh-state";

/** SHA-256("gradmesh-state" ‖ step u64 little-endian ‖ digest of the parameters ‖ digest of the inner state). */
export function stateHash({ step, parameters, inner }: StateParts): Hash {
  const number = Buffer.alloc(8);
  number.writeBigUInt64LE(BigInt(step));
  return createHash("sha256")
    .update(DOMAIN)
    .update(number)
    .update(Buffer.from(parameters, "hex"))
    .update(Buffer.from(inner, "hex"))
    .digest("hex");
}
