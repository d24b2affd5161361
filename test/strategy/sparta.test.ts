/** SPARTA as data: which share of the parameters, when, and at what price; alone, and beside DiLoCo. */
import * as fc from "fast-check";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { canonicalJson } from "../../lib/base/canonical-json.js";
import { fragmentRanges } from "../../lib/strategy/fragments.js";
import { createStrategies, roundSteps } from "../../lib/strategy/registry.js";
import { configError, costOf, layoutOf, one, timetable, viewOf } from "./views.js";

const name = "sparta";

test("an exchange every interval, a commit every so many of them", () => {
  assert.equal(timetable(one({ name, interval: 2, commitEvery: 2 }), 8), [
    "2: begin 0, apply 0",
    "4: begin 1, apply 1, commit 0",
    "6: begin 2, apply 2",
    "8: begin 3, apply 3, commit 1",
  ]);
  assert.equal(timetable(one({ name, interval: 4, overlapSteps: 1 }), 8), [
    "3: begin 0",
    "4: apply 0, commit 0",
    "7: begin 1",
    "8: apply 1, commit 1",
  ]);
});

test("parts of a partition take turns, and 1 / share of them cover every element once", () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 200 }), fc.integer({ min: 200, max: 3000 }), (count, elements) => {
      const strategy = one({ name, selector: "partition", share: 1 / count });
      const layout = layoutOf(elements);
      const { fragments } = strategy.recipe;
      assert.equal(fragments, { kind: "partition", count });
      const ranges = fragmentRanges(fragments, layout);
      const seen = new Uint8Array(elements);
      for (let step = 1; step <= count; step++)
        for (const action of strategy.actions(step, viewOf(2)))
          if (action.kind === "begin")
            for (const { begin, elements: size } of ranges[action.fragment]!)
              for (let at = begin; at < begin + size; at++) seen[at]! += 1;
      assert.ok(seen.every((times) => times === 1));
    }),
  );
});

test("32 p bits an element, up to the owner and down to the others, and none for which elements", () => {
  const n = 4;
  const N = 400_000;
  for (const share of [0.0005, 0.005, 0.05]) {
    const cost = costOf({ name, share }, 10, { layout: layoutOf(N), view: viewOf(n) });
    const bytes = (4 * share * N * 2 * (n - 1)) / n;
    assert.is(cost.bytesPerStep, bytes);
    assert.equal(cost.parts, { payload: bytes, scales: 0, indices: 0 });
    assert.is(cost.bytesPeak, bytes);
  }
  const seldom = costOf({ name, interval: 5 }, 10, { layout: layoutOf(N), view: viewOf(n) });
  assert.is(seldom.bytesPerStep, (4 * 0.005 * N * 2 * (n - 1)) / n / 5);
});

test("a share of 1 has the actions of local SGD with one step", () => {
  const [whole, local] = [one({ name, share: 1 }), one({ name: "local-sgd", innerSteps: 1 })];
  for (let step = 0; step <= 20; step++)
    assert.is(canonicalJson(whole.actions(step, viewOf(3))), canonicalJson(local.actions(step, viewOf(3))));
  const layout = layoutOf(1000);
  assert.equal(
    costOf({ name, share: 1 }, 4, { layout }),
    costOf({ name: "local-sgd", innerSteps: 1 }, 4, { layout }),
  );
});

test("beside DiLoCo a round is DiLoCo's, and SPARTA comes first", () => {
  const both = createStrategies([{ name }, { innerSteps: 50 }]);
  assert.is(roundSteps(both), 50);
  assert.throws(
    () => createStrategies([{ innerSteps: 50 }, { name }]),
    configError(
      'strategy.1: "sparta" averages the parameters that strategy 0, "diloco", sets to its anchor, and strategies act ' +
        "in the list's order; put it first",
    ),
  );
  assert.throws(
    () => createStrategies([{ name, interval: 7 }, { innerSteps: 50 }]),
    configError(/^strategy\.0: "sparta" commits every 7 inner steps, and the longest round has 50/),
  );
});

test("impossible options are refused", () => {
  const refused = (options: object, message: string | RegExp) =>
    assert.throws(() => one({ name, ...options }), configError(message));
  refused({ share: 0 }, /^strategy\.share: 0; allowed: a number from 0\.000001 to 1/);
  refused({ selector: "ring" }, 'strategy.selector: "ring"; allowed: "random", "partition"');
  refused({ interval: 2, overlapSteps: 3 }, /^strategy\.overlapSteps: 3: .*; allowed: at most 2$/);
  refused(
    { codec: "int8_block", collective: "halving_doubling" },
    /^strategy\.codec: "int8_block": the collective/,
  );
});

test.run();
