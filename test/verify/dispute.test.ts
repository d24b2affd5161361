/**
 * A dispute ends at the one leaf that is wrong: an honest worker wins against every accusation, and whoever has another state,
 * data or learning rate, or hides something, loses.
 */
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { philox } from "../../lib/base/random.js";
import { native } from "../../lib/native/load.js";
import type { Trainer } from "../../lib/trainer/trainer.js";
import { contributionRuling } from "../../lib/verify/contribution.js";
import { challengerMove, workerMove } from "../../lib/verify/dispute.js";
import { leafHash, treeOf } from "../../lib/verify/merkle.js";
import { runOperator } from "../../lib/verify/operator.js";
import { refereeRuling } from "../../lib/verify/referee.js";
import { copyState, loadState, type StateTensors, tensorsOf } from "../../lib/verify/state.js";
import { type Evidence, subjectOf, type Trace, traceLeaf, traceOf } from "../../lib/verify/trace.js";
import { StateSource } from "../../lib/verify/unit.js";
import { failure } from "../failure.js";
import { contributionOf, drawOf, FIRST, type ModelName, makeTrainer, recordUnit, STEPS } from "./case.js";
import { contextOf, follow, type Pick, play, settle, showAt, traceAt } from "./court.js";
import { planted } from "./planted.js";

const test = suite("dispute");
const SEED = Number(process.env.SEED ?? Math.floor(Math.random() * 2 ** 32));
console.log(`SEED=${SEED}`);
let drawn = 0;
const below = (count: number) => philox(SEED, 1, drawn++) % count;

/** An honest worker's recorded unit, a transition of it, and what it shows. */
async function honestCase(model: ModelName, transition: number) {
  const [worker, replica] = [await makeTrainer(model), await makeTrainer(model)];
  const recorder = await recordUnit(worker);
  const state = await new StateSource(recorder, replica).state(transition - 1);
  const trace = await traceAt(worker, state, transition);
  const show = (leaf: number) => showAt(worker, state, transition, trace, leaf);
  const close = () => {
    worker.close();
    replica.close();
  };
  return { worker, replica, recorder, state, trace, show, close };
}

test("threat 17, false accusation: an honest worker wins whatever leaf it is accused of", async () => {
  for (const model of ["gpt", "mlp", "cnn", "sgd"] as const) {
    const k = 1 + below(STEPS);
    const { recorder, trace, show, close } = await honestCase(model, k);
    const count = trace.tree.count;
    const referee = await makeTrainer(model);
    const { unit } = recorder;
    for (let leaf = 0; leaf < count; leaf++) {
      const pick: Pick = ({ level }) => Math.floor(leaf / 16 ** (level - 1)) % 16;
      const { dispute } = play(unit, trace, k, pick);
      assert.is(dispute.operator, leaf);
      const ruling = await refereeRuling(referee, contextOf(k), dispute, await show(leaf));
      assert.is(ruling.winner, "worker", ruling.reason);
    }
    referee.close();
    close();
  }
});

test("an honest pair never differs, and a step traced operator by operator is the step", async () => {
  for (const model of ["gpt", "mlp"] as const) {
    const { recorder, state, trace, replica, close } = await honestCase(model, 5);
    assert.is((await traceAt(replica, state, 5)).tree.root, trace.tree.root);
    assert.equal(trace.digests.at(-1), [recorder.unit.leaves[5]]);
    close();
  }
});

test("a challenger that errs itself accuses falsely, and loses", async () => {
  const { recorder, state, trace, show, replica, close } = await honestCase("gpt", 3);
  const plant = { step: FIRST + 2, node: 4, output: 0, element: 1 };
  const own = await traceAt(planted(replica, plant), state, 3);
  const { ruling } = await settle("gpt", recorder, 3, trace, follow(own), show);
  assert.is(ruling.winner, "worker", ruling.reason);
  assert.is(ruling.node, 4);
  close();
});

/** A worker that claims these digests in the place of a trace's own. */
function forged(trace: Trace, changes: ReadonlyMap<number, readonly string[]>): Trace {
  const digests = trace.digests.map((own, leaf) => changes.get(leaf) ?? own);
  const leaves = digests.map((of, leaf) => traceLeaf(subjectOf(trace.plan, leaf), of));
  return { ...trace, digests, tree: treeOf(leaves) };
}

