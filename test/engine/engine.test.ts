/** The engine's rounds: a failed attempt leaves nothing behind, and what waits for a commit waits. */
import { test } from "uvu";
import * as assert from "uvu/assert";
import type { GradmeshError } from "../../lib/base/errors.js";
import { SLOTS_PER_EXCHANGE } from "../../lib/engine/communicator.js";
import { Engine } from "../../lib/engine/engine.js";
import { Savepoint } from "../../lib/engine/savepoint.js";
import { piecesOf } from "../../lib/run/state-transfer.js";
import { createStrategies } from "../../lib/strategy/registry.js";
import { createToy } from "./exchanges.js";
import { createGroup } from "./group.js";
import { close, engines, failing, round } from "./rounds.js";

/** Strategies whose rounds have several exchanges, and one whose round has one. */
const sections: [string, unknown][] = [
  ["diloco", { name: "diloco", innerSteps: 2, codec: "int8_block" }],
  ["ddp", { name: "ddp", commitSteps: 3 }],
  ["ddp with feedback", { name: "ddp", commitSteps: 3, codec: "topk:block=64,k=8", feedback: "sender" }],
  ["demo", { name: "demo", commitSteps: 3 }],
  ["streaming", { name: "streaming-diloco", innerSteps: 6, fragments: 2, overlapSteps: 1 }],
  ["eager", { name: "eager-diloco", innerSteps: 2 }],
  ["sparta", { name: "sparta", commitEvery: 3, share: 0.1 }],
  ["noloco", { name: "noloco", innerSteps: 2, commitEvery: 2 }],
  [
    "sparta beside diloco",
    [
      { name: "sparta", interval: 2, share: 0.1 },
      { name: "diloco", innerSteps: 4, codec: "fp32" },
    ],
  ],
];

for (const [name, section] of sections)
  test(`${name}: a round that failed is begun again with fewer members as if it had been theirs alone`, async () => {
    const group = await engines(section, 4);
    const alone = await engines(section, 4);
    await round(group);
    await round(alone);
    // The first attempt fails on all of them, after one collective where there are several.
    const from = group[0]!.slotsPerRound > SLOTS_PER_EXCHANGE ? 1 : 0;
    const before = group.map((engine) => engine.standing);
    const four = createGroup(4);
    const outcomes = await Promise.allSettled(
      group.map((engine, rank) => engine.exchange(failing(four[rank]!, from))),
    );
    assert.ok(outcomes.every(({ status }) => status === "rejected"));
    assert.equal(
      group.map((engine) => engine.standing),
      before,
      "nothing is committed",
    );
    const survivors = group.slice(1);
    const expected = alone.slice(1);
    await round(survivors);
    await round(expected);
    assert.equal(
      survivors.map(({ standing }) => standing.stateDigest),
      expected.map(({ standing }) => standing.stateDigest),
    );
    await Promise.all([close(group), close(alone)]);
  });

for (const [name, section] of sections)
  test(`${name}: all members' shared state is the same bytes where the recipe says so`, async () => {
    const group = await engines(section, 3);
    for (const _ of [1, 2, 3]) await round(group);
    const digests = new Set(group.map(({ standing }) => standing.stateDigest));
    if (group[0]!.equal) assert.is(digests.size, 1);
    else assert.ok(digests.size > 1, "gossiping members differ");
    await close(group);
  });

test("until the commit, the shared state is that of the round's start", async () => {
  const group = await engines({ name: "diloco", innerSteps: 2, codec: "fp32" }, 2);
  const { shared } = group[0]!;
  const before = shared.map(({ data }) => data.slice());
  const communicators = createGroup(2);
  await Promise.all(group.map((engine, rank) => engine.exchange(communicators[rank]!)));
  for (const [index, { data }] of shared.entries()) assert.equal(data, before[index]);
  await Promise.all(group.map((engine) => engine.apply()));
  assert.not.equal(shared[0]!.data, before[0]);
  await close(group);
});

