/** Exchanges of gradients: data parallel training, feedback that loses nothing, DeMo's momentum and sign step, weights. */
import { test } from "uvu";
import * as assert from "uvu/assert";
import { createExchange } from "../../lib/engine/create.js";
import type { Recipe } from "../../lib/strategy/recipe.js";
import { failure } from "../failure.js";
import {
  applyOf,
  assertSame,
  beginOf,
  close,
  createMembers,
  createToy,
  finish,
  type Member,
  recipeOf,
  send,
  toyLayout,
} from "./exchanges.js";
import { contractiveCodecs } from "./group.js";

const ddp = recipeOf({ source: "gradient", outer: { kind: "inner" } });

const sent = (recipe: Recipe, up: string): Recipe => ({
  ...recipe,
  coding: { up, down: null, ownerFeedback: null },
  route: { kind: "gather" },
});

/** Gradients of all members at their step, as they came out of the trainers. */
async function gradientsAt(members: readonly Member[], step: number): Promise<Float32Array[]> {
  for (const { toy } of members) await toy.gradient({ step });
  return members.map(({ toy }) => toy.gradients.slice());
}

test("the mean takes the place of the gradient that the trainer's update takes, the same on all members", async () => {
  const members = await createMembers(ddp, 3);
  const gradients = await gradientsAt(members, 0);
  const flights = await send(members, beginOf(ddp, 0));
  for (const [rank, { toy }] of members.entries()) assertSame(toy.gradients, gradients[rank]!);
  await finish(members, flights, applyOf(0));
  const mean = gradients[0]!.map(
    (value, i) => Math.fround(Math.fround(value + gradients[1]![i]!) + gradients[2]![i]!) / 3,
  );
  for (const { toy } of members) assertSame(toy.gradients, mean);
  await close(members);
});

test("with weights a member with weight 0 counts for nothing, and what it owes stays", async () => {
  const recipe = sent({ ...ddp, feedback: { kind: "sender", decay: 1 } }, "topk:block=256,k=16");
  const members = await createMembers(recipe, 2);
  await gradientsAt(members, 0);
  await finish(members, await send(members, beginOf(recipe, 0)), applyOf(0));
  const owed = members.map(({ exchange }) => exchange.local[0]!.data.slice());
  await gradientsAt(members, 1);
  const gradient = members[0]!.toy.gradients.slice();
  const weights = [1, 0];
  await finish(members, await send(members, beginOf(recipe, 1, { weights })), applyOf(1, { weights }));
  const [left, idle] = members.map(({ exchange }) => exchange.local[0]!.data);
  assertSame(idle!, owed[1]!);
  // What came of the first member's is what left it.
  const came = gradient.map((value, i) => Math.fround(value + owed[0]![i]!) - left![i]!);
  for (const { toy } of members) assertSame(toy.gradients, came);
  await close(members);
});

const feedbackRecipes = contractiveCodecs.flatMap((up) => {
  const recipe: Recipe = { ...sent(ddp, up), feedback: { kind: "sender", decay: 1 } };
  const owned: Recipe = {
    ...recipe,
    route: { kind: "allReduce", collective: "direct" },
    coding: { up, down: "fp32", ownerFeedback: null },
  };
  return [recipe, owned];
});

for (const recipe of feedbackRecipes) {
  const { route, coding } = recipe;
  test(`${coding.up} by ${route.kind}: all that was applied and all residues sum to all gradients`, async () => {
    const members = await createMembers(recipe, 3);
    const balance = new Float64Array(toyLayout.elements);
    for (let step = 0; step < 10; step++) {
      for (const gradient of await gradientsAt(members, step))
        for (const [i, value] of gradient.entries()) balance[i]! += value;
      await finish(members, await send(members, beginOf(recipe, step)), applyOf(step));
      for (const [i, value] of members[0]!.toy.gradients.entries()) balance[i]! -= members.length * value;
    }
    for (const { exchange } of members)
      for (const [i, value] of exchange.local[0]!.data.entries()) balance[i]! -= value;
    const worst = Math.max(...balance.map(Math.abs));
    assert.ok(worst < 1e-4, `off by ${worst}`);
    await close(members);
  });
}

