/** Exchanges of parameters: local SGD, SPARTA's shared draws, partitions, and what is kept of steps taken meanwhile. */
import { test } from "uvu";
import * as assert from "uvu/assert";
import { native } from "../../lib/native/load.js";
import type { Staleness } from "../../lib/strategy/recipe.js";
import {
  applyOf,
  assertSame,
  beginOf,
  close,
  createMembers,
  finish,
  type Member,
  recipeOf,
  send,
  toyLayout,
} from "./exchanges.js";

const averaging = recipeOf({ source: "parameters", outer: { kind: "replace" } });
const { elements } = toyLayout;

async function train(members: readonly Member[], step: number): Promise<void> {
  for (const { toy } of members) await toy.step({ step });
}

/** Where two members' parameters have the same bits. */
const equalAt = ([first, second]: readonly Member[]) =>
  [...first!.toy.parameters.keys()].filter((i) => first!.toy.parameters[i] === second!.toy.parameters[i]);

const meanAt = (tensors: readonly Float32Array[], i: number) =>
  Math.fround(tensors.reduce((sum, tensor) => Math.fround(sum + tensor[i]!), 0) / tensors.length);

test("local SGD: every member's parameters become the mean", async () => {
  const members = await createMembers(averaging, 3);
  await train(members, 0);
  const before = members.map(({ toy }) => toy.parameters.slice());
  await finish(members, await send(members, beginOf(averaging, 0)), applyOf(0));
  const mean = before[0]!.map((_, i) => meanAt(before, i));
  for (const { toy } of members) assertSame(toy.parameters, mean);
  await close(members);
});

test("SPARTA: the drawn elements are equal afterwards, all others stay, and each exchange draws others", async () => {
  const recipe = { ...averaging, fragments: { kind: "random", share: 0.05 } } as const;
  const members = await createMembers(recipe, 2);
  await train(members, 0);
  const count = Math.round(0.05 * elements);
  const drawn: number[][] = [];
  for (let exchange = 0; exchange < 2; exchange++) {
    const before = members.map(({ toy }) => toy.parameters.slice());
    await finish(members, await send(members, beginOf(recipe, exchange)), applyOf(exchange));
    const changed = equalAt(members);
    assert.is(changed.length, count);
    for (const [rank, { toy }] of members.entries())
      for (const [i, value] of toy.parameters.entries())
        assert.is(value, changed.includes(i) ? meanAt(before, i) : before[rank]![i]!);
    drawn.push(changed);
    await train(members, exchange + 1);
  }
  const indices = new Int32Array(count);
  await native.sampleIndices(1, 0, elements, indices);
  assert.equal(drawn[0], [...indices]);
  assert.not.equal(drawn[0], drawn[1]);
  await close(members);
});

test("SPARTA of all elements is averaging", async () => {
  const recipe = { ...averaging, fragments: { kind: "random", share: 1 } } as const;
  const [some, all] = [await createMembers(recipe, 2), await createMembers(averaging, 2)];
  for (const members of [some, all]) await train(members, 0);
  await finish(some, await send(some, beginOf(recipe, 0)), applyOf(0));
  await finish(all, await send(all, beginOf(averaging, 0)), applyOf(0));
  assertSame(some[0]!.toy.parameters, all[0]!.toy.parameters);
  await close([...some, ...all]);
});

test("the parts of a partition, one after another, make every element equal once", async () => {
  const recipe = { ...averaging, fragments: { kind: "partition", count: 7 } } as const;
  const members = await createMembers(recipe, 2);
  await train(members, 0);
  let equal = 0;
  for (let part = 0; part < 7; part++) {
    const flights = await send(members, beginOf(recipe, part, { fragment: part }));
    assert.is(
      flights[0]!.results[0]!.length,
      Math.floor((elements * (part + 1)) / 7) - Math.floor((elements * part) / 7),
    );
    await finish(members, flights, applyOf(part, { fragment: part }));
    assert.ok(equalAt(members).length > equal);
    equal = equalAt(members).length;
  }
  assert.is(equal, elements);
  await close(members);
});

test("steps taken while an exchange was on its way are kept, several exchanges may be, and mix keeps more of one's own", async () => {
  const staleness: Staleness = { kind: "overlap", steps: 2, mix: 0 };
  const recipe = { ...averaging, fragments: { kind: "random", share: 0.5 }, staleness } as const;
  const members = await createMembers(recipe, 2);
  await train(members, 0);
  const before = members.map(({ toy }) => toy.parameters.slice());
  const first = await send(members, beginOf(recipe, 0));
  await train(members, 1);
  const second = await send(members, beginOf(recipe, 1));
  const now = members.map(({ toy }) => toy.parameters.slice());
  await finish(members, first, applyOf(0, { mix: 0.25 }));
  const indices = new Int32Array(Math.round(0.5 * elements));
  await native.sampleIndices(1, 0, elements, indices);
  const drawn = new Set(indices);
  for (const [rank, { toy }] of members.entries())
    for (const [i, value] of toy.parameters.entries()) {
      const own = now[rank]![i]!;
      const corrected = meanAt(before, i) + (own - before[rank]![i]!);
      const expected = drawn.has(i) ? 0.25 * own + 0.75 * corrected : own;
      assert.ok(Math.abs(value - expected) < 1e-6, `element ${i}: ${value}, not ${expected}`);
    }
  // The second one left later, and without mix nothing but the correction counts.
  const later = members.map(({ toy }) => toy.parameters.slice());
  await finish(members, second, applyOf(1));
  await native.sampleIndices(1, 16, elements, indices);
  for (const [rank, { toy }] of members.entries())
    for (const i of indices) {
      const expected = meanAt(now, i) + (later[rank]![i]! - now[rank]![i]!);
      assert.ok(Math.abs(toy.parameters[i]! - expected) < 1e-6, `element ${i}`);
    }
  await close(members);
});

test.run();
