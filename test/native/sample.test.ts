/** Random sets of indices over the addon: those of a reference in TypeScript, on the shared vectors, and refusals. */
import { readFileSync } from "node:fs";
import fc from "fast-check";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { philox } from "../../lib/base/random.js";
import { native } from "../../lib/native/load.js";

interface Sample {
  seed: number;
  stream: number;
  elements: number;
  indices: number[];
}

// The tests run from the package's root.
const { cases } = JSON.parse(readFileSync("test/vectors/sample.json", "utf8")) as { cases: Sample[] };

async function sample(seed: number, stream: number, elements: number, count: number): Promise<number[]> {
  const target = new Int32Array(count);
  await native.sampleIndices(seed, stream, elements, target);
  return [...target];
}

/** Floyd's algorithm as native/base/sample.h words it, in BigInt over a Set. */
function reference(seed: number, stream: number, elements: number, count: number): number[] {
  const taken = new Set<number>();
  let word = 0;
  for (let j = elements - count; j < elements; j++) {
    const bound = BigInt(j + 1);
    let product: bigint;
    do product = BigInt(philox(seed, stream, word++)) * bound;
    while (product % 2n ** 32n < 2n ** 32n % bound);
    const t = Number(product >> 32n);
    taken.add(taken.has(t) ? j : t);
  }
  return [...taken].sort((a, b) => a - b);
}

test("native and TypeScript draw the sets of the shared vectors", async () => {
  assert.ok(cases.length >= 5);
  for (const { seed, stream, elements, indices } of cases) {
    assert.equal(await sample(seed, stream, elements, indices.length), indices);
    assert.equal(reference(seed, stream, elements, indices.length), indices);
  }
});

test("any seed, stream and size gives the reference's set", async () => {
  const key = fc.maxSafeNat();
  const size = fc.integer({ min: 1, max: 3000 }).chain((elements) => {
    return fc.tuple(fc.constant(elements), fc.integer({ min: 0, max: Math.min(elements, 300) }));
  });
  await fc.assert(
    fc.asyncProperty(key, key, size, async (seed, stream, [elements, count]) => {
      assert.equal(await sample(seed, stream, elements, count), reference(seed, stream, elements, count));
    }),
  );
});

test("more indices than there are, or elements that no i32 counts, are refused by name", async () => {
  const refused = async (elements: number, count: number, pattern: RegExp) => {
    try {
      await sample(1, 1, elements, count);
    } catch (error) {
      return assert.match((error as Error).message, pattern);
    }
    return assert.unreachable("it was not refused");
  };
  await refused(4, 5, /target has 5 elements; at most 4 distinct indices exist/);
  await refused(2 ** 31 + 1, 1, /elements is 2147483649; at most 2\^31 are allowed/);
  assert.equal(await sample(1, 1, 0, 0), []);
});

test.run();
