/** What a verifier finds by replaying one sampled step: honest work always passes, each kind of cheat never does. */
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { philox } from "../../lib/base/random.js";
import type { GraphTrainer } from "../../lib/trainer/graph-trainer.js";
import { Replayer, type Verdict, verdictOf } from "../../lib/verify/replay.js";
import { tensorsOf } from "../../lib/verify/state.js";
import { type Opening, StateSource, type UnitRecorder } from "../../lib/verify/unit.js";
import {
  contributionOf,
  drawOf,
  FIRST,
  type ModelName,
  makeTrainer,
  recordUnit,
  revealed,
  STEPS,
} from "./case.js";

const test = suite("replay");
const SEED = Number(process.env.SEED ?? Math.floor(Math.random() * 2 ** 32));
console.log(`seed ${SEED}`);

/** A worker that shows its states as it had them: it kept every one. */
async function keepingUnit(worker: GraphTrainer, step: (step: number) => Promise<unknown>) {
  const states: Float32Array[][] = [];
  const keep = () =>
    states.push([worker.parameters, ...worker.innerState.map(({ data }) => data)].map((t) => t.slice()));
  keep();
  const recorder = await recordUnit(worker, async (number) => {
    await step(number);
    keep();
  });
  return { recorder, open: (k: number) => openingOf(recorder, k, states[k - 1]!) };
}

function openingOf(
  { unit: { leaves, tree } }: UnitRecorder,
  k: number,
  [parameters, ...inner]: Float32Array[],
): Opening {
  return {
    transition: k,
    state: { parameters: parameters!, inner },
    leaves: [leaves[k - 1]!, leaves[k]!],
    proofs: [tree.proof(k - 1), tree.proof(k)],
  };
}

/** What an honest verifier finds at each transition. */
async function verdicts(
  model: ModelName,
  recorder: UnitRecorder,
  open: (k: number) => Opening | Promise<Opening>,
): Promise<Verdict[]> {
  const trainer = await makeTrainer(model);
  const replayer = new Replayer(trainer);
  const found: Verdict[] = [];
  for (let k = 1; k <= STEPS + 1; k++)
    found.push(await verdictOf(replayer, revealed(recorder.unit), k, await open(k), { contributionOf }));
  trainer.close();
  return found;
}

const hard = (found: readonly Verdict[]) =>
  found.flatMap(({ kind }, index) => (kind === "hard" ? [index + 1] : []));

for (const model of ["gpt", "mlp"] as const) {
  test(`${model}: every transition of an honest unit is accepted`, async () => {
    const [worker, replica] = [await makeTrainer(model), await makeTrainer(model)];
    const recorder = await recordUnit(worker);
    const source = new StateSource(recorder, replica);
    const found = await verdicts(model, recorder, (k) => source.open(k));
    assert.equal(
      found.map(({ kind }) => kind),
      Array.from({ length: STEPS + 1 }, () => "accept"),
    );
    assert.equal(
      found.map(({ digest }) => digest),
      recorder.unit.leaves.slice(1),
    );
    worker.close();
    replica.close();
  });

  test(`threat 25, a wrong step: skips, other data, another learning rate and another seed are found: ${model}`, async () => {
    const changes = {
      "another learning rate": { learningRate: 0.004_000_001 },
      "another decay": { weightDecay: 0.11 },
    };
    const bad = FIRST + (philox(SEED, 0, 0) % STEPS);
    const only = bad - FIRST + 1;
    console.log(`${model}: step ${bad}`);
    const cheats = {
      "a skipped step": (worker: GraphTrainer) => async (step: number) =>
        step === bad ? undefined : worker.step({ step, draw: drawOf(step) }),
      "data of its own choice": (worker: GraphTrainer) => (step: number) =>
        worker.step({ step, draw: drawOf(step) + (step === bad ? 1 : 0) }),
      "the run's seed instead of the beacon": (worker: GraphTrainer) => (step: number) =>
        worker.step(step === bad ? { step } : { step, draw: drawOf(step) }),
      "data of another step": (worker: GraphTrainer) => (step: number) =>
        worker.step({ step: step === bad ? step + 1 : step, draw: drawOf(step) }),
    };
    for (const [name, cheat] of Object.entries(cheats)) {
      const worker = await makeTrainer(model);
      const { recorder, open } = await keepingUnit(worker, cheat(worker));
      assert.equal(hard(await verdicts(model, recorder, open)), [only], name);
      worker.close();
    }
    for (const [name, change] of Object.entries(changes)) {
      const worker = await makeTrainer(model, change);
      const { recorder, open } = await keepingUnit(worker, (step) =>
        worker.step({ step, draw: drawOf(step) }),
      );
      const all = Array.from({ length: STEPS }, (_, index) => index + 1);
      assert.equal(hard(await verdicts(model, recorder, open)), all, `${name}: every step is wrong`);
      worker.close();
    }
  });
}

