/** The ensemble's loss against the definition in doubles, and what it must be at its ends. */
import fc from "fast-check";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { ensembleLoss } from "../../lib/trainer/ensemble.js";
import { failure } from "../failure.js";

/** Token by token: the prediction is the experts' mean by weights, which Bayes' rule then changes. */
function definition(losses: readonly Float32Array[], window: number): number {
  const tokens = losses[0]!.length;
  let sum = 0;
  for (let start = 0; start < tokens; start += window) {
    let weights = losses.map(() => 1 / losses.length);
    for (let token = start; token < start + window; token++) {
      const joint = losses.map((of, expert) => weights[expert]! * Math.exp(-of[token]!));
      const probability = joint.reduce((total, value) => total + value, 0);
      sum -= Math.log(probability);
      weights = joint.map((value) => value / probability);
    }
  }
  return sum / tokens;
}

test("it is the definition, for any experts, windows and domains", async () => {
  const shapes = fc.record({
    experts: fc.integer({ min: 1, max: 9 }),
    window: fc.integer({ min: 1, max: 12 }),
    domains: fc.integer({ min: 1, max: 3 }),
    windows: fc.integer({ min: 1, max: 6 }),
    seed: fc.nat(),
  });
  await fc.assert(
    fc.asyncProperty(shapes, async ({ experts, window, domains, windows, seed }) => {
      const tokens = window * domains * windows;
      const losses = Array.from({ length: experts }, (_, expert) =>
        Float32Array.from({ length: tokens }, (_, i) => 4 + 4 * Math.sin(seed + i * 1.7 + expert * 2.9)),
      );
      const actual = await ensembleLoss(losses, { window, domains });
      const part = tokens / domains;
      for (const [domain, value] of actual.domains.entries()) {
        const of = losses.map((values) => values.subarray(domain * part, (domain + 1) * part));
        assert.ok(Math.abs(value - definition(of, window)) < 2e-5, `${value}, not ${definition(of, window)}`);
      }
      const mean = actual.domains.reduce((sum, value) => sum + value, 0) / domains;
      assert.ok(Math.abs(actual.loss - mean) < 1e-12);
    }),
    { numRuns: 80 },
  );
});

test("one expert is itself, equal experts are one, and a window leaves the worse expert behind", async () => {
  const good = new Float32Array(64).fill(1);
  const bad = new Float32Array(64).fill(3);
  const near = (a: number, b: number) => assert.ok(Math.abs(a - b) < 1e-6, `${a} is not ${b}`);
  near((await ensembleLoss([good], { window: 1, domains: 1 })).loss, 1);
  near((await ensembleLoss([good, good, good], { window: 16, domains: 4 })).loss, 1);
  const apart = (await ensembleLoss([bad, good], { window: 1, domains: 1 })).loss;
  const together = (await ensembleLoss([bad, good], { window: 64, domains: 1 })).loss;
  near(together, 1 + Math.log(2) / 64);
  assert.ok(apart > 1.5 && apart < 3);
});

test("losses that do not fit are refused", async () => {
  const losses = [new Float32Array(10), new Float32Array(10)];
  for (const [given, options] of [
    [[], { window: 1, domains: 1 }],
    [losses, { window: 3, domains: 1 }],
    [losses, { window: 5, domains: 4 }],
    [losses, { window: 0, domains: 1 }],
    [[losses[0]!, new Float32Array(9)], { window: 1, domains: 1 }],
  ] as const)
    assert.is((await failure(ensembleLoss(given, options))).code, "ERR_INVALID_ARGUMENT");
});

test.run();