test("work that was carried is sent again by a round that is begun again, also where an apply had let go of it", async () => {
  const section = { name: "streaming-diloco", innerSteps: 6, fragments: 2, overlapSteps: 1, codec: "fp32" };
  const outcome = async (fails: boolean) => {
    const group = await engines(section, 3);
    const late = group[2]!;
    const inTime = group.slice(0, 2);
    await round(inTime);
    assert.ok((await late.carry())! > 0);
    await late.adopt(1, async (shared) => {
      for (const [index, { data }] of shared.entries()) data.set(inTime[0]!.shared[index]!.data);
    });
    if (fails) {
      const three = createGroup(3);
      // The first fragment is applied, the second one's collective fails.
      const attempts = group.map((engine, rank) => engine.exchange(failing(three[rank]!, 1)));
      assert.ok((await Promise.allSettled(attempts)).every(({ status }) => status === "rejected"));
    }
    await round(group);
    const digests = group.map(({ standing }) => standing.stateDigest);
    await close(group);
    return digests;
  };
  assert.equal(await outcome(true), await outcome(false));
});

test("a savepoint's copies are sent in the same pieces as the tensors themselves", () => {
  const memory = new Float32Array(9);
  const part = (begin: number, end: number) => ({
    name: `${begin}`,
    shape: [end - begin],
    data: memory.subarray(begin, end),
  });
  const tensors = [part(0, 2), part(2, 5), part(6, 9), { ...part(0, 4), data: new Float32Array(4) }];
  const savepoint = new Savepoint(tensors);
  memory.fill(1);
  savepoint.take();
  memory.fill(2);
  const copies = piecesOf(savepoint.copiesOf(tensors));
  assert.equal(
    copies.map(({ length }) => length),
    [5, 3, 4],
  );
  assert.equal([...copies[0]!], [1, 1, 1, 1, 1]);
  assert.equal(
    copies.map(({ length }) => length),
    piecesOf(tensors).map(({ length }) => length),
  );
});

test("PowerSGD: no part of a failed attempt's factors may be kept, since both belong together", async () => {
  const [engine] = await engines({ name: "ddp", powersgdRank: 1 }, 1);
  const [communicator] = createGroup(1);
  const last: boolean[] = [];
  await engine!.exchange({
    ...communicator!,
    view: communicator!.view,
    rank: 0,
    allReduce(call) {
      last.push(call.last);
      return communicator!.allReduce(call);
    },
  });
  assert.equal(last, [false, false]);
  await close([engine!]);
});

test("sparta whose exchanges follow each other without a gap: how often it commits changes no parameter", async () => {
  const digests: unknown[] = [];
  for (const commitEvery of [1, 4]) {
    const group = await engines(
      { name: "sparta", share: 1, interval: 2, overlapSteps: 2, commitEvery, codec: "fp32" },
      3,
    );
    for (let rounds = 0; rounds < 8 / commitEvery; rounds += 1) await round(group);
    digests.push(group.map(({ trainer }) => trainer.parameters.slice()));
    await close(group);
  }
  assert.equal(digests[1], digests[0]);
});

test("a trainer that offers only whole steps is told which strategies need more", async () => {
  const { gradient: _, update: __, gradients: ___, ...whole } = await createToy(0);
  const strategies = createStrategies({ name: "ddp" });
  try {
    await Engine.create({ trainer: whole, strategies, seed: 1, threads: 1 });
    assert.unreachable();
  } catch (error) {
    assert.match((error as Error).message, /gradient/);
  }
});

test("a watcher is refused where gradients are sent or changed, since it sees whole steps alone", async () => {
  const watcher = { draw: (step: number) => step, stepped: async () => {} };
  for (const section of [{ name: "ddp" }, { name: "fedprox" }]) {
    const [engine] = await engines(section, 1);
    assert.throws(
      () => engine!.watch(watcher),
      ({ code, message }: GradmeshError) =>
        code === "ERR_UNSUPPORTED" && message.includes(`strategy "${section.name}"`),
    );
    await engine!.close();
  }
  const [engine] = await engines({ name: "diloco", innerSteps: 2 }, 1);
  const seen: number[] = [];
  engine!.watch({ ...watcher, stepped: async (step) => void seen.push(step) });
  await engine!.train();
  assert.equal(seen, [0, 1]);
  await engine!.close();
});

test.run();
