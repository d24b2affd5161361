/** Chance in a verified run: as fair as its rates and stakes say, and the same for every peer. */
import { createHash } from "node:crypto";
import { test } from "uvu";
import * as assert from "uvu/assert";
import {
  beaconInput,
  beaconOf,
  type Check,
  type DrawOptions,
  dataSeed,
  drawChecks,
  drawSeed,
  skippedBeacon,
} from "../../lib/ledger/draw.js";
import type { Account } from "../../lib/ledger/events.js";

const hashOf = (text: string) => createHash("sha256").update(text).digest("hex");
const worker = hashOf("worker");
const certain = () => 1_000_000;

function draw(options: Partial<DrawOptions>): Check[] {
  return drawChecks({
    seed: hashOf("seed"),
    workers: [worker],
    verifiersByStake: new Map([[hashOf("verifier"), 1n]]),
    transitions: 1,
    ratePpm: certain,
    count: 1,
    ...options,
  });
}

/** How often each account is drawn over many transitions. */
function tally(
  stakes: ReadonlyMap<Account, bigint>,
  count: number,
  transitions: number,
): Map<Account, number> {
  const drawn = new Map([...stakes.keys()].map((account) => [account, 0]));
  for (const { verifier } of draw({ verifiersByStake: stakes, count, transitions }))
    drawn.set(verifier, drawn.get(verifier)! + 1);
  return drawn;
}

/** Pearson's statistic. Seeds are fixed, so a bound that holds once holds always. */
function chiSquare(observed: readonly number[], expected: readonly number[]): number {
  return observed.reduce((sum, count, index) => sum + (count - expected[index]!) ** 2 / expected[index]!, 0);
}

/** 99.9th percentile of the chi-square distribution with so many degrees of freedom (Wilson and Hilferty). */
function bound(degrees: number): number {
  const spread = 2 / (9 * degrees);
  return degrees * (1 - spread + 3.09 * Math.sqrt(spread)) ** 3;
}

const accounts = (name: string, count: number) =>
  Array.from({ length: count }, (_, index) => hashOf(`${name}${index}`));

test("a verifier is drawn in proportion to its stake, whatever the number of verifiers", () => {
  const stakes = new Map(accounts("v", 8).map((account, index) => [account, BigInt(1 + index) * 10n ** 18n]));
  for (const count of [1, 2, 3, 4]) {
    const transitions = 4500;
    const observed = tally(stakes, count, transitions);
    const expected = [...stakes.values()].map(
      (stake) => (transitions * count * Number(stake / 10n ** 18n)) / 36,
    );
    const statistic = chiSquare([...observed.values()], expected);
    assert.ok(statistic < bound(7), `${count} verifiers: ${statistic} is above ${bound(7)}`);
  }
});

test("threat 18: a stake split over 100 identities is drawn as often as when it was one", () => {
  const honest = accounts("honest", 4).map((account) => [account, 150n] as const);
  const transitions = 3000;
  const sybils = accounts("sybil", 100);
  for (const count of [1, 2]) {
    const whole = tally(new Map([...honest, [hashOf("one"), 400n]]), count, transitions).get(hashOf("one"))!;
    const split = tally(
      new Map([...honest, ...sybils.map((account) => [account, 4n] as const)]),
      count,
      transitions,
    );
    const ofSybils = sybils.reduce((sum, account) => sum + split.get(account)!, 0);
    const expected = transitions * count * 0.4;
    const others = transitions * count - expected;
    for (const drawn of [whole, ofSybils]) {
      const statistic = chiSquare([drawn, transitions * count - drawn], [expected, others]);
      assert.ok(statistic < bound(1), `${count} verifiers: drawn ${drawn}, expected ${expected}`);
    }
    // And no identity of the hundred is favoured.
    const each = sybils.map((account) => split.get(account)!);
    assert.ok(
      chiSquare(
        each,
        each.map(() => expected / 100),
      ) < bound(100),
    );
  }
});

test("any two verifiers can be drawn together, and none of the pairs is favoured", () => {
  const stakes = new Map(accounts("v", 8).map((account) => [account, 5n]));
  const pairs = new Map<string, number>();
  const drawn = Map.groupBy(
    draw({ verifiersByStake: stakes, count: 2, transitions: 5600 }),
    (check) => check.transition,
  );
  for (const checks of drawn.values()) {
    const pair = checks
      .map((check) => check.verifier)
      .sort()
      .join();
    pairs.set(pair, (pairs.get(pair) ?? 0) + 1);
  }
  assert.is(pairs.size, 28);
  const statistic = chiSquare([...pairs.values()], Array(28).fill(200));
  assert.ok(statistic < bound(27), `${statistic} is above ${bound(27)}`);
});

test("threat 18: an identity without stake is never drawn, however many there are", () => {
  const stakes = new Map<Account, bigint>([[hashOf("staked"), 1n]]);
  for (const account of accounts("empty", 500)) stakes.set(account, 0n);
  assert.equal(
    new Set(draw({ verifiersByStake: stakes, transitions: 50, count: 3 }).map((c) => c.verifier)),
    new Set([hashOf("staked")]),
  );
});

