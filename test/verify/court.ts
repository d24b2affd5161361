/** Plays a dispute between two players by the ledger's rules, and counts the moves. */
import * as assert from "uvu/assert";
import type { Trainer } from "../../lib/trainer/trainer.js";
import { challengerMove, type DisputeView, workerMove } from "../../lib/verify/dispute.js";
import { childCount, FAN_OUT, type Hash, levelsOf, nodeHash, verifyProof } from "../../lib/verify/merkle.js";
import { type DisputedLeaf, type Ruling, refereeRuling, rulingDigest } from "../../lib/verify/referee.js";
import { loadState, type StateTensors } from "../../lib/verify/state.js";
import { type Evidence, evidenceOf, type Trace, traceOf } from "../../lib/verify/trace.js";
import type { Unit, UnitRecorder } from "../../lib/verify/unit.js";
import { drawOf, FIRST, type ModelName, makeTrainer } from "./case.js";

export type Pick = (view: DisputeView) => number;

/** What a challenger with this trace picks. */
export const follow =
  (own: Trace): Pick =>
  (view) =>
    challengerMove(view, own)!.index;

/** Down to the leaf of the trace. `moves` counts the opening and the ruling too. */
export function play(
  unit: Unit,
  trace: Trace,
  transition: number,
  pick: Pick,
): { readonly dispute: DisputedLeaf; readonly moves: number } {
  let [count, level, index, node] = [unit.leaves.length, levelsOf(unit.leaves.length), 0, unit.root as Hash];
  let moves = 1;
  const view = (phase: DisputeView["phase"], children: readonly Hash[] | null): DisputeView => {
    const turn = children === null ? "worker" : "challenger";
    return { phase, turn, transition, level, index, children, leaves: count };
  };
  const split = (phase: "states" | "operators"): readonly Hash[] => {
    const move = workerMove(view(phase, null), { unit, trace });
    assert.is(move?.kind, "Split");
    const children = move?.kind === "Split" ? move.children : [];
    assert.is(children.length, childCount(count, level, index));
    assert.is(nodeHash(level, count, children), node, "children must hash to their node");
    moves += 1;
    return children;
  };
  const descend = (children: readonly Hash[], child: number) => {
    [level, index, node] = [level - 1, index * FAN_OUT + child, children[child]!];
  };
  while (level > 0) {
    const children = split("states");
    descend(children, Math.floor(transition / FAN_OUT ** (level - 1)) % FAN_OUT);
  }
  const leaf = node;
  const opened = workerMove(view("trace", null), { unit, trace });
  if (opened?.kind !== "TraceOpened") throw new Error("the worker does not open its trace");
  assert.ok(verifyProof(unit.root, unit.leaves.length, transition - 1, opened.before, opened.path));
  moves += 1;
  [count, level, index, node] = [opened.leaves, levelsOf(opened.leaves), 0, opened.trace];
  while (level > 0) {
    const children = split("operators");
    descend(children, pick(view("operators", children)));
    moves += 1;
  }
  const { before, trace: root, leaves } = opened;
  const dispute = { transition, before, leaf, trace: root, leaves, operator: index, operatorLeaf: node };
  return { dispute, moves: moves + 1 };
}

/** The step of a transition. */
export const contextOf = (transition: number) => {
  const step = FIRST + transition - 1;
  return { step, draw: drawOf(step) };
};

export async function traceAt(trainer: Trainer, state: StateTensors, transition: number): Promise<Trace> {
  loadState(trainer, state);
  return traceOf(trainer, contextOf(transition));
}

export async function showAt(
  trainer: Trainer,
  state: StateTensors,
  transition: number,
  trace: Trace,
  leaf: number,
) {
  loadState(trainer, state);
  return evidenceOf(trainer, contextOf(transition), trace, leaf);
}

/** The dispute over a worker's transition, from the trace to the ruling. */
export async function settle(
  model: ModelName,
  { unit }: UnitRecorder,
  transition: number,
  trace: Trace,
  pick: Pick,
  show: (leaf: number) => Promise<Evidence | null>,
): Promise<{ ruling: Ruling; moves: number; dispute: DisputedLeaf }> {
  const { dispute, moves } = play(unit, trace, transition, pick);
  const referee = await makeTrainer(model);
  const evidence = await show(dispute.operator);
  const ruling = await refereeRuling(referee, contextOf(transition), dispute, evidence);
  referee.close();
  assert.match(rulingDigest(ruling), /^[0-9a-f]{64}$/);
  return { ruling, moves, dispute };
}
