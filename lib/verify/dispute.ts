/**
 * What worker and challenger do in a dispute over a transition, as pure functions of the dispute as the ledger has it and of
 * what the player knows.
 *
 * The worker opens its unit's tree down to the transition; nobody picks there, the transition decides. Then it commits to the
 * trace of that step, and the challenger, who has traced the step too, follows the first child that differs from its own, down
 * to a single leaf. All leaves before it are agreed, so the referee needs to run one operator. Of H steps and N leaves of the
 * trace these are 1 + log16(H) + 1 + 2 log16(N) moves and the ruling: 14 for 10^6 steps of up to 4,096 operators.
 */
import { type Hash, type Tree, treeOf } from "./merkle.js";
import type { Trace } from "./trace.js";

/**
 * A dispute as the ledger's rules keep it (lib/ledger/rules). In phase states the worker splits the unit's tree, in trace it
 * opens the step's trace, in operators it splits that and the challenger picks, in referee only the ruling is left.
 */
export interface DisputeView {
  readonly phase: "states" | "trace" | "operators" | "referee" | "over";
  readonly turn: "worker" | "challenger" | "referee" | null;
  /** From 1: from leaf transition - 1 of the unit to leaf transition. */
  readonly transition: number;
  /** The node at hand of the tree at hand; leaves are level 0. */
  readonly level: number;
  readonly index: number;
  /** Where the challenger is to pick: the children of the node at hand as the worker has shown them. */
  readonly children: readonly Hash[] | null;
  /** Leaves of the tree at hand; of the trace's, as the worker says. */
  readonly leaves: number;
}

export type WorkerMove =
  | { readonly kind: "Split"; readonly children: readonly Hash[] }
  | {
      readonly kind: "TraceOpened";
      /** The state before the step, and its path in the unit's tree. */
      readonly before: Hash;
      readonly path: readonly Hash[];
      readonly trace: Hash;
      readonly leaves: number;
    };

export interface ChallengerMove {
  readonly kind: "Picked";
  /** Of the children, from 0. */
  readonly index: number;
}

/** What the worker needs: its unit, and from phase trace on the trace of the disputed step. */
export interface WorkerKnowledge {
  readonly unit: { readonly tree: Tree; readonly leaves: readonly Hash[] };
  readonly trace?: Trace | undefined;
}

/**
 * The worker's next move; null where it is not its turn, or where it first has to make the trace. The last transition, to the
 * contribution, has no operators: the trace that is opened for it has the contribution as its only leaf.
 */
export function workerMove(dispute: DisputeView, { unit, trace }: WorkerKnowledge): WorkerMove | null {
  const { phase, turn, transition, level, index } = dispute;
  if (turn !== "worker") return null;
  if (phase === "states") return { kind: "Split", children: unit.tree.children(level, index) };
  const last = transition === unit.leaves.length - 1;
  const tree = last ? treeOf(unit.leaves.slice(-1)) : trace?.tree;
  if (tree === undefined) return null;
  if (phase === "operators") return { kind: "Split", children: tree.children(level, index) };
  if (phase !== "trace") return null;
  const [before, path] = [unit.leaves[transition - 1]!, unit.tree.proof(transition - 1)];
  return { kind: "TraceOpened", before, path, trace: tree.root, leaves: tree.count };
}

/**
 * The challenger's next move, by its own trace from the same state before; null where it is not its turn. Where no child
 * differs it follows the last one: to the leaf of the state after, which then is not the one in the worker's unit. A trace of
 * another number of leaves is of another graph, and wrong wherever one looks.
 */
export function challengerMove(
  { phase, turn, level, index, children, leaves }: DisputeView,
  { tree }: Pick<Trace, "tree">,
): ChallengerMove | null {
  if (phase !== "operators" || turn !== "challenger" || children === null) return null;
  if (leaves !== tree.count) return { kind: "Picked", index: 0 };
  const own = tree.children(level, index);
  const differing = children.findIndex((child, place) => child !== own[place]);
  return { kind: "Picked", index: differing < 0 ? children.length - 1 : differing };
}
