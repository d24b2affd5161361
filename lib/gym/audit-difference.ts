/** The first thing of a round on a ledger that is not what honest work gives. Pure. */
import type { Account, Hash } from "../ledger/events.js";
import { peerIdOfAccount } from "../ledger/sign.js";
import type { LedgerUnit } from "./audit-ledger.js";

export interface Difference {
  /** unit: of a worker; else of the round. */
  readonly of: "unit" | "aggregate" | "parameters" | "state";
  readonly worker: Account | null;
  /**
   * Of a unit of H steps: between which leaves of its tree, both included, the first is that differs. 0: the state that it
   * starts from; k: the state after its k-th step; H + 1: its contribution. A ledger has not every leaf.
   */
  readonly leaves: readonly [first: number, last: number] | null;
  /** What the ledger says of the last of these leaves, and what honest work gives. */
  readonly said: Hash;
  readonly replayed: Hash;
}

/**
 * Where a revealed unit is not what its replay came to; null where it is.
 * @param leaves as replayed, from s_0 to the contribution. @param root of the tree over them.
 */
export function firstDifference(
  worker: Account,
  revealed: NonNullable<LedgerUnit["revealed"]>,
  leaves: readonly Hash[],
  root: () => Hash,
): Difference | null {
  const known = [...revealed.leaves].sort(([a], [b]) => a - b);
  let equal = -1;
  for (const [number, said] of known) {
    const replayed = leaves[number]!;
    if (said !== replayed) return { of: "unit", worker, leaves: [equal + 1, number], said, replayed };
    equal = number;
  }
  const replayed = root();
  if (revealed.root === replayed) return null;
  return { of: "unit", worker, leaves: [1, leaves.length - 2], said: revealed.root, replayed };
}

function leafWords([first, last]: readonly [number, number], steps: number): string {
  if (last === 0)
    return "the state that it starts from (leaf 0) is neither where its last unit ended nor a fresh one";
  if (first === steps + 1) return `its contribution (leaf ${first}) does not follow from its last state`;
  return first === last
    ? `the state after its step ${first} (leaf ${first}) is wrong`
    : `a state after one of its steps ${first} to ${Math.min(last, steps)} (leaves ${first} to ${last}) is wrong`;
}

/** In words, for a line. @param steps inner steps of a unit. */
export function differenceWords({ of, worker, leaves, said, replayed }: Difference, steps: number): string {
  const hashes = `the ledger says ${said}, honest work gives ${replayed}`;
  if (of === "unit") return `${peerIdOfAccount(worker!)}: ${leafWords(leaves!, steps)}: ${hashes}`;
  return `the ${of === "aggregate" ? of : `${of} after the round`}: ${hashes}`;
}
