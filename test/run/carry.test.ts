/** Work of rounds that a peer was too slow for: it reaches one result, never two, whatever ends a round for this peer. */
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { GradmeshError } from "../../lib/base/errors.js";
import type { LiveView, Member } from "../../lib/group/member.js";
import type { Reducer } from "../../lib/reduce/all-reduce.js";
import { parseConfig } from "../../lib/run/config.js";
import type { RunEvent } from "../../lib/run/events.js";
import { Exchange } from "../../lib/run/exchange.js";
import { Replica } from "../../lib/run/replica.js";

const folder = await mkdtemp(join(tmpdir(), "gradmesh-carry-"));
test.after(() => rm(folder, { recursive: true, force: true }));

/** Every step takes 1 from the only parameter, so a round's pseudo-gradient is 1. */
await writeFile(
  join(folder, "trainer.mjs"),
  `export const createTrainer = async (_, parameters = new Float32Array(1)) => ({
    layout: { elements: 1, tensors: () => [] },
    parameters,
    innerState: [],
    fingerprint: "carry-1",
    step: async () => { parameters[0] -= 1; return { loss: 1, tokens: 1 }; },
    evaluate: async () => ({ loss: 1 }),
    close() {},
  });`,
);

/** How the all-reduce of a view ends. */
type Ending = "done" | "failed" | "left out while it trains" | "left out at once after";

async function createPeer(onLoss: "exact" | "salvage") {
  const config = parseConfig({
    trainer: { module: "./trainer.mjs" },
    strategy: { innerSteps: 1, outerLearningRate: 1, momentumStart: 0, momentumEnd: 0 },
    network: { onLoss, slowLimitMs: 100 },
  });
  const replica = await Replica.create({ config, shard: 0, threads: 1, folder });
  const events: RunEvent[] = [];
  let ending: Ending = "done";
  let controller = new AbortController();
  const voidView = () => controller.abort(new GradmeshError("ERR_ABORTED", "the view is void"));
  const member = {
    vote: () => {},
    finished: () => {
      if (ending === "left out while it trains") voidView();
    },
  };
  const reducer = {
    async allReduce() {
      if (ending === "failed") throw new GradmeshError("ERR_PEER_LOST", "lost");
      if (ending === "left out at once after") {
        voidView();
        throw new GradmeshError("ERR_ABORTED", "the view is void");
      }
      replica.mean.set(replica.delta);
      return { bytesSent: 0, bytesFraming: 0, bytesReceived: 0, seconds: 0, steps: 0 };
    },
  };
  const exchange = new Exchange({
    replica,
    reducer: reducer as unknown as Reducer,
    endpoint: { finished: () => [] } as never,
    member: member as unknown as Member,
    self: "me",
    network: config.network,
    prober: { resume() {}, pause() {}, close() {} },
    fault: null,
    emit: (event) => void events.push(event),
  });
  let epoch = 0;
  return {
    replica,
    events,
    /** One view of the round that the replica stands at; what the peer contributed. */
    async round(how: Ending): Promise<number> {
      ending = how;
      epoch += 1;
      controller = new AbortController();
      const members = [{ peerId: "me", addresses: [], shard: 0, dialable: true }];
      const { round } = replica.standing;
      const view = { type: "view", epoch, round, members, sync: null, again: false, links: null } as const;
      await exchange.run({ ...view, members: [...members], signal: controller.signal } as LiveView);
      return replica.delta[0]!;
    },
    /** The others went on without this peer: it has the same state as one of the next round. */
    async missed(): Promise<void> {
      await replica.adopt(replica.standing.round + 1, async () => {});
    },
  };
}

for (const onLoss of ["exact", "salvage"] as const)
  test(`${onLoss}: work that nobody was sent is added to the next contribution, once`, async () => {
    const { replica, events, round, missed } = await createPeer(onLoss);
    assert.is(await round("left out while it trains"), 1, "one step's pseudo-gradient");
    await missed();
    assert.is(await round("left out while it trains"), 2);
    await missed();
    assert.is(await round("done"), 3, "two rounds of it");
    await replica.apply();
    assert.is(await round("done"), 1, "no longer");
    assert.is(events.filter(({ type }) => type === "carried").length, 2);
    await replica.close();
  });

test("exact: a round that ended before this peer had voted cannot have its work", async () => {
  const { replica, round, missed } = await createPeer("exact");
  assert.is(await round("left out at once after"), 1);
  await missed();
  assert.is(await round("failed"), 2);
  await missed();
  assert.is(await round("done"), 3);
  await replica.close();
});

test("salvage: a round that others may finish with this peer's work is not sent it again", async () => {
  const { replica, round, missed } = await createPeer("salvage");
  await round("left out while it trains");
  await missed();
  assert.is(await round("left out at once after"), 2);
  await missed();
  assert.is(await round("done"), 1);
  await replica.close();
});

test("a commit that this peer never heard of may have what it had carried: that is not sent again", async () => {
  const { replica, round, missed } = await createPeer("exact");
  await round("left out while it trains");
  await missed();
  assert.is(await round("done"), 2, "voted; the commit is lost with the connection");
  await missed();
  assert.is(await round("done"), 1);
  await replica.close();
});

test.run();
