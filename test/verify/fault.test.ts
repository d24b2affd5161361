/** A fault of one bit, planted at a drawn step, operator and element, is found by a replay and named exactly by the dispute. */
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { philox } from "../../lib/base/random.js";
import type { GraphTrainer } from "../../lib/trainer/graph-trainer.js";
import { levelsOf } from "../../lib/verify/merkle.js";
import { Replayer, verdictOf } from "../../lib/verify/replay.js";
import { StateSource } from "../../lib/verify/unit.js";
import { contributionOf, FIRST, type ModelName, makeTrainer, recordUnit, revealed, STEPS } from "./case.js";
import { follow, settle, showAt, traceAt } from "./court.js";
import { type Plant, planted } from "./planted.js";

const test = suite("planted fault");
const SEED = Number(process.env.SEED ?? Math.floor(Math.random() * 2 ** 32));
console.log(`SEED=${SEED}`);
let drawn = 0;
const below = (count: number) => philox(SEED, 1, drawn++) % count;

/** A fault somewhere in the graph's outputs. */
function drawPlant(trainer: GraphTrainer): Plant {
  const traced = trainer.trace({ step: 0 });
  const { nodes, tensors } = traced.graph;
  traced.close();
  const node = below(nodes.length);
  const output = below(nodes[node]!.outputs.length);
  const element = below(tensors[nodes[node]!.outputs[output]!]!.elements);
  return { step: FIRST + below(STEPS), node, output, element };
}

/** Plants faults until one changes the state, and has it found. Gives false where this one did not. */
async function namesPlant(model: ModelName, plant: Plant): Promise<boolean> {
  const [own, second, verifier] = [
    await makeTrainer(model),
    await makeTrainer(model),
    await makeTrainer(model),
  ];
  const [worker, replica] = [planted(own, plant), planted(second, plant)];
  const recorder = await recordUnit(worker);
  const honest = await recordUnit(verifier);
  const trainers = [own, second, verifier];
  if (recorder.unit.root === honest.unit.root) {
    for (const trainer of trainers) trainer.close();
    return false;
  }
  const source = new StateSource(recorder, replica);
  const k = plant.step - FIRST + 1;
  const replayer = new Replayer(verifier);
  for (let each = 1; each <= STEPS; each++) {
    const opening = await source.open(each);
    const { kind } = await verdictOf(replayer, revealed(recorder.unit), each, opening, { contributionOf });
    assert.is(kind, each === k ? "hard" : "accept", `transition ${each}`);
  }
  const state = await source.state(k - 1);
  const trace = await traceAt(replica, state, k);
  const pick = follow(await traceAt(verifier, state, k));
  const show = (leaf: number) => showAt(replica, state, k, trace, leaf);
  const { ruling, moves } = await settle(model, recorder, k, trace, pick, show);
  const { node, output, element } = plant;
  assert.is(ruling.winner, "challenger");
  assert.is(ruling.node, node, ruling.reason);
  assert.equal([ruling.wrong?.output, ruling.wrong?.element], [output, element], ruling.reason);
  assert.match(ruling.reason, new RegExp(`, first in element ${element} of output ${output}$`));
  const [shown, right] = [ruling.wrong!.shown, ruling.wrong!.right].map((word) => Number.parseInt(word, 16));
  assert.is((shown! ^ right!) >>> 0, 1, "the last bit alone");
  assert.ok(moves <= 26, `${moves} moves`);
  console.log(`${model}: step ${plant.step}: ${ruling.reason}; ${moves} moves`);
  for (const trainer of trainers) trainer.close();
  return true;
}

const faults: [ModelName, number][] = [
  ["gpt", 4],
  ["mlp", 4],
  ["cnn", 2],
  ["sgd", 2],
  ["tinyGpt", 1],
];
for (const [model, count] of faults) {
  test(`threat 25, a wrong step: a planted fault of one bit is named by step, operator and element: ${model}`, async () => {
    const trainer = await makeTrainer(model);
    for (let named = 0; named < count; ) if (await namesPlant(model, drawPlant(trainer))) named += 1;
    trainer.close();
  });
}

test("at most 26 moves from a million steps, by the depths of the trees", () => {
  const operators = 16_384; // The most tensors that a graph has.
  const moves = 1 + levelsOf(1_000_000 + 2) + 1 + 2 * levelsOf(operators) + 1;
  assert.is(moves, 16);
  assert.ok(moves <= 26);
});

test.run();