test("a worker that skipped the step loses with an honest trace, and with one that hides it at its end", async () => {
  const own = await makeTrainer("gpt");
  const k = 6;
  const recorder = await recordUnit(own, async (step) =>
    step === FIRST + k - 1 ? undefined : own.step({ step, draw: drawOf(step) }),
  );
  const { trace, state, show, close } = await honestCase("gpt", k);
  assert.is(recorder.unit.leaves[k - 1], (await honestCase("gpt", k)).recorder.unit.leaves[k - 1]);
  const pick = follow(trace);
  for (const shown of [trace, forged(trace, new Map([[trace.tree.count - 1, [recorder.unit.leaves[k]!]]]))]) {
    const evidence = async (leaf: number) => showAt(own, state, k, shown, leaf);
    const { ruling, dispute } = await settle("gpt", recorder, k, shown, pick, evidence);
    assert.is(dispute.operator, trace.tree.count - 1, "the state after");
    assert.is(ruling.winner, "challenger");
    assert.match(ruling.reason, /the state after the step is not what the worker says/);
  }
  assert.ok(await show(trace.tree.count - 1));
  own.close();
  close();
});

test("other data and another learning rate are found in what was given to the step", async () => {
  for (const [change, draw, binding] of [
    [{}, (step: number) => drawOf(step) + 1, /tokens|targets/],
    [{ learningRate: 0.004_000_001 }, drawOf, /schedule/],
  ] as const) {
    const own = await makeTrainer("gpt", change);
    const recorder = await recordUnit(own, (step) => own.step({ step, draw: draw(step) }));
    const honest = await makeTrainer("gpt");
    const state = {
      parameters: honest.parameters.slice(),
      inner: honest.innerState.map(({ data }) => data.slice()),
    };
    loadState(own, state);
    const trace = await traceOf(own, { step: FIRST, draw: draw(FIRST) });
    const pick = follow(await traceAt(honest, state, 1));
    const show = async (leaf: number) => showAt(own, state, 1, trace, leaf);
    const { ruling, dispute } = await settle("gpt", recorder, 1, trace, pick, show);
    assert.is(ruling.winner, "challenger");
    const view = trace.plan.loaded[dispute.operator]!;
    const traced = honest.trace({ step: 0 });
    assert.match(traced.graph.bindings[view.binding]!.name, binding);
    traced.close();
    own.close();
    honest.close();
  }
});

test("a worker whose trace begins from another state than the agreed one loses", async () => {
  const { recorder, state, trace, worker, replica, close } = await honestCase("mlp", 2);
  const other = state.parameters.slice();
  other[other.length - 1]! += 1;
  const begun = await traceAt(worker, { ...state, parameters: other }, 2);
  for (const shown of [state, { ...state, parameters: other }]) {
    const show = (leaf: number) => showAt(worker, shown, 2, begun, leaf);
    const { ruling, dispute } = await settle("mlp", recorder, 2, begun, follow(trace), show);
    assert.is(subjectOf(trace.plan, dispute.operator).kind, "given");
    assert.is(ruling.winner, "challenger", ruling.reason);
  }
  assert.ok(replica);
  close();
});