test("a transition is taken with its worker's rate", () => {
  const rates = new Map(
    accounts("w", 4).map((account, index) => [account, [0, 50_000, 500_000, 1_000_000][index]!]),
  );
  const transitions = 20_000;
  const checks = draw({ workers: [...rates.keys()], ratePpm: (account) => rates.get(account)!, transitions });
  for (const [account, rate] of rates) {
    const taken = checks.filter((check) => check.worker === account).length;
    const expected = (transitions * rate) / 1e6;
    if (rate === 0 || rate === 1_000_000) assert.is(taken, expected);
    else
      assert.ok(
        chiSquare([taken, transitions - taken], [expected, transitions - expected]) < bound(1),
        `${taken}`,
      );
  }
  const first = checks.filter((check) => check.transition === 1 || check.transition === transitions);
  assert.ok(first.length >= 2, "transitions are counted from 1 to the last");
});

test("verifiers of a transition differ, are never its worker, and are all there are where there are too few", () => {
  const all = accounts("v", 5);
  const stakes = new Map(all.map((account, index) => [account, BigInt(10 ** index)]));
  for (const count of [0, 1, 2, 3, 4, 5, 50]) {
    const checks = draw({ workers: all, verifiersByStake: stakes, transitions: 40, count });
    for (const one of all)
      for (let transition = 1; transition <= 40; transition += 1) {
        const drawn = checks.filter((check) => check.worker === one && check.transition === transition);
        assert.is(drawn.length, Math.min(count, 4));
        assert.is(new Set(drawn.map((check) => check.verifier)).size, drawn.length);
        assert.ok(drawn.every((check) => check.verifier !== one));
      }
  }
  assert.equal(draw({ verifiersByStake: new Map([[worker, 5n]]) }), []);
  assert.equal(draw({ verifiersByStake: new Map() }), []);
});

test("the draw depends on the seed and the facts alone, not on the order of anything", () => {
  const stakes = [...accounts("v", 20)].map((account, index) => [account, BigInt(index + 1)] as const);
  const workers = accounts("w", 5);
  const options = { workers, transitions: 20, ratePpm: () => 300_000, count: 3 };
  const checks = draw({ ...options, verifiersByStake: new Map(stakes) });
  assert.equal(draw({ ...options, verifiersByStake: new Map(stakes.toReversed()) }), checks);
  const key = (check: Check) => `${check.worker} ${check.transition} ${check.verifier}`;
  const turned = draw({ ...options, workers: workers.toReversed(), verifiersByStake: new Map(stakes) });
  assert.equal(turned.map(key).sort(), checks.map(key).sort());
  assert.not.equal(draw({ ...options, seed: hashOf("other"), verifiersByStake: new Map(stakes) }), checks);
});

test("impossible rates, stakes and counts are refused", () => {
  for (const rate of [-1, 1_000_001, 0.5, Number.NaN])
    assert.throws(() => draw({ ratePpm: () => rate }), /the rate of checks/);
  assert.throws(() => draw({ verifiersByStake: new Map([[worker, -1n]]) }), /the stake of/);
  assert.throws(() => draw({ count: -1 }), /the number of verifiers/);
});

test("threat 19: a beacon depends on ledger, round and the beacon before; a withheld one has one fallback", () => {
  const [ledger, previous] = [hashOf("ledger"), hashOf("previous")];
  const inputs = [
    beaconInput(ledger, previous, 1),
    beaconInput(ledger, previous, 2),
    beaconInput(hashOf("another"), previous, 1),
    beaconInput(ledger, hashOf("another"), 1),
    beaconInput(previous, ledger, 1),
  ].map((bytes) => Buffer.from(bytes).toString("hex"));
  assert.is(new Set(inputs).size, inputs.length);
  const output = "ab".repeat(64);
  const beacons = [beaconOf(output), skippedBeacon(previous, 1), skippedBeacon(previous, 2), previous];
  assert.is(new Set(beacons).size, beacons.length);
  for (const beacon of beacons) assert.match(beacon, /^[0-9a-f]{64}$/);
});

test("threat 19: the seed of the checks moves with the beacon and with every salt, their number and order", () => {
  const [a, b, c] = [hashOf("a"), hashOf("b"), hashOf("c")];
  const seeds = [
    drawSeed(a, []),
    drawSeed(a, [b]),
    drawSeed(a, [b, c]),
    drawSeed(a, [c, b]),
    drawSeed(b, [a, c]),
  ];
  assert.is(new Set(seeds).size, seeds.length);
});

test("the seed of a step's data is an integer below 2^53, different for every beacon, account and step, and even", () => {
  const seeds = new Set<number>();
  const bits = new Array<number>(53).fill(0);
  for (let step = 0; step < 4000; step += 1) {
    const seed = dataSeed(hashOf("beacon"), hashOf("account"), step);
    assert.ok(Number.isSafeInteger(seed) && seed >= 0 && seed < 2 ** 53);
    seeds.add(seed);
    for (let bit = 0; bit < 53; bit += 1) bits[bit]! += Math.floor(seed / 2 ** bit) % 2;
  }
  assert.is(seeds.size, 4000);
  for (const [bit, ones] of bits.entries())
    assert.ok(chiSquare([ones, 4000 - ones], [2000, 2000]) < bound(1) * 1.6, `bit ${bit}: ${ones}`);
  assert.is.not(
    dataSeed(hashOf("other"), hashOf("account"), 1),
    dataSeed(hashOf("beacon"), hashOf("account"), 1),
  );
  assert.is.not(
    dataSeed(hashOf("beacon"), hashOf("other"), 1),
    dataSeed(hashOf("beacon"), hashOf("account"), 1),
  );
});

test.run();
