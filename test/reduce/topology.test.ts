/** Topologies through the addon; what they decide is tested natively. */
import { test } from "uvu";
import * as assert from "uvu/assert";
import {
  describeMixing,
  findIslands,
  type LinkMatrix,
  mixingNeighbours,
  ringOrder,
} from "../../lib/reduce/topology.js";

/** Two sites of two ranks, 40 ms apart; rank 3 sends slowly to all but rank 0. */
function twoSites(): LinkMatrix {
  const ranks = 4;
  const bandwidth = new Float64Array(ranks * ranks).fill(1e8);
  const latency = new Float64Array(ranks * ranks);
  for (let from = 0; from < ranks; from++)
    for (let to = 0; to < ranks; to++) latency[from * ranks + to] = from % 2 === to % 2 ? 2e-4 : 0.04;
  for (const to of [1, 2]) bandwidth[3 * ranks + to] = 1e6;
  return { ranks, bandwidth, latency };
}

async function refused(work: () => unknown, pattern: RegExp): Promise<void> {
  try {
    await work();
  } catch (error) {
    assert.is((error as { code?: string }).code, "ERR_INVALID_ARGUMENT");
    assert.match((error as Error).message, pattern);
    return;
  }
  assert.unreachable(`not refused; expected ${pattern}`);
}

test("an exact graph says so, and its rounds are those of its neighbours", async () => {
  const { spec, period, exact, gap, errors, messagesMax } = await describeMixing("base:k=1", 6, 8);
  assert.equal([spec, exact, gap, messagesMax], ["base", true, 1, 1]);
  assert.is(errors.length, 8);
  let values = [5, -3, 8, 0, 1, 1];
  for (let round = 0; round < period; round++)
    values = values.map((value, rank) => {
      const { self, in: from } = mixingNeighbours("base", 6, round, rank);
      return from.reduce((sum, [other, weight]) => sum + weight * values[other]!, self * value);
    });
  for (const value of values) assert.ok(Math.abs(value - 2) < 1e-12, `${value}`);
});

test("who sends to a rank is who it takes from", () => {
  for (const spec of ["regular:degree=3,seed=7", "pairs", "one_peer_exponential"])
    for (let rank = 0; rank < 12; rank++)
      for (const [other] of mixingNeighbours(spec, 12, 5, rank).in)
        assert.ok(mixingNeighbours(spec, 12, 5, other).out.includes(rank));
});

test("a ring avoids the slow direction, and sites are islands", async () => {
  const { order, slowestHop, bound, exact } = await ringOrder(twoSites());
  assert.is(order[(order.indexOf(3) + 1) % 4], 0);
  assert.equal([slowestHop, bound, exact], [1e8, 1e8, true]);
  assert.equal(findIslands(twoSites()), {
    threshold: 1e-3,
    islands: [
      { members: [0, 2], leader: 0 },
      { members: [1, 3], leader: 1 },
    ],
  });
});

test("what cannot be is refused by name", async () => {
  await refused(
    () => describeMixing("regular:degre=3", 8, 1),
    /no option "degre"; allowed: "degree", "seed"/,
  );
  await refused(() => describeMixing("ring", 8, 0), /rounds is 0; allowed: 1 to 32768/);
  await refused(() => mixingNeighbours("ring", 8, 0, 8), /rank is 8; allowed: less than the ranks, 8/);
  await refused(() => ringOrder({ ...twoSites(), ranks: 3 }), /bandwidth has 16 entries; 3 ranks take 9/);
  await refused(() => findIslands(twoSites(), -1), /threshold is -1 seconds/);
});

test.run();