test("threat 31, a spoofed history: interpolated checkpoints fail at every sampled step", async () => {
  // The spoof of Proof-of-Learning: from the true first state to the true last one, by straight lines.
  const [honest, spoofer] = [await makeTrainer("gpt"), await makeTrainer("gpt")];
  const begin = [spoofer.parameters, ...spoofer.innerState.map(({ data }) => data)].map((t) => t.slice());
  await recordUnit(honest);
  const end = [honest.parameters, ...honest.innerState.map(({ data }) => data)];
  const { recorder, open } = await keepingUnit(spoofer, async (step) => {
    const part = (step - FIRST + 1) / STEPS;
    for (const [index, tensor] of [
      spoofer.parameters,
      ...spoofer.innerState.map(({ data }) => data),
    ].entries())
      tensor.set(tensor.map((_, i) => begin[index]![i]! * (1 - part) + end[index]![i]! * part));
  });
  const found = await verdicts("gpt", recorder, open);
  assert.is(
    recorder.unit.after,
    (await recordUnit(await makeTrainer("gpt"))).unit.after,
    "it ends in the true state",
  );
  assert.equal(
    hard(found),
    Array.from({ length: STEPS }, (_, index) => index + 1),
  );
  honest.close();
  spoofer.close();
});

test("a contribution that does not follow from the last state is a hard reject", async () => {
  const worker = await makeTrainer("mlp");
  const recorder = await recordUnit(worker);
  await recorder.close("5".repeat(64));
  const { parameters, inner } = tensorsOf(worker);
  const trainer = await makeTrainer("mlp");
  const opening = openingOf(recorder, STEPS + 1, [parameters, ...inner]);
  const check = (options?: object) =>
    verdictOf(new Replayer(trainer), revealed(recorder.unit), STEPS + 1, opening, options);
  assert.is((await check({ contributionOf })).kind, "hard");
  assert.is((await check()).kind, "soft");
  worker.close();
  trainer.close();
});

test("what a worker refuses to show, or shows in garbage, could not be checked and proves nothing", async () => {
  const [worker, replica, trainer] = [
    await makeTrainer("mlp"),
    await makeTrainer("mlp"),
    await makeTrainer("mlp"),
  ];
  const recorder = await recordUnit(worker);
  const good = await new StateSource(recorder, replica).open(4);
  const garbage = good.state.parameters.slice();
  garbage[philox(SEED, 1, 0) % garbage.length] = 1e9;
  const state = good.state;
  const { leaves, tree } = recorder.unit;
  const openings: [string, Opening | null, RegExp][] = [
    ["nothing", null, /served no state/],
    ["another transition", { ...good, transition: 5 }, /asked for transition 4/],
    ["garbage", { ...good, state: { ...state, parameters: garbage } }, /not the one of leaf 3/],
    [
      "a short tensor",
      { ...good, state: { ...state, parameters: garbage.subarray(1) } },
      /not the one of leaf 3/,
    ],
    ["no inner state", { ...good, state: { ...state, inner: [] } }, /not the one of leaf 3/],
    ["leaves of another place", { ...good, leaves: [leaves[4]!, leaves[5]!] }, /leaf 3 is not proved/],
    [
      "another leaf after",
      { ...good, leaves: [leaves[3]!, leaves[5]!], proofs: [tree.proof(3), tree.proof(5)] },
      /leaf 4 is not proved/,
    ],
    ["no proof", { ...good, proofs: [[], []] }, /leaf 3 is not proved/],
  ];
  const replayer = new Replayer(trainer);
  for (const [name, opening, reason] of openings) {
    const verdict = await verdictOf(replayer, revealed(recorder.unit), 4, opening, { contributionOf });
    assert.is(verdict.kind, "soft", name);
    assert.match(verdict.reason, reason, name);
    assert.is(verdict.digest, "0".repeat(64));
  }
  assert.is((await verdictOf(replayer, revealed(recorder.unit), 4, good, { contributionOf })).kind, "accept");
  for (const each of [worker, replica, trainer]) each.close();
});

test.run();
