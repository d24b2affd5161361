/** A cell while it runs, and the words of its operations. */
import type { Network } from "../net/network.js";
import type { Group } from "./group.js";
import type { Words } from "./peer.js";
import type { Plan } from "./plan.js";
import type { Cell } from "./table.js";

/** Operation ids of a cell; those after salvage count on. */
export const ids = { whole: 1, alone: 2, struck: 3, next: 4, again: 5, parts: 100 } as const;

/** A cell while it runs. */
export interface Run {
  readonly cell: Cell;
  readonly plan: Plan;
  readonly group: Group;
  readonly network: Network | undefined;
}

/** The words of the cell's operation among `members`. */
export function wordsOf({ cell, plan }: Run, members: readonly number[], id: number): Words {
  const { algorithm } = cell;
  const { arithmetic, elements, segment, root } = plan;
  return {
    id,
    collective: algorithm.name,
    ...arithmetic,
    elements,
    segment,
    // Where the root is gone the lowest rank takes its place.
    ...(algorithm.rooted ? { root: Math.max(0, members.indexOf(root)) } : {}),
    ...algorithm.words?.(members.length),
  };
}
