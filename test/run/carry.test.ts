/** Work of rounds that a peer was too slow for: it reaches one result, never two, whatever ends a round for this peer. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { GradmeshError } from "../../lib/base/errors.js";
import { createOnePeer, viewOf } from "./one-peer.js";

const folder = await mkdtemp(join(tmpdir(), "gradmesh-carry-"));
test.after(() => rm(folder, { recursive: true, force: true }));

/** One step a round, so that its pseudo-gradient is 1. */
const strategy = {
  innerSteps: 1,
  outerLearningRate: 1,
  momentumStart: 0,
  momentumEnd: 0,
  codec: "fp32",
};

/** How the all-reduce of a view ends. */
type Ending = "done" | "failed" | "left out while it trains" | "left out at once after";

async function createPeer(onLoss: "exact" | "salvage") {
  let ending: Ending = "done";
  let controller = new AbortController();
  const voidView = () => controller.abort(new GradmeshError("ERR_ABORTED", "the view is void"));
  const finished = () => {
    if (ending === "left out while it trains") voidView();
  };
  /** What this peer contributed to the last all-reduce; null: it came to none. */
  let sent: number | null = null;
  const peer = await createOnePeer(
    folder,
    { strategy, network: { onLoss, slowLimitMs: 100 } },
    {
      async allReduce({ input, output }) {
        sent = input[0]!;
        if (ending === "failed") throw new GradmeshError("ERR_PEER_LOST", "lost");
        if (ending === "left out at once after") {
          voidView();
          throw new GradmeshError("ERR_ABORTED", "the view is void");
        }
        output.set(input);
      },
    },
    { finished },
  );
  const { replica, exchange, events } = peer;
  let epoch = 0;
  return {
    replica,
    events,
    close: () => replica.close(),
    /** One view of the round that the replica stands at; what the peer contributed. */
    async round(how: Ending): Promise<number | null> {
      ending = how;
      epoch += 1;
      sent = null;
      controller = new AbortController();
      await exchange.run(viewOf({ epoch, round: replica.standing.round, signal: controller.signal }));
      return sent;
    },
    /** The others went on without this peer: it has the same state as one of the next round. */
    async missed(): Promise<void> {
      await replica.adopt(replica.standing.round + 1, async () => {});
    },
  };
}

for (const onLoss of ["exact", "salvage"] as const)
  test(`${onLoss}: work that nobody was sent is added to the next contribution, once`, async () => {
    const { replica, events, round, missed, close } = await createPeer(onLoss);
    assert.is(await round("left out while it trains"), null);
    await missed();
    assert.is(await round("left out while it trains"), null);
    await missed();
    assert.is(await round("done"), 3, "three rounds of one step's pseudo-gradient each");
    await replica.apply();
    assert.is(await round("done"), 1, "no longer");
    const carried = events.filter((event) => event.type === "carried");
    assert.equal(
      carried.map(({ from, into, steps, norm }) => [from, into, steps, norm]),
      [
        [0, 1, 1, 1],
        [1, 2, 1, 2],
      ],
    );
    await close();
  });

test("exact: a round that ended before this peer had voted cannot have its work", async () => {
  const { round, missed, close } = await createPeer("exact");
  assert.is(await round("left out at once after"), 1);
  await missed();
  assert.is(await round("failed"), 2);
  await missed();
  assert.is(await round("done"), 3);
  await close();
});

test("salvage: a round that others may finish with this peer's work is not sent it again", async () => {
  const { round, missed, close } = await createPeer("salvage");
  await round("left out while it trains");
  await missed();
  assert.is(await round("left out at once after"), 2);
  await missed();
  assert.is(await round("done"), 1);
  await close();
});

test("a commit that this peer never heard of may have what it had carried: that is not sent again", async () => {
  const { round, missed, close } = await createPeer("exact");
  await round("left out while it trains");
  await missed();
  assert.is(await round("done"), 2, "voted; the commit is lost with the connection");
  await missed();
  assert.is(await round("done"), 1);
  await close();
});

test.run();
