/** DiLoCo as data: its schedule, its cost, and the recipes it refuses. */
import * as fc from "fast-check";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { canonicalDigest, canonicalJson } from "../../lib/base/canonical-json.js";
import type { GradmeshError } from "../../lib/base/errors.js";
import { plainRequest, planCost } from "../../lib/reduce/plan.js";
import { createStrategy } from "../../lib/strategy/registry.js";
import { type CollectiveCost, dataParallelCost, momentumAt } from "../../lib/strategy/strategy.js";

const view = { epoch: 1, peers: ["a", "b"] };
const config = (pattern: RegExp) => (error: GradmeshError) =>
  error.code === "ERR_CONFIG" && pattern.test(error.message);

test("peers exchange exactly at every H-th step, and rounds count from 0", () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 60 }), fc.nat(1000), (every, step) => {
      const { actions } = createStrategy({ innerSteps: every });
      const list = actions(step, view);
      assert.is(list.length > 0, step > 0 && step % every === 0);
      for (const action of list) assert.is(action.round, step / every - 1);
      assert.equal(
        list.map((action) => action.kind),
        list.length > 0 ? ["reduce", "outer", "commit"] : [],
      );
    }),
  );
});

test("the actions are data, the same from any instance and at any call", () => {
  const options = { innerSteps: 3, codec: "fp32", collective: "ring" };
  const [first, second] = [createStrategy(options), createStrategy(structuredClone(options))];
  for (let step = 0; step < 30; step++) {
    assert.is(canonicalJson(first.actions(step, view)), canonicalJson(second.actions(step, view)));
    assert.is(canonicalJson(first.actions(step, view)), canonicalJson(first.actions(step, view)));
  }
});

test("the momentum goes linearly from 0.5 to 0.9, then stays", () => {
  const { outer } = createStrategy({ momentumWarmupRounds: 4 }).recipe;
  assert.equal(
    [0, 1, 2, 3, 4, 100].map((round) => Math.round(momentumAt(outer, round) * 1e9) / 1e9),
    [0.5, 0.6, 0.7, 0.8, 0.9, 0.9],
  );
  const { outer: cold } = createStrategy({ momentumWarmupRounds: 0 }).recipe;
  assert.is(momentumAt(cold, 0), 0.9);
});

/** The formulas of the collectives, without native code: what cost() does with any answer. */
const formula: CollectiveCost = (collective, codec, ranks, _rank, elements) => {
  const bytes = codec === "fp32" ? 4 : 1;
  const bytesSent = (2 * (ranks - 1) * elements * bytes) / ranks;
  return { bytesSent, latencySteps: collective === "ring" ? 2 * (ranks - 1) : 2 };
};

test("the cost is the collective's, shared out over the H steps", () => {
  const question = { parameters: 1000, peers: 4, rank: 0, collectiveCost: formula };
  const cost = createStrategy({ innerSteps: 50 }).cost(question);
  assert.equal(cost, { bytesPerStep: 1500 / 50, latencyStepsPerStep: 2 / 50 });
  assert.equal(dataParallelCost(question), { bytesPerStep: 6000, latencyStepsPerStep: 6 });
});

test("with native code's costs int8 at H = 50 sends about 200 times less than fp32 data parallel", () => {
  const collectiveCost: CollectiveCost = (collective, codec, ranks, rank, elements) =>
    planCost({ ...plainRequest, collective, codec, ranks, rank, elements, segmentElements: 1 << 16 });
  const question = { parameters: 822_784, peers: 4, rank: 1, collectiveCost };
  const factor =
    dataParallelCost(question).bytesPerStep / createStrategy({ innerSteps: 50 }).cost(question).bytesPerStep;
  assert.ok(factor > 195 && factor < 201, `the factor is ${factor}`);
});

test("impossible recipes name the key and what is allowed", () => {
  assert.throws(() => createStrategy({ innerSteps: 0 }), config(/strategy\.innerSteps is 0/));
  assert.throws(() => createStrategy({ innerSteps: 2.5 }), config(/strategy\.innerSteps is 2\.5/));
  assert.throws(
    () => createStrategy({ inerSteps: 5 }),
    config(/unknown key "inerSteps"; allowed: name, innerSteps/),
  );
  assert.throws(
    () => createStrategy({ codec: "int9" }),
    config(/strategy\.codec is "int9": .*there is no codec "int9"; allowed: "fp32", /),
  );
  assert.throws(
    () => createStrategy({ collective: "broadcast" }),
    config(/collective is "broadcast".*"ring"/),
  );
  assert.throws(
    () => createStrategy({ codec: "int8_block", collective: "halving_doubling" }),
    config(/strategy\.codec is "int8_block".*takes only fp32;.*"direct"/),
  );
  assert.throws(() => createStrategy({ momentumEnd: 1 }), config(/momentumEnd is 1/));
  assert.throws(
    () => createStrategy({ name: "toString" }),
    config(/strategy\.name is "toString"; allowed: diloco/),
  );
  assert.throws(() => createStrategy(7), config(/strategy is 7/));
});

test("the digest depends on what the recipe says, not on how it was written", () => {
  const digest = (options: unknown) => canonicalDigest(createStrategy(options).recipe);
  assert.is(digest({ innerSteps: 20, codec: "int8_block" }), digest({ codec: "int8_block" }));
  assert.is.not(digest({ innerSteps: 50 }), digest({ innerSteps: 51 }));
  assert.is(canonicalJson({ b: [1, { d: null, c: "x" }], a: true }), '{"a":true,"b":[1,{"c":"x","d":null}]}');
  assert.throws(() => canonicalJson({ a: Number.NaN }), /a: NaN is not a JSON number/);
  assert.throws(() => canonicalJson([undefined]), /\[0\]: JSON cannot hold a undefined/);
});

test.run();
