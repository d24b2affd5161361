/** What every strategy promises of a run without faults, on a toy network: its bytes, its bits, that the loss falls. */
import { test } from "uvu";
import * as assert from "uvu/assert";
import { createCollectiveCost } from "../../lib/strategy/cost.js";
import { strategies } from "../../lib/strategy/registry.js";
import { type Case, cases } from "./cases.js";
import { type Swarm, trajectory, withSwarm } from "./swarm.js";

test("the table has every strategy of the registry", () => {
  const named = new Set(
    cases
      .flatMap(({ strategy }) => strategy as { name: string } | { name: string }[])
      .map(({ name }) => name),
  );
  assert.equal([...named].toSorted(), Object.keys(strategies).toSorted());
});

const collectiveCost = createCollectiveCost();

/** Bytes that the recipes of a swarm say a rank sends in its next round. */
function priced(swarm: Swarm, rank: number): number {
  const { engines, view, round } = swarm;
  const { strategies: all, roundSteps, trainer } = engines[rank]!;
  const [from, to] = [round * roundSteps, (round + 1) * roundSteps];
  const question = { layout: trainer.layout, rank, view, from, to, collectiveCost };
  return all.reduce((sum, strategy) => sum + strategy.cost(question).bytesPerStep * roundSteps, 0);
}

async function checkBytes({ strategy }: Case): Promise<void> {
  await withSwarm({ strategy }, async (swarm) => {
    for (let round = 0; round < 4; round++) {
      const expected = swarm.peers.map((_, rank) => priced(swarm, rank));
      const sent = (await swarm.take()).map(({ bytesSent }) => bytesSent);
      assert.equal(sent, expected.map(Math.round), `bytes of round ${round}`);
    }
  });
}

async function checkSameAgain({ strategy }: Case): Promise<void> {
  const first = await trajectory({ strategy }, 3);
  assert.equal(await trajectory({ strategy, threads: 2 }, 3), first, "the same with more threads");
  assert.is(new Set(first.map((digests) => digests.join())).size, 3, "every round changes something");
}

async function checkConverges({ strategy, converges: { rounds, to } }: Case): Promise<void> {
  await withSwarm({ strategy }, async (swarm) => {
    const before = await swarm.loss();
    await swarm.take(rounds);
    const after = await swarm.loss();
    assert.ok(after <= to * before, `the loss went from ${before} to ${after}`);
  });
}

for (const one of cases) {
  test(`${one.name}: the bytes of every round and rank are those of cost()`, () => checkBytes(one));
  test(`${one.name}: the same bits again, and with more threads`, () => checkSameAgain(one));
  test(`${one.name}: the loss falls`, () => checkConverges(one));
}

test.run();