test("DeMo: what is sent leaves the momentum, parameters go by the sign of the mean, zero goes nowhere", async () => {
  const demo = recipeOf({
    source: "gradient",
    feedback: { kind: "momentum", decay: 0.5 },
    outer: { kind: "sign", weightDecay: 0.1 },
  });
  const recipe = sent(demo, "topk:block=256,k=32");
  const members = await createMembers(recipe, 2);
  const before = members[0]!.toy.parameters.slice();
  const [mine, other] = await gradientsAt(members, 0);
  await finish(members, await send(members, beginOf(recipe, 0)), applyOf(0, { learningRate: 0.01 }));
  const moments = members.map(({ exchange }) => exchange.local[0]!.data);
  const kept = before.map((value) => value * Math.fround(1 - Math.fround(0.01) * Math.fround(0.1)));
  let moved = 0;
  for (const [i, value] of members[0]!.toy.parameters.entries()) {
    const mean = mine![i]! - moments[0]![i]! + (other![i]! - moments[1]![i]!);
    if (mean !== 0) moved += 1;
    assert.ok(Math.abs(value - (kept[i]! - 0.01 * Math.sign(mean))) < 1e-6, `element ${i}`);
  }
  assert.ok(moved > 32 && moved < toyLayout.elements / 2);
  assertSame(members[1]!.toy.parameters, members[0]!.toy.parameters);
  const left = moments[0]!.slice();
  const [next] = await gradientsAt(members, 1);
  const flights = await send(members, beginOf(recipe, 1));
  await finish(members, flights, applyOf(1, { learningRate: 0 }));
  for (const [i, value] of moments[0]!.entries()) {
    const grown = Math.fround(0.5 * left[i]! + next![i]!);
    assert.ok(value === 0 || Math.abs(value - grown) < 1e-6, `element ${i}`);
  }
  await close(members);
});

test("without coding, momentum and sign, DeMo's exchange is SGD on the mean gradient", async () => {
  const recipe = sent(
    recipeOf({ source: "gradient", feedback: { kind: "momentum", decay: 0 }, outer: { kind: "sgd" } }),
    "topk:block=256,k=256",
  );
  const [members, plain] = [await createMembers(recipe, 2), await createMembers(ddp, 2)];
  for (let step = 0; step < 3; step++) {
    await gradientsAt(members, step);
    await finish(members, await send(members, beginOf(recipe, step)), applyOf(step, { learningRate: 0.1 }));
    await gradientsAt(plain, step);
    await finish(plain, await send(plain, beginOf(ddp, step)), applyOf(step));
    for (const { toy } of plain) await toy.update({ step });
    const [mine, theirs] = [members[1]!.toy.parameters, plain[1]!.toy.parameters];
    assert.ok(mine.every((value, i) => Math.abs(value - theirs[i]!) < 1e-6));
  }
  await close([...members, ...plain]);
});

test("a gradient that is no number stops its own peer, and a trainer without gradients is refused", async () => {
  const members = await createMembers(ddp, 2);
  members[0]!.toy.gradients[5] = Number.NaN;
  const { exchange, over } = members[0]!;
  assert.is((await failure(exchange.capture(beginOf(ddp, 0), over))).code, "ERR_DIVERGED");
  const { gradients: _, ...trainer } = await createToy(0);
  const create = async () => createExchange({ recipe: ddp, trainer, seed: 1, index: 0, threads: 1 });
  const error = await failure(create());
  assert.is(error.code, "ERR_CONFIG");
  assert.match(error.message, /gradients.*diloco/);
  await close(members);
});

test.run();
