/** Federated strategies and HDEE: who trains when, what each one weighs, and that the recipes differ as their papers say. */
import * as fc from "fast-check";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { chosenClients } from "../../lib/strategy/clients.js";
import type { StrategyView } from "../../lib/strategy/strategy.js";
import { one, timetable, viewOf } from "./views.js";

const weightsAt = (options: unknown, round: number, view: StrategyView) => {
  const { recipe, actions } = one(options);
  const [begin, apply] = actions((round + 1) * recipe.commit.steps, view);
  assert.ok(begin?.kind === "begin" && apply?.kind === "apply");
  assert.equal(begin.weights, apply.weights, "a peer that is not chosen must know it when it applies");
  return begin.weights;
};

test("the mean is by samples, and plain where all have as many", () => {
  const samples = (shard: number) => 10 * (shard + 1);
  assert.equal(weightsAt({ name: "fedavg" }, 0, viewOf(3, samples)), [10, 20, 30]);
  assert.is(
    weightsAt(
      { name: "fedavg" },
      0,
      viewOf(3, () => 5),
    ),
    null,
  );
  assert.is(weightsAt({ name: "fedavg", weighting: "uniform" }, 0, viewOf(3, samples)), null);
  assert.is(one({ name: "fedavg" }).recipe.aggregate.kind, "weighted");
  assert.is(one({ name: "fedavg", weighting: "uniform" }).recipe.aggregate.kind, "mean");
});

test("a fraction of the peers is chosen anew in each round, by the seed and the shard alone", () => {
  const chosen = (round: number, view = viewOf(10)) =>
    chosenClients(view, round, 0.3).flatMap((is, rank) => (is ? [view.members[rank]!.shard] : []));
  assert.equal(
    [0, 1, 2, 3].map((round) => chosen(round)),
    [
      [2, 6, 8],
      [2, 3, 8],
      [1, 5, 7],
      [2, 4, 5],
    ],
  );
  const counts = new Map<number, number>();
  for (let round = 0; round < 1000; round++) {
    const shards = chosen(round);
    assert.is(shards.length, 3);
    for (const shard of shards) counts.set(shard, (counts.get(shard) ?? 0) + 1);
  }
  // 300 of 1000 expected with a deviation of 14.5: five of them either way.
  for (const count of counts.values()) assert.ok(Math.abs(count - 300) < 73, `${[...counts.values()]}`);
  fc.assert(
    fc.property(
      fc.nat(),
      fc.integer({ min: 1, max: 16 }),
      fc.double({ min: 0.01, max: 1, noNaN: true }),
      (seed, peers, fraction) => {
        const view = viewOf(peers, undefined, seed);
        const is = chosenClients(view, 5, fraction);
        assert.is(is.filter(Boolean).length, Math.max(1, Math.round(fraction * peers)));
        const turned = { ...view, members: view.members.toReversed() };
        assert.equal(chosenClients(turned, 5, fraction), is.toReversed());
      },
    ),
  );
});

test("who is not chosen neither trains nor counts in the round", () => {
  const view = viewOf(5, (shard) => shard + 1);
  const options = { name: "fedavg", innerSteps: 4, fraction: 0.4 };
  const { trains } = one(options);
  for (let round = 0; round < 8; round++) {
    const weights = weightsAt(options, round, view)!;
    assert.is(weights.filter((weight) => weight > 0).length, 2);
    for (const [rank, weight] of weights.entries()) {
      if (weight > 0) assert.is(weight, rank + 1);
      for (let step = 4 * round; step < 4 * round + 4; step++)
        assert.is(trains!(step, view, rank), weight > 0);
    }
  }
  assert.is(one({ name: "fedavg" }).trains, undefined, "all train where all are chosen");
});

test("the federated strategies differ in one slot each", () => {
  const { strategy: _, ...fedavg } = one({ name: "fedavg" }).recipe;
  assert.equal(one({ name: "fedprox", mu: 0.1 }).recipe, {
    ...fedavg,
    strategy: "fedprox",
    local: { kind: "proximal", mu: 0.1 },
  });
  for (const [name, kind] of [
    ["fedadam", "adam"],
    ["fedyogi", "yogi"],
  ] as const)
    assert.equal(one({ name }).recipe, {
      ...fedavg,
      strategy: name,
      outer: { kind, beta1: 0.9, beta2: 0.99, epsilon: 1e-3 },
    });
  const rate = (options: unknown) => {
    const apply = one(options).actions(20, viewOf(2))[1]!;
    return apply.kind === "apply" ? [apply.learningRate, apply.momentum] : null;
  };
  assert.equal(rate({ name: "fedavg" }), [1, 0]);
  assert.equal(rate({ name: "fedadam" }), [0.01, 0]);
  assert.equal(rate({ name: "fedyogi", serverLearningRate: 0.1 }), [0.1, 0]);
});

test("ddp exchanges gradients at every step, whole or as factors, and commits when it is told to", () => {
  assert.equal(timetable(one({ name: "ddp", commitSteps: 2 }), 4), [
    "1: begin 0, apply 0",
    "2: begin 1, apply 1, commit 0",
    "3: begin 2, apply 2",
    "4: begin 3, apply 3, commit 1",
  ]);
  const factored = one({ name: "ddp", powersgdRank: 4 });
  assert.equal(factored.recipe.route, { kind: "powersgd", rank: 4 });
  const [begin] = factored.actions(1, viewOf(2));
  assert.is(begin?.kind === "begin" && begin.collective, "powersgd");
  assert.equal(factored.recipe.feedback, { kind: "sender", decay: 1 });
  assert.equal(one({ name: "ddp", powersgdRank: 4, feedback: "none" }).recipe.feedback, { kind: "none" });
  assert.equal(one({ name: "ddp", codec: "eden" }).recipe.feedback, { kind: "none" });
  assert.equal(one({ name: "ddp", codec: "sign1", feedback: "sender", feedbackDecay: 0.9 }).recipe.feedback, {
    kind: "sender",
    decay: 0.9,
  });
});

test("local SGD replaces the parameters by their mean", () => {
  assert.equal(timetable(one({ name: "local-sgd", innerSteps: 5 }), 5), ["5: begin 0, apply 0, commit 0"]);
  const { source, outer } = one({ name: "local-sgd" }).recipe;
  assert.equal([source, outer.kind], ["parameters", "replace"]);
});

test("HDEE's experts exchange nothing, and differ by shard in size and in steps", () => {
  const experts = [{ trainer: { width: 32 } }, { trainer: { width: 64 }, steps: 3 }, { steps: 10 }];
  const { actions, trains, trainerOptions, recipe } = one({ name: "hdee", innerSteps: 10, experts });
  assert.equal(actions(10, viewOf(3)), [{ kind: "commit", round: 0 }]);
  assert.is(recipe.commit.equal, false);
  assert.equal(
    [0, 1, 2, 3].map((shard) => trainerOptions!(shard)),
    [{ width: 32 }, { width: 64 }, {}, { width: 32 }],
  );
  const view = viewOf(3);
  const steps = (rank: number) =>
    Array.from({ length: 20 }, (_, step) => step).filter((step) => trains!(step, view, rank));
  assert.is(steps(0).length, 20);
  assert.equal(steps(1), [3, 6, 9, 13, 16, 19]);
  assert.is(steps(2).length, 20);
  assert.is(one({ name: "hdee", experts }).trains === undefined, false);
  assert.is(one({ name: "hdee", innerSteps: 10, experts: [experts[0], { steps: 10 }] }).trains, undefined);
});

test.run();
