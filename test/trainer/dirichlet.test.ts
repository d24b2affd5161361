/** Dirichlet shards: disjoint, of the sizes asked for, the same for the same seed, as unlike as alpha says. */
import fc from "fast-check";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { dirichletShards } from "../../lib/trainer/dirichlet.js";

const CLASSES = 10;
const labels = Int32Array.from({ length: 4000 }, (_, i) => (i * 7) % CLASSES);

/** The largest part that one class has of a shard, on average over the shards. */
function dominance(shards: readonly Int32Array[]): number {
  const parts = shards.map((samples) => {
    const counts = new Array<number>(CLASSES).fill(0);
    for (const sample of samples) counts[labels[sample]!]! += 1;
    return Math.max(...counts) / samples.length;
  });
  return parts.reduce((sum, part) => sum + part, 0) / parts.length;
}

test("every sample is of one shard at most, and each shard has its size", () => {
  const arbitrary = fc.record({
    shards: fc.integer({ min: 1, max: 40 }),
    alpha: fc.double({ min: 0.001, max: 100, noNaN: true }),
    sizeAlpha: fc.option(fc.double({ min: 0.01, max: 100, noNaN: true }), { nil: undefined }),
    seed: fc.nat(),
    used: fc.integer({ min: 40, max: 400 }),
  });
  fc.assert(
    fc.property(arbitrary, ({ shards, alpha, sizeAlpha, seed, used }) => {
      const parts = dirichletShards(labels.subarray(0, used), shards, { alpha, sizeAlpha }, seed);
      const all = parts.flatMap((part) => Array.from(part));
      assert.is(parts.length, shards);
      assert.is(new Set(all).size, all.length);
      assert.ok(all.every((sample) => sample >= 0 && sample < used));
      if (sizeAlpha === undefined)
        assert.ok(parts.every((part) => part.length === Math.floor(used / shards)));
      else {
        assert.is(all.length, used);
        assert.ok(parts.every((part) => part.length >= 1));
      }
    }),
    { numRuns: 60 },
  );
});

test("a small alpha gives shards of few classes, a large one shards like the whole", () => {
  const at = (alpha: number) =>
    dominance([1, 2, 3].flatMap((seed) => dirichletShards(labels, 20, { alpha }, seed)));
  const [few, some, all] = [at(0.1), at(10), at(1e6)];
  console.log(
    `largest class of a shard: ${few.toFixed(2)} (0.1), ${some.toFixed(2)} (10), ${all.toFixed(2)} (1e6)`,
  );
  assert.ok(few > 0.6 && some < 0.4 && some > all && all < 0.2, `${few} ${some} ${all}`);
});

test("the first shard's classes have the variance of Dirichlet-multinomial draws", () => {
  // Of n draws with concentration A and part p: variance n p (1 - p) (n + A) / (1 + A). The pool is large, so that
  // drawing without replacement changes little.
  const [n, A, p] = [20, 2, 1 / CLASSES];
  const counts = Array.from({ length: 600 }, (_, seed) => {
    const [first] = dirichletShards(labels.subarray(0, 2000), 100, { alpha: A }, seed);
    return first!.reduce((count, sample) => count + (labels[sample] === 0 ? 1 : 0), 0);
  });
  const mean = counts.reduce((sum, count) => sum + count, 0) / counts.length;
  const variance = counts.reduce((sum, count) => sum + (count - mean) ** 2, 0) / counts.length;
  const expected = (n * p * (1 - p) * (n + A)) / (1 + A);
  console.log(
    `mean ${mean.toFixed(2)} of ${n * p}, variance ${variance.toFixed(1)} of ${expected.toFixed(1)}`,
  );
  assert.ok(Math.abs(mean - n * p) < 0.5, `mean ${mean}`);
  assert.ok(Math.abs(variance / expected - 1) < 0.25, `variance ${variance}, expected ${expected}`);
});

test("sizes differ as sizeAlpha says", () => {
  const spread = (sizeAlpha: number) => {
    const sizes = dirichletShards(labels, 10, { alpha: 1, sizeAlpha }, 5).map(({ length }) => length);
    return Math.max(...sizes) / Math.min(...sizes);
  };
  assert.ok(spread(3) > 5 && spread(1e6) < 1.3, `${spread(3)} ${spread(1e6)}`);
});

test("the same seed gives the same shards, another one others; too many shards are refused", () => {
  const of = (seed: number) => dirichletShards(labels, 7, { alpha: 0.5 }, seed).map((part) => part.join());
  assert.equal(of(3), of(3));
  assert.is.not(of(3).join("|"), of(4).join("|"));
  assert.throws(() => dirichletShards(labels.subarray(0, 3), 4, { alpha: 1 }, 0), /4 shards of 3 samples/);
});

test.run();
