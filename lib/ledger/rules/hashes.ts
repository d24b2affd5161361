/** What else is hashed for the ledger: planted errors, and what an aggregate is made of. */
import { domainDigest } from "../domain-digest.js";
import type { Account, Hash } from "../events.js";

const digest = (domain: string, ...parts: readonly (string | number)[]): Hash =>
  domainDigest(domain, ...parts).toString("hex");

/** What stands in the unit's tree in place of the state after the transition. */
export function forcedLeaf(ledgerId: Hash, salt: Hash): Hash {
  return digest("gradmesh-forced-leaf", ledgerId, salt);
}

export interface Planted {
  readonly ledgerId: Hash;
  readonly round: number;
  /** The submitter. */
  readonly author: Account;
  readonly worker: Account;
  readonly transition: number;
  readonly salt: Hash;
}

/** domainDigest of "gradmesh-forced" and ledger id ‖ round u32 ‖ author ‖ worker ‖ transition u32 ‖ salt: of ForcedErrorCommitted. */
export function forcedCommitmentOf({ ledgerId, round, author, worker, transition, salt }: Planted): Hash {
  return digest("gradmesh-forced", ledgerId, round, author, worker, transition, salt);
}

/** What an aggregate is computed from: domainDigest of "gradmesh-aggregate" and the contributions' digests in order. */
export function aggregateInput(contributions: readonly Hash[]): Hash {
  return digest("gradmesh-aggregate", ...contributions);
}
