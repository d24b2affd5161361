/** What every strategy promises where a run is stopped and goes on, and where peers die, come and are late. */
import { test } from "uvu";
import * as assert from "uvu/assert";
import { SLOTS_PER_EXCHANGE } from "../../lib/engine/communicator.js";
import { type Case, cases } from "./cases.js";
import { expectEqual, withSwarm } from "./swarm.js";

async function checkRestore({ strategy }: Case): Promise<void> {
  for (const rounds of [1, 2]) {
    const { saved, later } = await withSwarm({ strategy }, async (swarm) => {
      await swarm.take(rounds);
      const snapshots = swarm.snapshots();
      await swarm.take(3);
      return { saved: snapshots, later: swarm.snapshots() };
    });
    await withSwarm({ strategy }, async (swarm) => {
      await swarm.restore(saved);
      await swarm.take(3);
      for (const [rank, { round, tensors }] of swarm.snapshots().entries()) {
        assert.is(round, later[rank]!.round);
        for (const [index, tensor] of tensors.entries())
          assert.ok(
            Buffer.compare(bytes(tensor), bytes(later[rank]!.tensors[index]!)) === 0,
            `tensor ${index} of rank ${rank} goes on from round ${rounds} as if it had never stopped`,
          );
      }
    });
  }
}

const bytes = ({ buffer, byteOffset, byteLength }: Float32Array) =>
  new Uint8Array(buffer, byteOffset, byteLength);

/** A round that a peer dies in ends as if it had not been there when it began. */
async function checkDeath({ strategy }: Case): Promise<void> {
  const exchanges = await withSwarm(
    { strategy },
    async ({ engines }) => engines[0]!.slotsPerRound / SLOTS_PER_EXCHANGE,
  );
  if (exchanges === 0) return;
  for (const dead of [0, 2]) {
    const without = await withSwarm({ strategy }, async (swarm) => {
      await swarm.take(2);
      const [gone] = swarm.peers.splice(dead, 1);
      await gone!.engine.close();
      await swarm.take(2);
      return swarm.digests();
    });
    for (const exchange of new Set([0, exchanges - 1]))
      await withSwarm({ strategy }, async (swarm) => {
        await swarm.take(2);
        assert.is(await swarm.takeWithDeath(dead, exchange), "3 of 3", "all others found out");
        expectEqual(swarm, "after a death");
        await swarm.take();
        assert.equal(swarm.digests(), without, `rank ${dead} died in exchange ${exchange}`);
      });
  }
}

async function checkJoin({ strategy }: Case): Promise<void> {
  await withSwarm({ strategy, peers: 3 }, async (swarm) => {
    await swarm.take(2);
    await swarm.join(await swarm.peer(6));
    expectEqual(swarm, "when a peer has joined");
    await swarm.take(2);
    expectEqual(swarm, "two rounds after a join");
    assert.is(swarm.round, 4);
    assert.ok((await swarm.loss()) < 3);
  });
}

/** A peer misses a round and comes back; what it had computed is in the next one, where the method keeps it. */
async function checkSlow({ strategy }: Case): Promise<void> {
  const outcome = async (keep: boolean) =>
    withSwarm({ strategy }, async (swarm) => {
      await swarm.take();
      const [slow] = swarm.peers.splice(1, 1);
      await swarm.take();
      const norm = await slow!.engine.carry();
      if (!keep) slow!.engine.dropCarried();
      await swarm.join(slow!);
      // One that comes by its own speed may not contribute at once.
      await swarm.take(2);
      expectEqual(swarm, "after a slow peer is back");
      return { norm, digests: swarm.digests() };
    });
  const kept = await outcome(true);
  const dropped = await outcome(false);
  assert.is(kept.norm === null, dropped.norm === null);
  if (kept.norm === null) assert.equal(kept.digests, dropped.digests);
  else {
    assert.ok(kept.norm > 0);
    assert.is.not(kept.digests.join(), dropped.digests.join(), "carried work counts");
  }
}

for (const one of cases) {
  test(`${one.name}: restored is never having stopped`, () => checkRestore(one));
  test(`${one.name}: a peer dies in a round`, () => checkDeath(one));
  test(`${one.name}: a peer joins`, () => checkJoin(one));
  test(`${one.name}: a peer is too slow for a round`, () => checkSlow(one));
}

test.run();
