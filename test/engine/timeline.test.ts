/** Where a round's exchanges are: what needs no network, what waits for the commit, when a copy of the state is kept. */
import { test } from "uvu";
import * as assert from "uvu/assert";
import { actionsAt, planRound } from "../../lib/engine/timeline.js";
import { createStrategies, roundSteps } from "../../lib/strategy/registry.js";

const view = { epoch: 1, members: [], seed: 1, measures: {} };

const plan = (section: unknown, round = 1) => {
  const strategies = createStrategies(section);
  const length = roundSteps(strategies);
  return planRound(strategies, round * length, (round + 1) * length);
};

test("DiLoCo trains the whole round before its one exchange, and keeps no copy", () => {
  const { trainedTo, end, needsSavepoint, exchanges } = plan({ name: "diloco", innerSteps: 7 });
  assert.equal([trainedTo, end, needsSavepoint, exchanges], [14, 14, false, 1]);
});

test("data parallel training with a commit at each step waits with its update, and keeps no copy", () => {
  const one = plan({ name: "ddp" });
  assert.equal([one.trainedTo, one.end, one.defersUpdate, one.needsSavepoint], [1, 2, true, false]);
  const three = plan({ name: "ddp", commitSteps: 3 });
  assert.equal(
    [three.trainedTo, three.defersUpdate, three.needsSavepoint, three.exchanges],
    [3, true, true, 3],
  );
});

test("fragments in turn begin before their time, and the copy is kept from the first on", () => {
  const { trainedTo, needsSavepoint, exchanges } = plan(
    { name: "streaming-diloco", innerSteps: 20, fragments: 2, overlapSteps: 3 },
    0,
  );
  assert.equal([trainedTo, needsSavepoint, exchanges], [7, true, 2]);
});

test("what overlaps a whole round opens the next one, so nothing is trained without the members", () => {
  const section = { name: "eager-diloco", innerSteps: 5 };
  const first = plan(section, 0);
  const second = plan(section, 1);
  assert.is(second.trainedTo, second.start);
  assert.is(second.needsSavepoint, true);
  const opening = (round: number) =>
    actionsAt(createStrategies(section), 5 * round, view).opening.map(({ action }) => action.exchange);
  assert.is(opening(1).length, 1);
  assert.is(opening(2)[0]! - opening(1)[0]!, 1, "one opens at each boundary");
  assert.ok(first.exchanges <= second.exchanges);
});

test("who trains is known from the view alone where the strategy chooses clients", () => {
  const { trainedTo, start } = plan({ name: "fedavg", innerSteps: 5, fraction: 0.5 });
  assert.is(trainedTo, start);
});

test("strategies side by side: the longest round, of which the others are parts", () => {
  const section = [
    { name: "sparta", interval: 4, share: 0.1 },
    { name: "diloco", innerSteps: 12 },
  ];
  const both = createStrategies(section);
  assert.is(roundSteps(both), 12);
  const { gradient, boundary } = actionsAt(both, 12, view);
  assert.equal(
    boundary.begins.map(({ index }) => index),
    [0, 1],
  );
  assert.is(gradient.begins.length, 0);
  assert.equal([plan(section).trainedTo - 12, plan(section).exchanges], [4, 4]);
});

test.run();
