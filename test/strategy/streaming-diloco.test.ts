/** Streaming DiLoCo as data: fragments in turn, what overlaps, its peak of bytes, and that its plainest case is DiLoCo. */
import * as fc from "fast-check";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { canonicalJson } from "../../lib/base/canonical-json.js";
import { TensorLayout } from "../../lib/tensor/layout.js";
import { configError, costOf, one, timetable, viewOf } from "./views.js";

const name = "streaming-diloco";
const sharedOptions = { outerLearningRate: 0.7, momentumEnd: 0.8, codec: "int4_block", collective: "direct" };

test("fragments take turns, and each is sent tau steps before it is applied", () => {
  assert.equal(timetable(one({ name, innerSteps: 12, fragments: 3, overlapSteps: 2 }), 24), [
    "2: begin 0",
    "4: apply 0",
    "6: begin 1 of 1",
    "8: apply 1 of 1",
    "10: begin 2 of 2",
    "12: apply 2 of 2, commit 0",
    "14: begin 3",
    "16: apply 3",
    "18: begin 4 of 1",
    "20: apply 4 of 1",
    "22: begin 5 of 2",
    "24: apply 5 of 2, commit 1",
  ]);
});

test("the defaults are the paper's, with a momentum that warms up", () => {
  const list = one({ name }).actions(15, viewOf(4));
  const [apply] = list.filter((action) => action.kind === "apply");
  assert.equal(apply, {
    kind: "apply",
    exchange: 0,
    fragment: 0,
    learningRate: 0.4,
    momentum: 0.5,
    mix: 0.5,
    weights: null,
  });
  const { commit, staleness, coding } = one({ name }).recipe;
  assert.equal(
    [commit.steps, staleness, coding],
    [30, { kind: "overlap", steps: 1, mix: 0.5 }, { up: "e3m0", down: null, ownerFeedback: null }],
  );
});

test("with one fragment, no overlap and nothing kept its actions are DiLoCo's", () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 40 }), fc.nat(200), (innerSteps, step) => {
      const options = { ...sharedOptions, innerSteps };
      const streaming = one({ name, ...options, fragments: 1, overlapSteps: 0, mix: 0 });
      const diloco = one({ name: "diloco", ...options });
      assert.is(
        canonicalJson(streaming.actions(step, viewOf(3))),
        canonicalJson(diloco.actions(step, viewOf(3))),
      );
      const { strategy: _, ...recipe } = streaming.recipe;
      const { strategy: __, ...expected } = diloco.recipe;
      assert.equal(recipe, expected);
    }),
  );
});

test("fragments of a round share its momentum", () => {
  const strategy = one({ name, innerSteps: 4, fragments: 2, overlapSteps: 0, momentumWarmupRounds: 4 });
  const momentum = (step: number) =>
    strategy.actions(step, viewOf(2)).flatMap((action) => (action.kind === "apply" ? [action.momentum] : []));
  assert.equal([2, 4, 6, 8].flatMap(momentum), [0.5, 0.5, 0.6, 0.6]);
});

const layers = new TensorLayout(
  ["first", "block0.a", "block1.a", "last"].map((label) => ({ name: label, shape: [32_768] })),
);

test("a round sends as many bytes as DiLoCo's, and in its dearest step a fragment's", () => {
  const H = 8;
  const options = { innerSteps: H, codec: "e3m0" };
  const whole = costOf({ ...options, name: "diloco" }, 2 * H, { layout: layers });
  for (const fragments of [1, 2, 4]) {
    const cost = costOf({ name, ...options, fragments }, 2 * H, { layout: layers });
    // Of each element half a byte, of each block of 128 a byte, up to the owner and down to three others.
    const bytes = (2 * 3 * (131_072 / 2 + 131_072 / 128)) / 4;
    assert.is(cost.bytesPerStep, bytes / H);
    assert.is(cost.bytesPeak, bytes / fragments);
    assert.is(cost.latencyStepsPerStep, (2 * fragments) / H);
    assert.is(cost.bytesPerStep, whole.bytesPerStep);
  }
});

test("what cannot work is refused with the reason", () => {
  const refused = (options: object, message: string | RegExp) =>
    assert.throws(() => one({ name, ...options }), configError(message));
  refused(
    { innerSteps: 10, fragments: 4 },
    "strategy.innerSteps: 10: every fragment has its turn in a round after equally many steps; " +
      "allowed: a multiple of fragments, which is 4",
  );
  refused(
    { innerSteps: 12, fragments: 3, overlapSteps: 5 },
    "strategy.overlapSteps: 5: what is begun must be applied before the round commits; " +
      "allowed: at most innerSteps / fragments, which is 4",
  );
  refused({ mix: 1 }, "strategy.mix: 1; allowed: a number from 0 to less than 1");
  refused({ fragments: 0 }, /^strategy\.fragments: 0; allowed: an integer from 1/);
  assert.throws(
    () => costOf({ name, fragments: 5 }, 30, { layout: layers }),
    configError(/fragments is 5, but the model has 4 layers/),
  );
});

test.run();
