/** What else is hashed for the ledger: planted errors, and what an aggregate is made of. */
import { hash } from "node:crypto";
import type { Account, Hash } from "../events.js";

function digest(domain: string, parts: readonly (string | number)[]): Hash {
  const bytes = parts.map((part) => {
    if (typeof part === "string") return Buffer.from(part, "hex");
    const word = Buffer.alloc(4);
    word.writeUInt32LE(part);
    return word;
  });
  return hash("sha256", Buffer.concat([Buffer.from(domain), ...bytes]), "hex");
}

/** What stands in the unit's tree in place of the state after the transition. */
export function forcedLeaf(ledgerId: Hash, salt: Hash): Hash {
  return digest("gradmesh-forced-leaf", [ledgerId, salt]);
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

/** SHA-256("gradmesh-forced" ‖ ledger id ‖ round u32 ‖ author ‖ worker ‖ transition u32 ‖ salt): of ForcedErrorCommitted. */
export function forcedCommitmentOf({ ledgerId, round, author, worker, transition, salt }: Planted): Hash {
  return digest("gradmesh-forced", [ledgerId, round, author, worker, transition, salt]);
}

/** What an aggregate is computed from: SHA-256("gradmesh-aggregate" ‖ the contributions' digests in order). */
export function aggregateInput(contributions: readonly Hash[]): Hash {
  return digest("gradmesh-aggregate", contributions);
}
