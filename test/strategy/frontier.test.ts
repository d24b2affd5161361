/** The frontier strategy as data: codecs by round and by what was measured, its presets' bytes, and what it refuses. */
import * as fc from "fast-check";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { canonicalJson } from "../../lib/base/canonical-json.js";
import { createCollectiveCost, dataParallelCost } from "../../lib/strategy/cost.js";
import { presets } from "../../lib/strategy/presets.js";
import type { StrategyView } from "../../lib/strategy/strategy.js";
import { configError, costOf, layoutOf, one, timetable, viewOf } from "./views.js";

const name = "frontier";
const plain = { name, innerSteps: 1 };
const bits = [
  [3, "eden:bits=2", "int4_block"],
  [6, "eden:bits=3", null],
];
const rising = { ...plain, codec: "eden:bits=1", downCodec: "int4_block", ownerFeedback: null, bits };

const codecs = (options: object, round: number, view: StrategyView = viewOf(8)) => {
  const [begin] = one(options).actions(round + 1, view);
  return begin?.kind === "begin" ? [begin.up, begin.down] : [];
};
const measured = (signal: number, peers = 8): StrategyView => ({ ...viewOf(peers), measures: { signal } });

test("without later codecs its actions are those of DiLoCo with the same coding", () => {
  const options = {
    innerSteps: 4,
    codec: "eden:bits=2",
    downCodec: "int4_block",
    ownerFeedback: 1,
    momentumStart: 0.9,
    momentumWarmupRounds: 0,
  };
  for (let step = 0; step <= 20; step++)
    assert.is(
      canonicalJson(one({ name, ...options }).actions(step, viewOf(4))),
      canonicalJson(one({ name: "diloco", ...options }).actions(step, viewOf(4))),
    );
  const streams = { ...options, fragments: 2, overlapSteps: 1, mix: 0.25, outerLearningRate: 0.4 };
  for (let step = 0; step <= 20; step++)
    assert.is(
      canonicalJson(one({ name, ...streams }).actions(step, viewOf(4))),
      canonicalJson(one({ name: "streaming-diloco", ...streams }).actions(step, viewOf(4))),
    );
});

test("the run's last rounds end with the plain mean, wherever its length is known", () => {
  for (const strategy of [name, "diloco"]) {
    const outer = { outerLearningRate: 0.7, momentumStart: 0.9, momentumEnd: 0.9, momentumWarmupRounds: 0 };
    const { actions } = one({ name: strategy, innerSteps: 5, settleRounds: 2, ...outer });
    const steps = (view: StrategyView) =>
      [1, 2, 3, 4].map((round) => {
        const apply = actions(5 * round, view).find(({ kind }) => kind === "apply");
        return apply?.kind === "apply" ? [apply.learningRate, apply.momentum] : [];
      });
    assert.equal(steps({ ...viewOf(4), steps: 20 }), [
      [0.7, 0.9],
      [0.7, 0.9],
      [1, 0],
      [1, 0],
    ]);
    assert.equal(steps(viewOf(4)), Array(4).fill([0.7, 0.9]));
  }
});

test("codecs change with the rounds", () => {
  assert.equal(
    [0, 2, 3, 5, 6, 100].map((round) => codecs(rising, round)),
    [
      ["eden:bits=1", "int4_block"],
      ["eden:bits=1", "int4_block"],
      ["eden:bits=2", "int4_block"],
      ["eden:bits=2", "int4_block"],
      ["eden:bits=3", null],
      ["eden:bits=3", null],
    ],
  );
  assert.equal(timetable(one({ name, innerSteps: 2, fragments: 2, overlapSteps: 1 }), 2), [
    "0: begin 0",
    "1: begin 1 of 1, apply 0",
    "2: apply 1 of 1, commit 0, begin 2",
  ]);
});

test("noise in the mean, by what contributions agree on, brings finer codecs ahead of their round", () => {
  const driven = { ...rising, noise: 0.1 };
  assert.is(one(driven).recipe.measure, "signal");
  assert.is(one(rising).recipe.measure, null);
  // Of 8 peers eden's 0.571, 0.133 and 0.0358 are within 0.1 of a signal of 0.714, 0.166 and 0.045.
  const up = (round: number, signal: number) => codecs(driven, round, measured(signal))[0];
  assert.equal(
    [1, 0.72, 0.71, 0.17, 0.16, 0.001].map((signal) => up(0, signal)),
    ["eden:bits=1", "eden:bits=1", "eden:bits=2", "eden:bits=2", "eden:bits=3", "eden:bits=3"],
  );
  assert.is(up(3, 1), "eden:bits=2", "what has come stays");
  assert.is(up(4, 0.1), "eden:bits=3");
  assert.is(codecs(driven, 0)[0], "eden:bits=1", "before anything was measured");
  assert.is(codecs(driven, 0, measured(0.4, 64))[0], "eden:bits=1", "more peers, less noise");
  assert.is(codecs(driven, 0, measured(0.4, 4))[0], "eden:bits=2", "fewer, more");
  assert.is(codecs(driven, 0, measured(-0.01))[0], "eden:bits=3", "a mean against all of its contributions");
});

