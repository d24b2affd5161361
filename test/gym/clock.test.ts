/** Virtual time: inner steps, the network card, links in closed form, and who is too slow. */
import fc from "fast-check";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { SLOTS_PER_EXCHANGE } from "../../lib/engine/communicator.js";
import { PeerClock } from "../../lib/gym/clock.js";
import { VirtualNetwork } from "../../lib/gym/network.js";
import { PlanSets } from "../../lib/gym/plans.js";
import { fateOf, type PeerProfile, peerSchema, profilesOf } from "../../lib/gym/profile.js";
import { leftOut } from "../../lib/gym/slow.js";
import { CollectiveTimes } from "../../lib/gym/times.js";
import { plainRequest } from "../../lib/reduce/plan.js";

const seed = 11;
const exchange = (number: number) => number * SLOTS_PER_EXCHANGE;

const profileOf = (more: object): PeerProfile => profilesOf(peerSchema.parse(more))[0]!;

test("steps take seconds over speed, and longer in a slow round", () => {
  const clock = new PeerClock(profileOf({ secondsPerStep: 0.3, speed: 2 }).secondsPerStep);
  clock.computed(4);
  assert.is(clock.now, 600_000);
  clock.begin(10);
  clock.computed();
  assert.is(clock.now, 2_100_000);
  assert.is(clock.worked, 2_100_000);
});

test("an exchange waits for the card and for no inner step, and whoever uses it waits for its end", () => {
  const clock = new PeerClock(1);
  clock.computed();
  clock.began(exchange(0));
  clock.computed(3);
  assert.is(clock.ready(exchange(0)), 1_000_000);
  clock.finished(exchange(0), 9_000_000);
  clock.began(exchange(1));
  assert.is(clock.ready(exchange(1)), 9_000_000, "the card is busy");
  assert.is(clock.ready(exchange(0) + 1), 9_000_000, "an exchange's second collective follows its first");
  assert.is(clock.now, 4_000_000);
  clock.joined(exchange(0));
  assert.is(clock.now, 9_000_000);
  clock.finished(exchange(1), 9_500_000);
  clock.computed(2);
  clock.joined(exchange(1));
  assert.is(clock.now, 11_000_000, "hidden behind inner steps");
});

test("a clock's state is all of it", () => {
  const clock = new PeerClock(0.5);
  clock.come(3_000_000);
  clock.computed(3);
  clock.began(0);
  clock.finished(0, 8_000_000);
  const copy = new PeerClock(0.5, clock.state);
  assert.equal(
    [copy.now, copy.worked, copy.lived, copy.ready(0)],
    [4_500_000, 1_500_000, 1_500_000, 8_000_000],
  );
});

const ranks = (count: number) => Array.from({ length: count }, (_, rank) => rank);

function broadcastPlan(sets: PlanSets, count: number, elements: number) {
  const request = {
    ...plainRequest,
    collective: "broadcast",
    codec: "fp32",
    segmentElements: 1 << 20,
  } as const;
  return sets.get({ ...request, ranks: count, elements }, ranks(count));
}

test("a transfer takes its bytes over the slower side's rate, and the delay", async () => {
  const sets = new PlanSets();
  const network = new VirtualNetwork([
    profileOf({ upMbit: 8, downMbit: 80, delayMs: 30 }),
    profileOf({ upMbit: 8, downMbit: 80, delayMs: 50 }),
  ]);
  // A million bytes at a million bytes a second, 40 ms; a frame costs 5 microseconds.
  const [, finish] = await network.finishTimes(broadcastPlan(sets, 2, 250_000), [2_000_000, 2_000_000]);
  assert.ok(Math.abs(finish! - 3_040_000) < 3_000, `${finish}`);
  const [, late] = await network.finishTimes(broadcastPlan(sets, 2, 250_000), [2_000_000, 2_500_000]);
  assert.ok(late! >= 2_500_000);
  sets.close();
});

for (const codec of ["int8_block", "fp32"])
  test(`finish times depend on the differences of the ready times alone: ${codec}`, async () => {
    const sets = new PlanSets();
    const profiles = [
      ...profilesOf(peerSchema.parse({ count: 3, link: "home-10mbit" })),
      profileOf({ link: "mobile" }),
    ];
    const set = sets.get(
      {
        ...plainRequest,
        collective: "direct",
        codec,
        ranks: 4,
        elements: 10_000,
        segmentElements: 4096,
      },
      ranks(4),
    );
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.nat(1_000_000), { minLength: 4, maxLength: 4 }),
        fc.nat(1_000_000_000),
        async (ready, shift) => {
          const here = await new VirtualNetwork(profiles).finishTimes(set, ready);
          const there = await new VirtualNetwork(profiles).finishTimes(
            set,
            ready.map((time) => time + shift),
          );
          assert.equal(
            there,
            here.map((time) => time + shift),
          );
          assert.ok(here.every((time, rank) => time >= ready[rank]!));
        },
      ),
      { seed, numRuns: 40 },
    );
    sets.close();
  });

test("collectives are timed in the order of their exchanges, whichever is done first", async () => {
  const sets = new PlanSets();
  const plans = [400_000, 100_000, 1_000].map((elements) => broadcastPlan(sets, 2, elements));
  const profiles = profilesOf(peerSchema.parse({ count: 2, link: "10mbit" }));
  const outcomes: number[][] = [];
  for (const order of [
    [0, 1, 2],
    [2, 1, 0],
  ]) {
    const clocks = [new PeerClock(1), new PeerClock(1)];
    for (const number of ranks(3)) for (const clock of clocks) clock.began(exchange(number));
    const times = new CollectiveTimes(clocks, new VirtualNetwork(profiles));
    await Promise.all(order.map((number) => times.timed(exchange(number), plans[number]!)));
    outcomes.push(
      ranks(3).map((number) => {
        clocks[1]!.joined(exchange(number));
        return clocks[1]!.now;
      }),
    );
  }
  assert.equal(outcomes[0], outcomes[1]);
  const [first, second, third] = outcomes[0]!;
  assert.ok(first! > 1_280_000 && second! > first! && third! > second!, `${outcomes[0]}`);
  sets.close();
});

test("who ends too long after the median is left out, but not who was spared, and not too many", () => {
  const at = (...times: number[]) => times.map((time) => ({ at: time, spared: false }));
  assert.equal(leftOut(at(1, 2, 3, 50), 10, 1), [3]);
  assert.equal(leftOut(at(1, 2, 3, 50), 0, 1), []);
  assert.equal(leftOut(at(1, 2, 3, 50), 10, 4), []);
  assert.equal(leftOut([...at(1, 2, 3), { at: 50, spared: true }], 10, 1), []);
  assert.equal(leftOut(at(1, 50), 10, 1), [], "half of two is no majority");
});

test("fates are a function of seed, shard and round, as often as the profile says", () => {
  const profile = profileOf({ faults: { death: 0.2, slow: 0.5, slowFactor: 3 } });
  const fates = ranks(2000).map((round) => fateOf(profile, 5, 1, round));
  const deaths = fates.filter(({ death }) => death !== null).length;
  assert.ok(deaths > 330 && deaths < 470, `${deaths}`);
  const slow = fates.filter(({ slowness }) => slowness === 3).length;
  assert.ok(slow > 900 && slow < 1100, `${slow}`);
  assert.equal(
    fates.slice(0, 9),
    ranks(9).map((round) => fateOf(profile, 5, 1, round)),
  );
  assert.not.equal(
    fates.slice(0, 50),
    ranks(50).map((round) => fateOf(profile, 5, 2, round)),
  );
});

test.run();
