/** Which elements a fragment holds, and which tensors PowerSGD factors. */
import * as fc from "fast-check";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { planFactors } from "../../lib/strategy/factors.js";
import { fragmentElements, fragmentRanges, randomCount } from "../../lib/strategy/fragments.js";
import type { Fragments } from "../../lib/strategy/recipe.js";
import { TensorLayout } from "../../lib/tensor/layout.js";
import { configError } from "./views.js";

const layout = new TensorLayout([
  { name: "token.table", shape: [10, 4] },
  { name: "block0.up.weight", shape: [4, 8] },
  { name: "block0.up.bias", shape: [8] },
  { name: "block1.up.weight", shape: [4, 8] },
  { name: "block1.up.bias", shape: [8] },
  { name: "head", shape: [4, 10] },
]);

test("layers are tensors of one prefix, and go to fragments in turn", () => {
  const ranges = fragmentRanges({ kind: "layers", count: 2 }, layout);
  assert.equal(ranges, [
    [
      { begin: 0, elements: 40 },
      { begin: 80, elements: 40 },
    ],
    [
      { begin: 40, elements: 40 },
      { begin: 120, elements: 40 },
    ],
  ]);
  assert.equal(fragmentRanges({ kind: "layers", count: 1 }, layout), [[{ begin: 0, elements: 160 }]]);
  const numbered = new TensorLayout(["a.0.w", "a.0.b", "a.1.w", "z"].map((name) => ({ name, shape: [3] })));
  assert.equal(
    fragmentRanges({ kind: "layers", count: 3 }, numbered).map((one) => one[0]!.begin),
    [0, 6, 9],
  );
});

test("more fragments than layers are refused", () => {
  assert.throws(
    () => fragmentRanges({ kind: "layers", count: 5 }, layout),
    configError("strategy.fragments is 5, but the model has 4 layers; allowed: at most 4"),
  );
  assert.throws(
    () => fragmentRanges({ kind: "partition", count: 161 }, layout),
    configError(/needs as many elements, but the model has 160/),
  );
});

test("fragments cover every element exactly once", () => {
  const names = fc.uniqueArray(fc.stringMatching(/^[a-c]\.[0-3]\.[a-z]{1,3}$/), {
    minLength: 1,
    maxLength: 12,
  });
  const anyLayout = names.chain((list) =>
    fc
      .array(fc.integer({ min: 1, max: 50 }), { minLength: list.length, maxLength: list.length })
      .map((sizes) => new TensorLayout(list.map((name, index) => ({ name, shape: [sizes[index]!] })))),
  );
  const anyFragments = fc.oneof(
    fc.constant<Fragments>({ kind: "all" }),
    fc.integer({ min: 1, max: 4 }).map((count): Fragments => ({ kind: "layers", count })),
    fc.integer({ min: 1, max: 9 }).map((count): Fragments => ({ kind: "partition", count })),
  );
  fc.assert(
    fc.property(anyLayout, anyFragments, (some, fragments) => {
      let ranges: ReturnType<typeof fragmentRanges>;
      try {
        ranges = fragmentRanges(fragments, some);
      } catch (error) {
        assert.ok(configError(/ has \d+/)(error as never));
        return;
      }
      const seen = new Uint8Array(some.elements);
      for (const { begin, elements } of ranges.flat())
        for (let at = begin; at < begin + elements; at++) seen[at]! += 1;
      assert.ok(seen.every((count) => count === 1));
      const sizes = ranges.map((_, fragment) => fragmentElements(fragments, some, fragment));
      assert.is(
        sizes.reduce((sum, size) => sum + size, 0),
        some.elements,
      );
      if (fragments.kind === "partition") assert.ok(Math.max(...sizes) - Math.min(...sizes) <= 1);
    }),
  );
});

test("random draws a share, at least one element and at most all", () => {
  assert.is(fragmentElements({ kind: "random", share: 0.05 }, layout, 0), 8);
  assert.is(randomCount(1e-9, 160), 1);
  assert.is(randomCount(1, 160), 160);
  assert.equal(fragmentRanges({ kind: "random", share: 0.05 }, layout), [[{ begin: 0, elements: 160 }]]);
});

test("matrices whose factors are shorter are factored; the rest goes as it is", () => {
  const plan = planFactors(
    new TensorLayout([
      { name: "wide", shape: [100, 50] },
      { name: "bias", shape: [50] },
      { name: "kernel", shape: [3, 3, 8, 16] },
      { name: "small", shape: [4, 4] },
      { name: "scalar", shape: [] },
    ]),
    4,
  );
  assert.equal(
    plan.factored.map(({ slot, rows, columns, rank }) => [slot.name, rows, columns, rank]),
    [
      ["wide", 100, 50, 4],
      ["kernel", 72, 16, 4],
    ],
  );
  assert.equal(
    plan.plain.map(({ name }) => name),
    ["bias", "small", "scalar"],
  );
  assert.is(plan.firstElements, 400 + 288 + 50 + 16 + 1);
  assert.is(plan.secondElements, 200 + 64);
});

test.run();
