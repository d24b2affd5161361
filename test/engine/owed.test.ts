/** What feedback owes over rounds: what was sent is owed no more once it counts, and goes on being owed until then. */
import { test } from "uvu";
import * as assert from "uvu/assert";
import type { Engine } from "../../lib/engine/engine.js";
import { createStrategies } from "../../lib/strategy/registry.js";
import type { Strategy } from "../../lib/strategy/strategy.js";
import { createGroup } from "./group.js";
import { close, engines, enginesOf, failing, round } from "./rounds.js";

test("what feedback owed before an attempt that failed half way is owed by a peer that is given a later state", async () => {
  const section = { name: "ddp", commitSteps: 3, codec: "topk:block=64,k=8", feedback: "sender" };
  const group = await engines(section, 2);
  await round(group);
  const [peer, other] = group;
  const owed = () => peer!.local.find(({ name }) => name.endsWith("feedback"))!.data;
  const before = owed().slice();
  assert.ok(before.some((value) => value !== 0));
  const two = createGroup(2);
  const attempts = group.map((engine, rank) => engine.exchange(failing(two[rank]!, 1)));
  assert.ok((await Promise.allSettled(attempts)).every(({ status }) => status === "rejected"));
  assert.not.equal(owed(), before);
  await round([other!]);
  await peer!.adopt(2, async (shared) => {
    for (const [index, { data }] of shared.entries()) data.set(other!.shared[index]!.data);
  });
  assert.equal(owed(), before);
  await close(group);
});

const ownerFeedback = { codec: "int4_block", downCodec: "int4_block", ownerFeedback: 1 };

/** What feedback of a peer owes, a copy. */
const owedBy = ({ local }: Engine) =>
  local.filter(({ name }) => /owner|feedback/.test(name)).map(({ data }) => data.slice());

for (const section of [
  { name: "diloco", innerSteps: 2, ...ownerFeedback },
  { name: "ddp", codec: "topk:block=64,k=8", feedback: "sender" },
])
  test(`${section.name}: a peer that missed the commit of what it sent does not owe it again`, async () => {
    const group = await engines(section, 3);
    const alike = await engines(section, 3);
    for (const one of [group, alike]) {
      await round(one);
      const communicators = createGroup(3);
      await Promise.all(one.map((engine, rank) => engine.exchange(communicators[rank]!)));
    }
    await Promise.all(alike.map((engine) => engine.apply()));
    const [missed, ...others] = group;
    await Promise.all(others.map((engine) => engine.apply()));
    const before = owedBy(missed!);
    missed!.dropCarried();
    await missed!.adopt(2, async (shared) => {
      for (const [index, { data }] of shared.entries()) data.set(others[0]!.shared[index]!.data);
    });
    const expected = owedBy(alike[0]!);
    assert.is(expected.length, 1);
    assert.not.equal(before, expected, "the round changed what is owed");
    assert.equal(owedBy(missed!), expected);
    await Promise.all([close(group), close(alike)]);
  });

/** Two fragments that are sent and applied together at the round's end, of which one collective may fail. */
function fragmentsTogether(): Strategy {
  const section = {
    name: "streaming-diloco",
    innerSteps: 2,
    fragments: 2,
    overlapSteps: 0,
    ...ownerFeedback,
  };
  const [inTurn] = createStrategies(section);
  const kinds = ["begin", "apply", "commit"] as const;
  return {
    ...inTurn!,
    actions(step, view) {
      if (step === 0 || step % 2 !== 0) return [];
      const all = [step - 1, step].flatMap((turn) => inTurn!.actions(turn, view));
      return kinds.flatMap((kind) => all.filter((action) => action.kind === kind));
    },
  };
}

test("a peer whose attempt failed half way goes on owing what it owed", async () => {
  const group = await enginesOf([fragmentsTogether()], 2);
  await round(group);
  const before = group.map(owedBy);
  assert.is(before[0]!.length, 2);
  assert.ok(before.flat(2).every((owed) => owed.some((value) => value !== 0)));
  const two = createGroup(2);
  const attempts = group.map((engine, rank) => engine.exchange(failing(two[rank]!, 1)));
  assert.ok((await Promise.allSettled(attempts)).every(({ status }) => status === "rejected"));
  for (const engine of group) engine.dropCarried();
  assert.equal(group.map(owedBy), before);
  await close(group);
});

test.run();
