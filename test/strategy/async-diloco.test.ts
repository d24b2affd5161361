/** Asynchronous DiLoCo as a plan by speeds: who takes which steps, who contributes when, and that equal speeds are DiLoCo. */
import * as fc from "fast-check";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { canonicalJson } from "../../lib/base/canonical-json.js";
import type { StrategyView } from "../../lib/strategy/strategy.js";
import { configError, costOf, layoutOf, one, viewOf } from "./views.js";

const name = "async-diloco";

/** The steps from `from` that a rank takes itself, of `count`. */
function taken(options: object, rank: number, from: number, count: number, view = viewOf(3)): number[] {
  const { trains } = one({ name, ...options });
  return Array.from({ length: count }, (_, step) => from + step).filter(
    (step) => trains?.(step, view, rank) ?? true,
  );
}

const weights = (options: object, round: number, view: StrategyView) => {
  const { actions, recipe } = one({ name, ...options });
  const list = actions((round + 1) * recipe.commit.steps, view);
  return list.flatMap((action) => (action.kind === "commit" ? [] : [action.weights]));
};

test("with equal speeds its actions are DiLoCo's, and everybody takes every step", () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 20 }),
      fc.nat(100),
      fc.boolean(),
      fc.constantFrom([], [1, 1], [1, 1, 1, 1]),
      (innerSteps, step, dylu, speeds) => {
        const strategy = one({ name, innerSteps, dylu, speeds });
        const diloco = one({ name: "diloco", innerSteps });
        assert.is(
          canonicalJson(strategy.actions(step, viewOf(4))),
          canonicalJson(diloco.actions(step, viewOf(4))),
        );
        assert.is(strategy.trains, undefined);
      },
    ),
  );
});

test("DyLU: in each round steps in proportion to the speed, the last one always, and all contribute", () => {
  const options = { innerSteps: 10, speeds: [1, 0.5, 0.25] };
  assert.equal(taken(options, 0, 0, 10), [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
  assert.equal(taken(options, 1, 0, 10), [1, 3, 5, 7, 9]);
  assert.equal(taken(options, 2, 10, 10), [14, 19]);
  for (const round of [0, 1, 2]) assert.equal(weights(options, round, viewOf(3)), [null, null]);
});

test("DyLU: a peer takes floor(H speed) steps of a round, and at least one", () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 50 }),
      fc.integer({ min: 1, max: 64 }),
      fc.nat(5),
      (innerSteps, parts, round) => {
        const options = { innerSteps, speeds: [1, parts / 64] };
        const steps = taken(options, 1, round * innerSteps, innerSteps, viewOf(2));
        assert.is(
          steps.length,
          parts === 64 ? innerSteps : Math.max(1, Math.floor((innerSteps * parts) / 64)),
        );
        assert.is(steps.at(-1), (round + 1) * innerSteps - 1);
      },
    ),
  );
});

test("without DyLU a peer takes its H steps however long it needs, and contributes when it has", () => {
  const options = { innerSteps: 4, dylu: false, speeds: [1, 0.5, 0.3] };
  const seen = [0, 1, 2, 3, 7].map((round) => weights(options, round, viewOf(3)));
  assert.equal(seen, [
    [
      [1, 0, 0],
      [1, 0, 0],
    ],
    [
      [1, 1, 0],
      [1, 1, 0],
    ],
    [
      [1, 0, 0],
      [1, 0, 0],
    ],
    [null, null],
    [null, null],
  ]);
  assert.equal(taken(options, 2, 0, 16), [3, 7, 11, 15]);
});

test("without DyLU a peer takes exactly H steps between two of its contributions", () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 12 }),
      fc.double({ min: 0.01, max: 1, noNaN: true }),
      (innerSteps, speed) => {
        const options = { innerSteps, dylu: false, speeds: [1, speed] };
        // A ratio nearly whole counts as whole.
        const period = Math.ceil(1 / speed - 1e-9);
        const given = Array.from(
          { length: 3 * period },
          (_, round) => weights(options, round, viewOf(2))[0]?.[1] ?? 1,
        );
        assert.is(given.filter((weight) => weight === 1).length, 3);
        assert.is(given[period - 1], 1);
        assert.is(taken(options, 1, period * innerSteps, period * innerSteps, viewOf(2)).length, innerSteps);
      },
    ),
  );
});

test("a ratio of decimal speeds that is a whole number counts as one", () => {
  // 0.33 / 0.03 is 11.000000000000002, and 100 * 0.29 is 28.999999999999996.
  const seldom = { innerSteps: 4, dylu: false, speeds: [0.33, 0.03] };
  assert.equal(weights(seldom, 10, viewOf(2))[0], null, "both are done in the eleventh round");
  assert.is(taken({ innerSteps: 100, speeds: [1, 0.29] }, 1, 0, 100, viewOf(2)).length, 29);
});

test("speeds go with shards, and count beside the fastest member that is there", () => {
  const members = [2, 1].map((shard) => ({ peerId: `p${shard}`, shard, samples: 1 }));
  const view = { epoch: 3, members, seed: 1, measures: {} };
  const options = { innerSteps: 4, speeds: [1, 0.5, 0.25] };
  assert.equal(taken(options, 1, 0, 4, view), [0, 1, 2, 3], "shard 1 is the fastest one now");
  assert.equal(taken(options, 0, 0, 4, view), [1, 3]);
});

test("one that does not contribute sends nothing up; it still owns a chunk", () => {
  const layout = layoutOf(131_072);
  const options = { name, innerSteps: 1, dylu: false, speeds: [1, 0.5], codec: "fp32" };
  const down = 4 * 3 * (131_072 / 4);
  assert.is(costOf(options, 1, { layout, rank: 1 }).bytesPerStep, down);
  assert.is(costOf(options, 1, { layout, rank: 0 }).bytesPerStep, 2 * down);
  assert.is(costOf(options, 2, { layout, rank: 1 }).bytesPerStep, 1.5 * down);
});

test("impossible speeds are refused", () => {
  const refused = (speeds: unknown, message: string | RegExp) =>
    assert.throws(() => one({ name, speeds }), configError(message));
  refused([1, 0], /^strategy\.speeds\.1: 0; /);
  refused([2], /^strategy\.speeds\.0: 2; /);
  refused(1, /^strategy\.speeds: 1; allowed: a list/);
});

test.run();
