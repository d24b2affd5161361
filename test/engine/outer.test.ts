/** The outer optimizers against doubles, and what their degenerate cases give bit for bit. */
import { test } from "uvu";
import * as assert from "uvu/assert";
import { createOuter, type OuterOptimizer } from "../../lib/engine/outer.js";
import { native } from "../../lib/native/load.js";
import type { Outer } from "../../lib/strategy/recipe.js";
import type { ApplyAction } from "../../lib/strategy/strategy.js";

const ELEMENTS = 4099;
const RANKS = 4;
const everyone = { contributors: RANKS, ranks: RANKS };

const whole = [[{ begin: 0, elements: ELEMENTS }]];

const step = (learningRate: number, momentum = 0): ApplyAction => ({
  kind: "apply",
  exchange: 0,
  fragment: 0,
  learningRate,
  momentum,
  mix: 0,
  weights: null,
});

async function normal(stream: number, deviation: number): Promise<Float32Array> {
  const values = new Float32Array(ELEMENTS);
  await native.randomNormal(31, stream, 0, deviation, values);
  return values;
}

/** Equal bytes; a zero's sign counts. */
function sameBytes(a: Float32Array, b: Float32Array): boolean {
  return Buffer.from(a.buffer, a.byteOffset, a.byteLength).equals(
    Buffer.from(b.buffer, b.byteOffset, b.byteLength),
  );
}

async function outerOf(outer: Outer, fragments = whole): Promise<[OuterOptimizer, Float32Array]> {
  const anchor = await normal(0, 1);
  const optimizer = createOuter({ outer, anchor, fragments, threads: 1 });
  optimizer.start();
  return [optimizer, anchor];
}

/** The largest difference of two tensors' elements. */
const apart = (a: Float64Array, b: Float32Array) =>
  a.reduce((worst, value, i) => Math.max(worst, Math.abs(value - b[i]!)), 0);

test("three steps equal Nesterov in doubles to float32 precision", async () => {
  const [outer, anchor] = await outerOf({ kind: "nesterov" });
  const expected = Float64Array.from(anchor);
  const momentum = new Float64Array(ELEMENTS);
  for (const [round, m] of [0.5, 0.7, 0.9].entries()) {
    const mean = await normal(10 + round, 0.1);
    for (let i = 0; i < ELEMENTS; i++) {
      momentum[i] = m * momentum[i]! + mean[i]!;
      expected[i]! -= 0.7 * (mean[i]! + m * momentum[i]!);
    }
    await outer.apply(0, mean, step(0.7, m), everyone);
    assert.ok(apart(expected, anchor) < 2e-6, `round ${round}: off by ${apart(expected, anchor)}`);
  }
  outer.close();
});

test("sgd with learning rate 1 takes the mean off, each element rounded once", async () => {
  const [outer, anchor] = await outerOf({ kind: "sgd" });
  const before = Float32Array.from(anchor);
  for (const round of [0, 1]) {
    const mean = await normal(1 + round, 1);
    const expected = anchor.map((a, i) => Math.fround(a - mean[i]!));
    await outer.apply(0, mean, step(1, 0.9), everyone);
    assert.ok(sameBytes(anchor, expected));
  }
  assert.not.ok(sameBytes(anchor, before));
  outer.close();
});

test("delayed Nesterov is Nesterov, to the bit, where everybody contributes each time", async () => {
  const [plain, anchorPlain] = await outerOf({ kind: "nesterov" });
  const [delayed, anchorDelayed] = await outerOf({ kind: "delayedNesterov" });
  for (const round of [0, 1, 2]) {
    const mean = await normal(20 + round, 0.1);
    for (const outer of [plain, delayed]) await outer.apply(0, mean, step(0.7, 0.9), everyone);
    assert.ok(sameBytes(anchorPlain, anchorDelayed), `round ${round}`);
  }
  for (const outer of [plain, delayed]) outer.close();
});

