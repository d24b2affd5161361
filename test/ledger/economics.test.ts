/** The closed forms against simulations of the very draw, and against each other. */
import fc from "fast-check";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { drawChecks } from "../../lib/ledger/draw.js";
import {
  catchProbability,
  checkingPays,
  stakeNeeded,
  verificationOverhead,
  wrongUntilCaught,
} from "../../lib/ledger/economics.js";
import { hashOf } from "./rules-world.js";

test("the figures of the design: 5 % of checks finds 100 wrong units with 99.4 %, 135 with 99.9 %", () => {
  const odds = { ratePpm: 50_000 };
  assert.is(catchProbability(odds, 100).toFixed(3), "0.994");
  assert.is(wrongUntilCaught(odds, 0.999), 135);
  assert.is(catchProbability(odds, 134).toFixed(3), "0.999");
  assert.is(verificationOverhead(50_000, 1), 0.05);
  assert.is(verificationOverhead(250_000, 1, 1 / 25), 0.01);
});

test("the chance of being caught is that of the draw, within 1 %", () => {
  const wrong = 20;
  let caught = 0;
  const units = 10_000;
  for (let unit = 0; unit < units; unit += 1) {
    const checks = drawChecks({
      seed: hashOf(`seed ${unit}`),
      workers: ["aa"],
      verifiersByStake: new Map([["bb", 1n]]),
      transitions: wrong,
      ratePpm: () => 50_000,
      count: 1,
    });
    if (checks.length > 0) caught += 1;
  }
  // Four standard deviations are 1.9 %; the seeds are fixed, so this does not wander.
  assert.ok(Math.abs(caught / units - catchProbability({ ratePpm: 50_000 }, wrong)) < 0.01);
});

const million = 1_000_000n;

interface Terms {
  readonly gain: bigint;
  readonly reward: bigint;
  readonly ratePpm: number;
  readonly powerPpm: number;
  readonly slashPpm: number;
}

/** pq (S + R) >= (1 - pq) g, where S is what is slashed of the stake; everything times a million cubed. */
function honestyPays({ gain, reward, ratePpm, powerPpm, slashPpm }: Terms, stake: bigint): boolean {
  const odds = BigInt(ratePpm) * BigInt(powerPpm);
  const loss = stake * BigInt(slashPpm) + reward * million;
  return odds * loss >= (million ** 2n - odds) * gain * million;
}

test("stakeNeeded is the least stake with which honesty pays", () => {
  const amount = fc.bigInt({ min: 0n, max: 10n ** 12n });
  const ppm = fc.integer({ min: 1, max: 1_000_000 });
  fc.assert(
    fc.property(amount, amount, ppm, ppm, ppm, (gain, reward, ratePpm, powerPpm, slashPpm) => {
      const terms = { gain, reward, ratePpm, powerPpm, slashPpm };
      const stake = stakeNeeded(terms);
      assert.ok(honestyPays(terms, stake));
      if (stake > 0n && slashPpm === 1_000_000) assert.not.ok(honestyPays(terms, stake - 1n));
    }),
  );
  assert.is(stakeNeeded({ ratePpm: 50_000, gain: 10n }), 190n);
  assert.is(stakeNeeded({ ratePpm: 50_000, gain: 10n, reward: 100n, slashPpm: 500_000 }), 180n);
  assert.is(stakeNeeded({ ratePpm: 1_000_000, gain: 10n }), 0n);
  assert.throws(() => stakeNeeded({ ratePpm: 1, gain: 1n, slashPpm: 0 }), /nothing is slashed/);
  assert.throws(() => stakeNeeded({ ratePpm: 0, gain: 1n }), /rate is 0 ppm/);
});

test("one wrong step a unit is the worst case: with its stake, more wrong steps lose more", () => {
  const [rate, gain] = [0.05, 10];
  const stake = Number(stakeNeeded({ ratePpm: 50_000, gain: 10n }));
  for (const wrong of [1, 2, 5, 20, 100, 1000]) {
    const caught = catchProbability({ ratePpm: rate * 1e6 }, wrong);
    assert.ok(caught * stake >= (1 - caught) * wrong * gain - 1e-6, `${wrong}`);
  }
});

test("checking pays where prize and fine, weighed by planted errors, are worth the look", () => {
  const terms = { forcedPpm: 10_000, prize: 50n, fine: 50n };
  assert.ok(checkingPays({ ...terms, cost: 1n }));
  assert.not.ok(checkingPays({ ...terms, cost: 2n }));
});

test.run();