test("a worker that shows nothing, garbage or other inputs loses, and the reason says which", async () => {
  const { recorder, state, trace, show, close } = await honestCase("mlp", 2);
  const { loaded } = trace.plan;
  const leaf = loaded.length + trace.plan.reads.findIndex((reads) => reads.length > 2);
  const pick: Pick = ({ level }) => Math.floor(leaf / 16 ** (level - 1)) % 16;
  const good = await show(leaf);
  const [first, ...rest] = good.sources;
  const bytes = first!.bytes.slice();
  bytes[below(bytes.length)]! ^= 1;
  const cases: [Evidence | null, RegExp][] = [
    [null, /shows nothing/],
    [{ ...good, sources: rest }, /sources of/],
    [{ ...good, sources: [{ ...first!, bytes }, ...rest] }, /has not the digest on which both sides agree/],
    [{ ...good, sources: [{ ...first!, proof: first!.proof.slice(1) }, ...rest] }, /is not proved/],
    [{ ...good, sources: [{ ...first!, digests: ["0".repeat(64)] }, ...rest] }, /is not proved/],
    [{ ...good, sources: [{ ...first!, digests: ["", ...first!.digests] }, ...rest] }, /are no 1 digests/],
    [{ ...good, sources: [{ ...first!, digests: ["5"] }, ...rest] }, /are no 1 digests/],
    [{ ...good, sources: [...good.sources].reverse() }, /is not proved/],
  ];
  for (const [evidence, reason] of cases) {
    const { ruling } = await settle("mlp", recorder, 2, trace, pick, async () => evidence);
    assert.is(ruling.winner, "challenger");
    assert.match(ruling.reason, reason);
  }
  // Outputs are for naming the element alone: without them the honest worker still wins.
  const { ruling } = await settle("mlp", recorder, 2, trace, pick, async () => ({ ...good, outputs: [] }));
  assert.is(ruling.winner, "worker");
  assert.ok(state);
  close();
});

test("a worker that shifts an operator's digests by one, to show one output as another, loses", async () => {
  const own = await makeTrainer("mlp");
  const k = 4;
  // Its first moment is a copy of the parameters: two outputs of one operator, of one length.
  const recorder = await recordUnit(own, async (step) => {
    await own.step({ step, draw: drawOf(step) });
    if (step === FIRST + k - 1) own.innerState[0]!.data.set(own.parameters);
  });
  const { trace, state, close } = await honestCase("mlp", k);
  const last = trace.tree.count - 1;
  const shown = forged(trace, new Map([[last, [recorder.unit.leaves[k]!]]]));
  const show = async (leaf: number) => {
    const evidence = await showAt(own, state, k, shown, leaf);
    const [parameters, moment, ...rest] = evidence.sources;
    const shifted = { ...moment!, digests: ["", ...moment!.digests], bytes: parameters!.bytes };
    return { ...evidence, sources: [parameters!, shifted, ...rest] };
  };
  const { ruling, dispute } = await settle("mlp", recorder, k, shown, follow(trace), show);
  assert.is(dispute.operator, last, "the state after");
  assert.is(ruling.winner, "challenger", ruling.reason);
  assert.match(ruling.reason, /are no 3 digests/);
  own.close();
  close();
});

test("a worker whose source is too short loses, though the challenger has passed over it", async () => {
  const { recorder, trace, state, worker, close } = await honestCase("mlp", 2);
  const matmul = trace.plan.loaded.length;
  const bytes = new Uint8Array(4);
  // What the next operator, a GELU, would make of a source that is filled up with zeros.
  const zeros = new Float32Array(trace.plan.reads[1]![0]!.elements);
  const digests = [await native.digest([bytes]), await native.digest([zeros])] as const;
  const short = forged(trace, new Map(digests.map((digest, node) => [matmul + node, [digest]])));
  const show = async (leaf: number) => {
    const evidence = await showAt(worker, state, 2, short, leaf);
    return { ...evidence, sources: [{ ...evidence.sources[0]!, bytes }] };
  };
  const pick: Pick = ({ level }) => Math.floor((matmul + 1) / 16 ** (level - 1)) % 16;
  const { ruling } = await settle("mlp", recorder, 2, short, pick, show);
  assert.is(ruling.winner, "challenger", ruling.reason);
  assert.match(ruling.reason, /a source that is too short/);
  close();
});

