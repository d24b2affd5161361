/** PowerSGD: what low rank can hold arrives whole, nothing is lost, tensors that are not factored go as they are. */
import { test } from "uvu";
import * as assert from "uvu/assert";
import { native } from "../../lib/native/load.js";
import { planFactors } from "../../lib/strategy/factors.js";
import {
  applyOf,
  assertSame,
  beginOf,
  close,
  createMembers,
  finish,
  type Member,
  normals,
  recipeOf,
  send,
  toyLayout,
} from "./exchanges.js";

const powersgd = (rank: number, feedback = true) =>
  recipeOf({
    source: "gradient",
    route: { kind: "powersgd", rank },
    feedback: feedback ? { kind: "sender", decay: 1 } : { kind: "none" },
    outer: { kind: "inner" },
  });

const meanOf = (tensors: readonly Float32Array[]) =>
  Float64Array.from(
    tensors[0]!,
    (_, i) => tensors.reduce((sum, tensor) => sum + tensor[i]!, 0) / tensors.length,
  );

const farthest = (a: ArrayLike<number>, b: ArrayLike<number>) =>
  Math.max(...Array.from(a, (value, i) => Math.abs(value - b[i]!)));

async function exchange(
  members: readonly Member[],
  step: number,
  rank: number,
  feedback = true,
): Promise<void> {
  const recipe = powersgd(rank, feedback);
  await finish(members, await send(members, beginOf(recipe, step)), applyOf(step));
}

/** Sums of `rank` outer products in every factored tensor, normals elsewhere. */
async function lowRankGradients(members: readonly Member[], rank: number): Promise<Float32Array[]> {
  const { factored } = planFactors(toyLayout, 4);
  assert.is(factored.length, 2);
  for (const [index, { toy }] of members.entries()) {
    toy.gradients.set(await normals(3, index, toyLayout.elements));
    for (const { slot, rows, columns } of factored) {
      const left = await normals(4, index, rank * rows);
      // The same on all members, so that the mean has the same rank.
      const right = await normals(5, 0, rank * columns);
      const matrix = toy.gradients.subarray(slot.offset, slot.offset + slot.elements);
      await native.lowrankExpand(left, right, rows, columns, rank, matrix);
    }
  }
  return members.map(({ toy }) => toy.gradients.slice());
}

test("gradients whose mean has that rank arrive whole, the same on all members", async () => {
  const members = await createMembers(powersgd(4), 3);
  const mean = meanOf(await lowRankGradients(members, 3));
  await exchange(members, 0, 4);
  for (const { toy } of members) {
    assert.ok(farthest(toy.gradients, mean) < 1e-4);
    assertSame(toy.gradients, members[0]!.toy.gradients);
  }
  // Whose rank was less than the factors': the direction that has become zero is drawn anew for the next.
  const next = meanOf(await lowRankGradients(members, 4));
  await exchange(members, 1, 4);
  assert.ok(farthest(members[0]!.toy.gradients, next) < 1e-4);
  await close(members);
});

test("after a gradient of zeros the iteration goes on", async () => {
  const members = await createMembers(powersgd(4), 2);
  for (const { toy } of members) toy.gradients.fill(0);
  await exchange(members, 0, 4);
  assert.ok(members[0]!.toy.gradients.every((value) => value === 0));
  const mean = meanOf(await lowRankGradients(members, 4));
  await exchange(members, 1, 4);
  assert.ok(farthest(members[1]!.toy.gradients, mean) < 1e-4);
  await close(members);
});

test("where factors would be no shorter it is data parallel training, to the bit", async () => {
  const ddp = recipeOf({ source: "gradient", outer: { kind: "inner" } });
  const [members, plain] = [await createMembers(powersgd(64), 2), await createMembers(ddp, 2)];
  assert.is(planFactors(toyLayout, 64).factored.length, 0);
  for (const all of [members, plain]) for (const { toy } of all) await toy.gradient({ step: 0 });
  await exchange(members, 0, 64);
  await finish(plain, await send(plain, beginOf(ddp, 0)), applyOf(0));
  assertSame(members[0]!.toy.gradients, plain[0]!.toy.gradients);
  assert.equal(members[0]!.exchange.local, []);
  await close([...members, ...plain]);
});

test("what was applied times the members, and their residues, sum to all gradients", async () => {
  const members = await createMembers(powersgd(2), 3);
  const balance = new Float64Array(toyLayout.elements);
  for (let step = 0; step < 8; step++) {
    for (const { toy } of members) {
      await toy.gradient({ step });
      for (const [i, value] of toy.gradients.entries()) balance[i]! += value;
    }
    await exchange(members, step, 2);
    for (const [i, value] of members[0]!.toy.gradients.entries()) balance[i]! -= members.length * value;
  }
  for (const member of members)
    for (const [i, value] of member.exchange.local[0]!.data.entries()) balance[i]! -= value;
  const worst = Math.max(...balance.map(Math.abs));
  assert.ok(worst < 1e-3, `off by ${worst}`);
  await close(members);
});

test("a gradient that stays is found better with each step: the iteration goes on from the last factors", async () => {
  const members = await createMembers(powersgd(1, false), 2);
  const gradients: Float32Array[] = [];
  for (const { toy, over } of members) gradients.push(await normals(6, over.rank, toy.gradients.length));
  const mean = meanOf(gradients);
  const { slot } = planFactors(toyLayout, 1).factored[0]!;
  const matrix = <T extends Float32Array | Float64Array>(bucket: T) =>
    bucket.subarray(slot.offset, slot.offset + slot.elements);
  const missing: number[] = [];
  for (let step = 0; step < 6; step++) {
    for (const [rank, { toy }] of members.entries()) toy.gradients.set(gradients[rank]!);
    await exchange(members, step, 1, false);
    const [got, wanted] = [matrix(members[0]!.toy.gradients), matrix(mean)];
    missing.push(Math.hypot(...got.map((value, i) => value - wanted[i]!)));
  }
  for (const [step, left] of missing.entries())
    assert.ok(step === 0 || left < missing[step - 1]!, `${missing}`);
  assert.equal(members[0]!.exchange.local, []);
  await close(members);
});

test.run();