test("delayed Nesterov steps plainly by each share, and takes the momentum when all are in", async () => {
  const [outer, anchor] = await outerOf({ kind: "delayedNesterov" });
  const expected = Float64Array.from(anchor);
  const momentum = new Float64Array(ELEMENTS).fill(0);
  for (const cycle of [0, 1]) {
    const buffer = new Float64Array(ELEMENTS);
    for (const [turn, contributors] of [1, 3].entries()) {
      const mean = await normal(30 + 2 * cycle + turn, 0.1);
      for (let i = 0; i < ELEMENTS; i++) {
        const arrived = (mean[i]! * contributors) / RANKS;
        expected[i]! -= 0.7 * arrived;
        buffer[i]! += arrived;
      }
      if (turn === 1)
        for (let i = 0; i < ELEMENTS; i++) {
          momentum[i] = 0.9 * momentum[i]! + buffer[i]!;
          expected[i]! -= 0.7 * 0.9 * momentum[i]!;
        }
      await outer.apply(0, mean, step(0.7, 0.9), { contributors, ranks: RANKS });
      assert.ok(apart(expected, anchor) < 2e-6, `off by ${apart(expected, anchor)}`);
    }
  }
  outer.close();
});

for (const kind of ["adam", "yogi", "adagrad"] as const)
  test(`${kind} equals FedOpt's formulas in doubles`, async () => {
    const [beta1, beta2, epsilon, lr] = [0.9, 0.99, 1e-3, 0.05];
    const [outer, anchor] = await outerOf({ kind, beta1, beta2, epsilon });
    const expected = Float64Array.from(anchor);
    const m = new Float64Array(ELEMENTS);
    const v = new Float64Array(ELEMENTS).fill(epsilon * epsilon);
    for (const round of [0, 1, 2]) {
      const mean = await normal(40 + round, 0.1);
      for (let i = 0; i < ELEMENTS; i++) {
        const square = mean[i]! * mean[i]!;
        m[i] = beta1 * m[i]! + (1 - beta1) * mean[i]!;
        if (kind === "adam") v[i] = beta2 * v[i]! + (1 - beta2) * square;
        if (kind === "yogi") v[i]! -= (1 - beta2) * square * Math.sign(v[i]! - square);
        if (kind === "adagrad") v[i]! += square;
        expected[i]! -= (lr * m[i]!) / (Math.sqrt(v[i]!) + epsilon);
      }
      await outer.apply(0, mean, step(lr), everyone);
      assert.ok(apart(expected, anchor) < 5e-6, `round ${round}: off by ${apart(expected, anchor)}`);
    }
    outer.close();
  });

test("fragments in turn do to each element what one fragment does, to the bit", async () => {
  const parts = [
    [
      { begin: 0, elements: 1000 },
      { begin: 3000, elements: ELEMENTS - 3000 },
    ],
    [{ begin: 1000, elements: 2000 }],
  ];
  for (const kind of ["nesterov", "delayedNesterov"] as const) {
    const [one, anchorOne] = await outerOf({ kind });
    const [two, anchorTwo] = await outerOf({ kind }, parts);
    for (const round of [0, 1]) {
      const mean = await normal(50 + round, 0.1);
      await one.apply(0, mean, step(0.7, 0.9), everyone);
      for (const [fragment, ranges] of parts.entries()) {
        const packed = Float32Array.from(
          ranges.flatMap(({ begin, elements }) => [...mean.subarray(begin, begin + elements)]),
        );
        await two.apply(fragment, packed, { ...step(0.7, 0.9), fragment }, everyone);
      }
      assert.ok(sameBytes(anchorOne, anchorTwo), `${kind}, round ${round}`);
    }
    for (const outer of [one, two]) outer.close();
  }
});

test("the anchor and its state are everything: copied, they go on with the same bytes", async () => {
  const outers: Outer[] = [
    { kind: "nesterov" },
    { kind: "delayedNesterov" },
    { kind: "yogi", beta1: 0.9, beta2: 0.99, epsilon: 1e-3 },
  ];
  const some = { contributors: 3, ranks: RANKS };
  for (const outer of outers) {
    const [first, anchorFirst] = await outerOf(outer);
    await first.apply(0, await normal(60, 0.1), step(0.1, 0.9), some);
    const [second, anchorSecond] = await outerOf(outer);
    anchorSecond.set(anchorFirst);
    for (const [index, { data }] of second.state.entries()) data.set(first.state[index]!.data);
    const mean = await normal(61, 0.1);
    for (const one of [first, second]) await one.apply(0, mean, step(0.1, 0.9), some);
    assert.ok(sameBytes(anchorFirst, anchorSecond), outer.kind);
    for (const one of [first, second]) one.close();
  }
});

test("an optimizer that steps no anchor is refused with those that do", () => {
  assert.throws(
    () => createOuter({ outer: { kind: "inner" }, anchor: new Float32Array(4), fragments: [[]], threads: 1 }),
    /"inner".*allowed: sgd, nesterov/,
  );
});

test.run();
