/** The first thing of a round on a ledger that is not what honest work gives. Pure. */
import type { Account, Hash } from "../ledger/events.js";
import { peerIdOfAccount } from "../ledger/sign.js";
import { isAccepted } from "../run/trust/standing.js";
import type { LedgerRound, RevealedUnit } from "./audit-ledger.js";

export interface Difference {
  /**
   * unit, or root where all that its worker says of single leaves is right: of a worker. dropped: a worker's work was accepted,
   * and the round closed with nobody's. Else of the round.
   */
  readonly of: "unit" | "root" | "dropped" | "aggregate" | "parameters" | "state";
  readonly worker: Account | null;
  /**
   * Of a unit of H steps: between which leaves of its tree, both included, the first is that differs. 0: the state that it
   * starts from; k: the state after its k-th step; H + 1: its contribution. A ledger has not every leaf, and those between the
   * worker's own by verifiers' words alone, which may mislead about the step but never about the worker. Null: not of a unit,
   * or no leaf is left that could differ, so that the root is of other leaves.
   */
  readonly leaves: readonly [first: number, last: number] | null;
  /** What the ledger says, and what honest work gives: of a unit the last of these leaves, of a root the tree's, else a digest. */
  readonly said: Hash;
  readonly replayed: Hash;
}

const byNumber = (leaves: ReadonlyMap<number, Hash>) => [...leaves].sort(([a], [b]) => a - b);

/**
 * Where a revealed unit is not what its replay came to; null where it is. Only the worker's own words accuse it: its leaves and
 * its root. What verifiers told narrows down where.
 * @param leaves as replayed, from s_0 to the contribution. @param root of the tree over them.
 */
export function firstDifference(
  worker: Account,
  revealed: RevealedUnit,
  leaves: readonly Hash[],
  root: () => Hash,
): Difference | null {
  const own = byNumber(revealed.said);
  const wrong = own.findIndex(([number, said]) => said !== leaves[number]);
  if (wrong >= 0) {
    const [last, said] = own[wrong]!;
    const first = wrong === 0 ? 0 : own[wrong - 1]![0] + 1;
    const found = { worker, of: "unit" as const, said, replayed: leaves[last]! };
    return narrowed(found, [first, last], revealed.told, leaves);
  }
  const replayed = root();
  if (revealed.root === replayed) return null;
  const found = { worker, of: "root" as const, said: revealed.root, replayed };
  return narrowed(found, [1, leaves.length - 3], revealed.told, leaves);
}

/**
 * In a round that was closed with nobody's work: a worker whose work was accepted; null where there is none. Of one whom a
 * verifier accused, the acceptance may have come after the closing was settled.
 */
export function droppedWork({ units, result }: Pick<LedgerRound, "units" | "result">): Difference | null {
  const dropped = units.find((unit) => isAccepted(unit) && !unit.accused);
  if (dropped === undefined) return null;
  return { of: "dropped", worker: dropped.worker, leaves: null, said: result, replayed: result };
}

/** The difference, which is proven to be between these leaves, up to the first that a verifier told otherwise. */
function narrowed(
  found: Omit<Difference, "leaves">,
  [begin, last]: readonly [number, number],
  told: RevealedUnit["told"],
  leaves: readonly Hash[],
): Difference {
  let first = begin;
  for (const [number, said] of byNumber(told)) {
    if (number < first || number > last) continue;
    const replayed = leaves[number]!;
    if (said !== replayed) return { ...found, of: "unit", leaves: [first, number], said, replayed };
    first = number + 1;
  }
  return { ...found, leaves: first <= last ? [first, last] : null };
}

function leafWords([first, last]: readonly [number, number], steps: number): string {
  if (last === 0)
    return "the state that it starts from (leaf 0) is neither where its last unit ended nor a fresh one";
  if (first === steps + 1) return `its contribution (leaf ${first}) does not follow from its last state`;
  return first === last
    ? `the state after its step ${first} (leaf ${first}) is wrong`
    : `a state after one of its steps ${first} to ${Math.min(last, steps)} (leaves ${first} to ${last}) is wrong`;
}

function rootWords(leaves: Difference["leaves"], steps: number): string {
  if (leaves === null) return "the root of its states is not that of the states which it names";
  return `${leafWords(leaves, steps)}, by the root of its states`;
}

/** In words, for a line. @param steps inner steps of a unit. */
export function differenceWords({ of, worker, leaves, said, replayed }: Difference, steps: number): string {
  const hashes = `the ledger says ${said}, honest work gives ${replayed}`;
  if (of === "unit") return `${peerIdOfAccount(worker!)}: ${leafWords(leaves!, steps)}: ${hashes}`;
  if (of === "root") return `${peerIdOfAccount(worker!)}: ${rootWords(leaves, steps)}: ${hashes}`;
  if (of === "dropped")
    return `the work of ${peerIdOfAccount(worker!)} was accepted, and the sequencer closed the round with nobody's`;
  return `the ${of === "aggregate" ? of : `${of} after the round`}: ${hashes}`;
}
