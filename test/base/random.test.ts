/** The TypeScript Philox against the vectors that the native one is checked against too, and its own properties. */
import { readFileSync } from "node:fs";
import fc from "fast-check";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { normal, philox, philoxRounds, uniform, type Words } from "../../lib/base/random.js";

interface Vectors {
  philox4x32_10: { counter: Words; key: [number, number]; words: Words }[];
  elements: {
    seed: number;
    stream: number;
    element: number;
    deviation: number;
    bits: number;
    uniform_bits: number;
    normal_bits: number;
  }[];
}

// The tests run from the package's root.
const vectors = JSON.parse(readFileSync("test/vectors/random.json", "utf8")) as Vectors;
const bitsOf = (value: number) => new Uint32Array(Float32Array.of(value).buffer)[0];

test("the known-answer vectors of the Random123 distribution", () => {
  for (const { counter, key, words } of vectors.philox4x32_10)
    assert.equal(philoxRounds(counter, key), words);
});

test("words, uniforms and normals equal the native ones", () => {
  for (const v of vectors.elements) {
    assert.is(philox(v.seed, v.stream, v.element), v.bits);
    assert.is(bitsOf(uniform(v.seed, v.stream, v.element)), v.uniform_bits);
    assert.is(bitsOf(normal(v.seed, v.stream, v.element, v.deviation)), v.normal_bits);
  }
});

test("one round's arithmetic equals BigInt's, for any counter and key", () => {
  const mask = 0xffffffffn;
  const reference = (counter: readonly bigint[], key: readonly bigint[]): bigint[] => {
    let [c0, c1, c2, c3] = counter as [bigint, bigint, bigint, bigint];
    let [k0, k1] = key as [bigint, bigint];
    for (let round = 0; round < 10; round++) {
      const a = c0 * 0xd2511f53n;
      const b = c2 * 0xcd9e8d57n;
      [c0, c1, c2, c3] = [(b >> 32n) ^ c1 ^ k0, b & mask, (a >> 32n) ^ c3 ^ k1, a & mask];
      k0 = (k0 + 0x9e3779b9n) & mask;
      k1 = (k1 + 0xbb67ae85n) & mask;
    }
    return [c0, c1, c2, c3];
  };
  const word = fc.integer({ min: 0, max: 0xffffffff });
  fc.assert(
    fc.property(fc.tuple(word, word, word, word), fc.tuple(word, word), (counter, key) => {
      const expected = reference(counter.map(BigInt), key.map(BigInt)).map(Number);
      assert.equal(philoxRounds(counter, key), expected);
    }),
  );
});

test("uniforms lie in [0, 1), normals within 6 deviations, with the moments they should have", () => {
  const count = 20_000;
  const moments = (draw: (element: number) => number) => {
    const values = Array.from({ length: count }, (_, element) => draw(element));
    const mean = values.reduce((sum, value) => sum + value, 0) / count;
    const variance = values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / count;
    return { mean, variance, least: Math.min(...values), most: Math.max(...values) };
  };
  const flat = moments((element) => uniform(1, 2, element));
  assert.ok(flat.least >= 0 && flat.most < 1);
  assert.ok(Math.abs(flat.mean - 0.5) < 0.01 && Math.abs(flat.variance - 1 / 12) < 0.003);
  const bell = moments((element) => normal(1, 3, element, 2));
  assert.ok(Math.abs(bell.mean) < 0.06 && Math.abs(bell.variance - 4) < 0.2);
  assert.ok(bell.least > -12 && bell.most < 12);
});

test("a seed, stream or element that is no safe integer is refused by name", () => {
  assert.throws(() => philox(-1, 0, 0), /random seed is -1/);
  assert.throws(() => philox(0, 1.5, 0), /random stream is 1.5/);
  assert.throws(() => uniform(0, 0, 2 ** 53), /random element is 9007199254740992/);
  assert.throws(() => normal(0, 0, Number.MAX_SAFE_INTEGER, 1), /random element/);
});

test.run();
