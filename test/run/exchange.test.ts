/** One peer's views: what a joining peer is sent, what counts as the network's failure, and what the round cost. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { GradmeshError } from "../../lib/base/errors.js";
import { failure } from "../failure.js";
import { createOnePeer, viewOf } from "./one-peer.js";

const folder = await mkdtemp(join(tmpdir(), "gradmesh-exchange-"));
test.after(() => rm(folder, { recursive: true, force: true }));

const lost = () =>
  new GradmeshError("ERR_PEER_LOST", "lost", { detail: { bytesSent: 100, peers: ["other"] } });

/** Strategies whose parameters move before the round's commit, and how many all-reduces go well before one fails. */
const moving: [name: string, strategy: object, before: number][] = [
  ["inner steps on the shared parameters", { name: "local-sgd", innerSteps: 3 }, 0],
  ["gradients applied in the middle of the round", { name: "ddp", commitSteps: 3 }, 2],
  ["what every member holds is the anchor", { name: "diloco", innerSteps: 3, codec: "fp32" }, 0],
];

for (const [name, strategy, before] of moving)
  test(`${name}: a view that begins the round again sends a joiner the round's start`, async () => {
    let calls = 0;
    let sent: number[] = [];
    const { replica, exchange } = await createOnePeer(
      folder,
      { strategy },
      {
        async allReduce({ input, output }) {
          calls += 1;
          if (calls > before && calls < 100) throw lost();
          output.set(input);
        },
        async broadcast({ input }) {
          sent = [...input];
        },
      },
    );
    const digest = replica.ownDigest;
    await exchange.run(viewOf({}));
    calls = 100;
    const sync = { source: "me", targets: ["other"] };
    await exchange.run(viewOf({ epoch: 2, again: true, sync }, ["other"]));
    assert.equal(sent, [0], "the first parameters");
    assert.is(replica.ownDigest, digest, "a round that did not commit changes nothing");
    await replica.apply();
    assert.is.not(replica.ownDigest, digest);
    await replica.close();
  });

test("a failed collective is a vote with its bytes; what a trainer or a NaN fails with is not", async () => {
  const votes: string[] = [];
  let how: "lost" | "nan" = "lost";
  const member = { vote: (vote: { outcome: string }) => void votes.push(vote.outcome) };
  const { replica, exchange } = await createOnePeer(
    folder,
    { strategy: { name: "local-sgd", innerSteps: 1 } },
    {
      async allReduce({ input, output }) {
        if (how === "lost") throw lost();
        output.set(input);
      },
    },
    member,
  );
  await exchange.run(viewOf({}));
  assert.equal(votes, ["failed"]);
  const { bytesSent, bytesRetried } = exchange.account;
  assert.equal([bytesSent, bytesRetried], [100, 100]);
  how = "nan";
  replica.engine.trainer.parameters[0] = Number.NaN;
  const error = await failure(exchange.run(viewOf({ epoch: 2, again: true })));
  assert.is(error.code, "ERR_DIVERGED");
  assert.match(error.message, /NaN or infinite elements/);
  assert.equal(votes, ["failed"]);
  await replica.close();
});

test("inner steps are told once, when the round has all of them", async () => {
  const { replica, exchange, events } = await createOnePeer(
    folder,
    { strategy: { name: "ddp", commitSteps: 3 } },
    { allReduce: async ({ input, output }) => output.set(input) },
  );
  await exchange.run(viewOf({}));
  await exchange.run(viewOf({ epoch: 2, again: true }));
  const told = events.filter((event) => event.type === "trained");
  assert.equal(
    told.map(({ steps, loss }) => [steps, loss]),
    [[3, 1]],
  );
  await replica.apply();
  assert.is(replica.engine.trainer.parameters[0], -3);
  await replica.close();
});

test.run();