test("the codec is a function of the view that all agree on, and never coarser for less signal", () => {
  const driven = { ...rising, noise: 0.05 };
  const order = ["eden:bits=1", "eden:bits=2", "eden:bits=3"];
  fc.assert(
    fc.property(
      fc.nat(9),
      fc.integer({ min: 1, max: 64 }),
      fc.double({ min: 0, max: 1, noNaN: true }),
      fc.double({ min: 0, max: 1, noNaN: true }),
      (round, peers, a, b) => {
        const at = (signal: number) =>
          order.indexOf(String(codecs(driven, round, measured(signal, peers))[0]));
        const [low, high] = [Math.min(a, b), Math.max(a, b)];
        assert.is(at(low), at(low));
        if (low > 0) assert.ok(at(low) >= at(high));
      },
    ),
  );
});

const preset = (of: string) => one({ preset: of });

test("the presets send 1,000 and 5,000 times less than data parallel training in fp32, of 8 peers", () => {
  const view = viewOf(8);
  const layout = layoutOf(822_784);
  for (const [of, factor] of [
    ["frontier", 1000],
    ["frontier-5000", 5000],
  ] as const) {
    const strategy = preset(of);
    const to = 4 * strategy.recipe.commit.steps;
    for (const rank of [0, 3, 7]) {
      const question = { layout, rank, view, from: 0, to, collectiveCost: createCollectiveCost() };
      const ratio = dataParallelCost(question).bytesPerStep / strategy.cost(question).bytesPerStep;
      assert.ok(ratio >= factor, `${of}: ${ratio} at rank ${rank}`);
    }
  }
  assert.equal(Object.keys(presets), ["frontier", "frontier-5000"]);
});

test("each round is priced by its own codecs", () => {
  const layout = layoutOf(32 * 4096);
  const price = (options: object, to: number) => costOf(options, to, { layout });
  // Three quarters of a byte's 8 bits and 4 bytes a block up; half a byte and a byte a block of 128 down.
  const way = (perBlock: number) => 24 * perBlock;
  const down = way(2048 + 32);
  assert.is(price(rising, 3).bytesPerStep, way(516) + down);
  assert.is(price(rising, 6).bytesPerStep * 6, 3 * (way(516) + down) + 3 * (way(1028) + down));
  assert.is(price(rising, 7).bytesPerStep * 7 - price(rising, 6).bytesPerStep * 6, 2 * way(1540));
});

test("what cannot work is refused under the key of its stage", () => {
  const refused = (options: object, message: RegExp) =>
    assert.throws(() => one({ ...plain, ...options }), configError(message));
  const later = (...stages: unknown[]) => ({ bits: stages });
  refused(later([0, "eden:bits=2", "int4_block"]), /^strategy\.bits\.0\.0: 0; /);
  refused(
    later([5, "eden:bits=3", "int4_block"], [5, "eden", "int4_block"]),
    /^strategy\.bits\.1\.0: 5; allowed: above 5/,
  );
  refused(
    later([5, "eden:bits=3", "eden"]),
    /^strategy\.bits\.0\.2: "eden": error feedback takes contractive/,
  );
  refused(
    later([5, "eden:bits=3", null]),
    /^strategy\.bits\.0\.1: "eden:bits=3": error feedback takes contractive/,
  );
  refused(
    later([5, "int4_block", "int4_block"]),
    /^strategy\.bits\.0\.1: "int4_block" cuts chunks at multiples of 128/,
  );
  refused(later([5, "edon", null]), /^strategy\.bits\.0\.1: .*no codec "edon"/);
  refused({ noise: 0.1, codec: "int8_block:block=4096" }, /^strategy\.codec: "int8_block.*": how much noise/);
  refused({ noise: 0 }, /^strategy\.noise: 0; allowed: a number above 0/);
  refused({ downCodec: "eden" }, /^strategy\.downCodec: "eden": error feedback takes contractive/);
});

test.run();
