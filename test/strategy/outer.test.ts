/** The outer optimizer: Nesterov against doubles, and what its degenerate cases give bit for bit. */
import { test } from "uvu";
import * as assert from "uvu/assert";
import { native } from "../../lib/native/load.js";
import { OuterOptimizer } from "../../lib/strategy/outer.js";
import type { NesterovOuter } from "../../lib/strategy/strategy.js";

const ELEMENTS = 4099;

const recipe = (learningRate: number, from: number, to = from, warmupRounds = 0): NesterovOuter => ({
  kind: "nesterov",
  learningRate,
  momentum: { from, to, warmupRounds },
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

test("three rounds equal Nesterov in doubles to float32 precision", async () => {
  const outer = new OuterOptimizer(ELEMENTS, recipe(0.7, 0.5, 0.9, 2), 1);
  const parameters = await normal(0, 1);
  await outer.start(parameters);
  const anchor = Float64Array.from(parameters);
  const momentum = new Float64Array(ELEMENTS);
  for (const [round, m] of [0.5, 0.7, 0.9].entries()) {
    const moved = await normal(10 + round, 0.1);
    const delta = new Float32Array(ELEMENTS);
    for (let i = 0; i < ELEMENTS; i++) parameters[i]! += moved[i]!;
    await outer.pseudoGradient(parameters, delta);
    for (let i = 0; i < ELEMENTS; i++) {
      const gradient = anchor[i]! - (anchor[i]! + moved[i]!);
      momentum[i] = m * momentum[i]! + gradient;
      anchor[i]! -= 0.7 * (gradient + m * momentum[i]!);
    }
    await outer.apply(delta, round, parameters);
    const worst = Math.max(...anchor.map((value, i) => Math.abs(value - outer.anchor[i]!)));
    assert.ok(worst < 2e-6, `round ${round}: the anchor is off by ${worst}`);
    assert.ok(sameBytes(parameters, outer.anchor), "the parameters are the anchor");
  }
  outer.close();
});

test("learning rate 1 without momentum and with one peer gives a - (a - p), exactly", async () => {
  const outer = new OuterOptimizer(ELEMENTS, recipe(1, 0), 1);
  const anchor = await normal(0, 1);
  await outer.start(anchor);
  const inner = await normal(1, 1);
  const parameters = Float32Array.from(inner);
  const delta = new Float32Array(ELEMENTS);
  await outer.pseudoGradient(parameters, delta);
  await outer.apply(delta, 0, parameters);
  // Float32 arithmetic in doubles rounded once each: what holds bit for bit, whatever the values.
  const expected = inner.map((p, i) => Math.fround(anchor[i]! - Math.fround(anchor[i]! - p)));
  assert.ok(sameBytes(parameters, expected), "a - (a - p) with each difference rounded to float32");
  // Sterbenz: a - p is exact where p lies between a / 2 and 2 a, so there p itself comes back.
  let [exact, rounded] = [0, 0];
  for (let i = 0; i < ELEMENTS; i++) {
    const ratio = inner[i]! / anchor[i]!;
    if (ratio >= 0.5 && ratio <= 2) {
      assert.is(parameters[i], inner[i]);
      exact++;
    } else if (parameters[i] !== inner[i]) {
      rounded++;
      const bound = 2 ** -24 * (Math.abs(anchor[i]! - inner[i]!) + Math.abs(parameters[i]!)) * 1.0001;
      assert.ok(
        Math.abs(parameters[i]! - inner[i]!) <= bound,
        `element ${i} is off by more than two roundings`,
      );
    }
  }
  assert.ok(exact > 500 && rounded > 100, `both cases occur: ${exact} exact, ${rounded} rounded`);
  outer.close();
});

test("inner steps that change nothing leave the anchor as it is, to the bit, momentum still zero", async () => {
  const outer = new OuterOptimizer(ELEMENTS, recipe(0.7, 0.9), 1);
  const parameters = await normal(0, 1);
  const before = Float32Array.from(parameters);
  await outer.start(parameters);
  const delta = new Float32Array(ELEMENTS).fill(1);
  await outer.pseudoGradient(parameters, delta);
  await outer.apply(delta, 0, parameters);
  assert.ok(sameBytes(outer.anchor, before));
  assert.ok(outer.momentum.every((value) => value === 0));
  outer.close();
});

test("anchor and momentum are the whole state: copied, they go on with the same bytes", async () => {
  const [first, second] = [1, 2].map(
    (threads) => new OuterOptimizer(ELEMENTS, recipe(0.7, 0.5, 0.9, 5), threads),
  );
  const parameters = await normal(0, 1);
  await first!.start(parameters);
  await first!.apply(await normal(1, 0.1), 0, parameters);
  second!.anchor.set(first!.anchor);
  second!.momentum.set(first!.momentum);
  const copy = new Float32Array(ELEMENTS);
  await second!.reset(copy);
  assert.ok(sameBytes(copy, parameters));
  const delta = await normal(2, 0.1);
  await first!.apply(delta, 1, parameters);
  await second!.apply(delta, 1, copy);
  assert.ok(sameBytes(copy, parameters));
  assert.ok(sameBytes(first!.momentum, second!.momentum));
  for (const outer of [first!, second!]) outer.close();
});

test.run();
