/** Layouts: tensors lie one after another in the bucket, and views are live. */
import * as fc from "fast-check";
import { test } from "uvu";
import * as assert from "uvu/assert";
import type { GradmeshError } from "../../lib/base/errors.js";
import { TensorLayout } from "../../lib/tensor/layout.js";

const shapes = fc.array(fc.array(fc.integer({ min: 1, max: 5 }), { maxLength: 3 }), { maxLength: 8 });

test("slots fill the bucket without gaps or overlaps", () => {
  fc.assert(
    fc.property(shapes, (list) => {
      const layout = new TensorLayout(list.map((shape, index) => ({ name: `t${index}`, shape })));
      const bucket = new Float32Array(layout.elements);
      for (const { data } of layout.tensors(bucket)) data.set(data.map((times) => times + 1));
      assert.ok(bucket.every((times) => times === 1));
      assert.is(
        layout.slots.reduce((sum, slot) => sum + slot.elements, 0),
        layout.elements,
      );
    }),
  );
});

test("a view is the bucket itself, not a copy", () => {
  const layout = new TensorLayout([
    { name: "a", shape: [2] },
    { name: "b", shape: [2, 3] },
  ]);
  const bucket = new Float32Array(8);
  layout.view(bucket, "b").fill(7);
  assert.equal([...bucket], [0, 0, 7, 7, 7, 7, 7, 7]);
});

test("impossible layouts and unknown names are named", () => {
  const invalid = (pattern: RegExp) => (error: GradmeshError) =>
    error.code === "ERR_INVALID_ARGUMENT" && pattern.test(error.message);
  const twice = [
    { name: "a", shape: [1] },
    { name: "a", shape: [2] },
  ];
  assert.throws(() => new TensorLayout(twice), invalid(/"a" is used twice/));
  assert.throws(() => new TensorLayout([{ name: "a", shape: [2, 0] }]), invalid(/\[2,0\] of "a"/));
  const layout = new TensorLayout([{ name: "a", shape: [2] }]);
  assert.throws(() => layout.slot("b"), invalid(/no tensor "b"/));
  assert.throws(() => layout.view(new Float32Array(3), "a"), invalid(/3 elements, the layout 2/));
});

test.run();