test("a trace of another number of leaves loses, and so does one of leaves that are nobody's", async () => {
  const { recorder, trace, state, worker, close } = await honestCase("mlp", 2);
  const short = { ...trace, tree: treeOf(trace.digests.slice(1).map((of) => of[0]!)) };
  const { ruling } = await settle("mlp", recorder, 2, short, follow(trace), async () => null);
  assert.is(ruling.winner, "challenger");
  assert.match(ruling.reason, /leaves, the step's graph/);
  const nonsense = forged(trace, new Map([[trace.plan.loaded.length + 1, ["5".repeat(64)]]]));
  const show = (leaf: number) => showAt(worker, state, 2, nonsense, leaf);
  const found = await settle("mlp", recorder, 2, nonsense, follow(trace), show);
  assert.is(found.ruling.winner, "challenger");
  assert.is(found.ruling.node, 1);
  assert.is(found.ruling.wrong, undefined, "it has shown no outputs that are its leaf's");
  close();
});

test("a dispute over the contribution is decided by computing it again", async () => {
  const [worker, referee] = [await makeTrainer("mlp"), await makeTrainer("mlp")];
  const recorder = await recordUnit(worker);
  const k = STEPS + 1;
  const state = copyState(tensorsOf(worker));
  const trace = await traceOf(worker, contextOf(1));
  const rule = (shown: StateTensors | null) => {
    const { dispute, moves } = play(recorder.unit, trace, k, () => Number.NaN);
    assert.is(moves, 4);
    return contributionRuling(referee, FIRST + STEPS, dispute, shown, contributionOf);
  };
  assert.is((await rule(state)).winner, "worker");
  assert.is((await rule(null)).winner, "challenger");
  assert.match((await rule({ ...state, inner: [] })).reason, /no state of the model's sizes/);
  assert.match((await rule({ ...state, parameters: state.inner[0]! })).reason, /not the unit's last/);
  await recorder.close("5".repeat(64));
  assert.match((await rule(state)).reason, /does not follow/);
  worker.close();
  referee.close();
});

test("the referee refuses a leaf that there is not, and a trainer without operators", async () => {
  const trainer = await makeTrainer("mlp");
  const hash = leafHash(0, "0".repeat(64));
  const dispute = {
    transition: 1,
    before: hash,
    leaf: hash,
    trace: hash,
    leaves: 3,
    operator: 3,
    operatorLeaf: hash,
  };
  const of = (who: Trainer, operator: number) =>
    failure(refereeRuling(who, contextOf(1), { ...dispute, operator }, null));
  assert.is((await of(trainer, 3)).code, "ERR_INVALID_ARGUMENT");
  const { trace: _, ...bare } = planted(trainer, { step: 0, node: 0, output: 0, element: 0 });
  assert.is((await of(bare, 0)).code, "ERR_UNSUPPORTED");
  trainer.close();
});

test("nobody moves out of turn; of a trace of another size the first child is as wrong as any", async () => {
  const { recorder, trace, close } = await honestCase("mlp", 2);
  const at = { transition: 2, level: 3, index: 1, children: null, leaves: 5000 };
  const { unit } = recorder;
  for (const phase of ["states", "trace", "operators", "referee", "over"] as const) {
    for (const turn of ["challenger", "referee", null] as const)
      assert.is(workerMove({ ...at, phase, turn }, { unit, trace }), null);
    assert.is(challengerMove({ ...at, phase, turn: "worker" }, trace), null);
  }
  assert.is(
    workerMove({ ...at, phase: "trace", turn: "worker" }, { unit }),
    null,
    "it has to make the trace first",
  );
  const picking = { ...at, phase: "operators", turn: "challenger", children: ["00".repeat(32)] } as const;
  assert.equal(challengerMove(picking, trace), { kind: "Picked", index: 0 });
  close();
});

test("an operator run alone leaves its inputs as they are, also those that it updates in place", async () => {
  const trainer = await makeTrainer("mlp");
  const traced = trainer.trace({ step: 0 });
  const { graph } = traced;
  const index = graph.nodes.findIndex(({ op }) => op === "adamw");
  const { inputs, outputs } = graph.nodes[index]!;
  const ids = [...inputs, ...outputs];
  const reads = new Map(ids.map((id) => [id, new Float32Array(graph.tensors[id]!.elements).fill(1)]));
  const [parameters] = await runOperator(graph, index, reads);
  assert.is.not(parameters![0], 1);
  for (const values of reads.values()) assert.ok(values.every((value) => value === 1));
  const failed = await failure(runOperator(graph, index, new Map()));
  assert.is(failed.code, "ERR_INVALID_ARGUMENT");
  assert.is((await failure(runOperator(graph, 999, reads))).code, "ERR_INVALID_ARGUMENT");
  traced.close();
  trainer.close();
});

test.run();
