/** Gossip: NoLoCo and sparse DiLoCo against their formulas, the mean that stays, and work that is carried. */
import { test } from "uvu";
import * as assert from "uvu/assert";
import type { Recipe } from "../../lib/strategy/recipe.js";
import { failure } from "../failure.js";
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
} from "./exchanges.js";

const noloco = recipeOf({
  source: "deltaAndAnchor",
  route: { kind: "mix", topology: "pairs" },
  outer: { kind: "noloco", alpha: 0.5, beta: 0.7, gamma: 0.7 },
  commit: { steps: 1, equal: false },
});

const sparse = (topology: string): Recipe =>
  recipeOf({
    source: "parameters",
    route: { kind: "mix", topology },
    outer: { kind: "nesterov" },
    commit: { steps: 1, equal: false },
  });

const diloco = recipeOf({ outer: { kind: "nesterov" } });

const state = ({ exchange }: Member, name: string) =>
  exchange.shared.find((tensor) => tensor.name === name)!.data;

async function train(members: readonly Member[], step: number): Promise<void> {
  for (const { toy } of members) await toy.step({ step });
}

const meanOf = (tensors: readonly Float32Array[]) =>
  Float64Array.from(
    tensors[0]!,
    (_, i) => tensors.reduce((sum, tensor) => sum + tensor[i]!, 0) / tensors.length,
  );

const farthest = (a: ArrayLike<number>, b: ArrayLike<number>) =>
  Math.max(...Array.from(a, (value, i) => Math.abs(value - b[i]!)));

test("NoLoCo: a pair's momentum and anchors are those of the formula", async () => {
  const members = await createMembers(noloco, 2);
  for (let step = 0; step < 3; step++) {
    await train(members, step);
    const anchors = members.map((member) => state(member, "anchor").slice());
    const momenta = members.map((member) => state(member, "momentum").slice());
    const deltas = members.map(({ toy }, rank) =>
      toy.parameters.map((value, i) => anchors[rank]![i]! - value),
    );
    const [delta, anchor] = [meanOf(deltas), meanOf(anchors)];
    const flights = await send(members, beginOf(noloco, step));
    assert.equal(flights[0]!.results, []);
    await finish(members, flights, applyOf(step));
    for (const [rank, member] of members.entries()) {
      const own = anchors[rank]!;
      const momentum = momenta[rank]!.map((m, i) => 0.5 * m + 0.7 * delta[i]! + 0.7 * (own[i]! - anchor[i]!));
      assert.ok(farthest(state(member, "momentum"), momentum) < 1e-5);
      const moved = own.map((value, i) => value - momentum[i]!);
      assert.ok(farthest(state(member, "anchor"), moved) < 1e-5);
      assertSame(member.toy.parameters, state(member, "anchor"));
    }
    // So that later steps begin from anchors that differ.
    if (step === 0) for (const [i] of anchors[0]!.entries()) state(members[1]!, "anchor")[i]! += i % 3;
  }
  await close(members);
});

test("NoLoCo of a pair that starts alike is DiLoCo with heavy-ball momentum, on both the same", async () => {
  const members = await createMembers(noloco, 2);
  const anchor = members[0]!.toy.parameters.slice();
  const momentum = new Float64Array(anchor.length);
  for (let step = 0; step < 3; step++) {
    await train(members, step);
    const mean = meanOf(members.map(({ toy }) => toy.parameters));
    for (const [i, value] of anchor.entries()) {
      momentum[i] = 0.5 * momentum[i]! + 0.7 * (value - mean[i]!);
      anchor[i]! -= momentum[i]!;
    }
    await finish(members, await send(members, beginOf(noloco, step)), applyOf(step));
    assertSame(members[1]!.toy.parameters, members[0]!.toy.parameters);
    assert.ok(farthest(members[0]!.toy.parameters, anchor) < 1e-5);
  }
  await close(members);
});

test("without training NoLoCo's anchors keep their mean and come together", async () => {
  const members = await createMembers(noloco, 4);
  for (const [rank, member] of members.entries())
    for (const tensor of [state(member, "anchor"), member.toy.parameters])
      for (const [i] of tensor.entries()) tensor[i]! += rank * ((i % 7) - 3);
  const spread = () => farthest(state(members[0]!, "anchor"), state(members[3]!, "anchor"));
  const mean = meanOf(members.map((member) => state(member, "anchor")));
  const before = spread();
  for (let exchange = 0; exchange < 12; exchange++)
    await finish(members, await send(members, beginOf(noloco, exchange)), applyOf(exchange));
  assert.ok(farthest(meanOf(members.map((member) => state(member, "anchor"))), mean) < 1e-5);
  assert.ok(spread() < before / 10, `${spread()} of ${before}`);
  await close(members);
});

test("sparse DiLoCo over plain averaging keeps the members' mean, and one peer of it is DiLoCo to the bit", async () => {
  const ring = sparse("ring");
  const members = await createMembers({ ...ring, outer: { kind: "sgd" } }, 5);
  await train(members, 0);
  const mean = meanOf(members.map(({ toy }) => toy.parameters));
  await finish(members, await send(members, beginOf(ring, 0)), applyOf(0));
  assert.ok(farthest(meanOf(members.map(({ toy }) => toy.parameters)), mean) < 1e-6);
  assert.not.equal(members[0]!.toy.parameters, members[2]!.toy.parameters);
  const [alone, reference] = [await createMembers(ring, 1), await createMembers(diloco, 1)];
  for (let step = 0; step < 3; step++) {
    const action = applyOf(step, { learningRate: 0.7, momentum: 0.9 });
    for (const one of [alone, reference]) await train(one, step);
    await finish(alone, await send(alone, beginOf(ring, step)), action);
    await finish(reference, await send(reference, beginOf(diloco, step)), action);
    assertSame(alone[0]!.toy.parameters, reference[0]!.toy.parameters);
  }
  await close([...members, ...alone, ...reference]);
});

test("sparse DiLoCo where all are neighbours is DiLoCo, but for rounding", async () => {
  const recipe = sparse("complete");
  const [members, reference] = [await createMembers(recipe, 4), await createMembers(diloco, 4)];
  for (let step = 0; step < 4; step++) {
    const action = applyOf(step, { learningRate: 0.7, momentum: 0.9 });
    for (const all of [members, reference]) await train(all, step);
    await finish(members, await send(members, beginOf(recipe, step)), action);
    await finish(reference, await send(reference, beginOf(diloco, step)), action);
  }
  assert.ok(farthest(members[2]!.toy.parameters, reference[2]!.toy.parameters) < 1e-5);
  await close([...members, ...reference]);
});

test("what a slow peer carries comes with its next contribution, once", async () => {
  for (const recipe of [sparse("complete"), noloco]) {
    const members = await createMembers(recipe, 2);
    const [slow] = members;
    const start = slow!.toy.parameters.slice();
    for (const [i] of start.entries()) slow!.toy.parameters[i]! -= 1;
    assert.ok(Math.abs((await slow!.exchange.carry!())! - Math.sqrt(start.length)) < 1e-3);
    slow!.toy.parameters.set(start);
    // Both directions carry the same: deltas of 1 and 0 have the mean 1/2.
    await finish(members, await send(members, beginOf(recipe, 1)), applyOf(1));
    const moved = recipe === noloco ? 0.35 : 0.5;
    for (const { toy } of members)
      assert.ok(
        farthest(
          toy.parameters,
          start.map((value) => value - moved),
        ) < 1e-5,
      );
    const after = members.map(({ toy }) => toy.parameters.slice());
    const momentum = recipe === noloco ? 0.5 * moved : 0;
    await finish(members, await send(members, beginOf(recipe, 2)), applyOf(2));
    for (const [rank, { toy }] of members.entries())
      assert.ok(
        farthest(
          toy.parameters,
          after[rank]!.map((value) => value - momentum),
        ) < 1e-5,
      );
    await close(members);
  }
});

test("a mix whose source and outer optimizer do not go together is refused", async () => {
  const error = await failure(createMembers({ ...noloco, source: "parameters" }, 1));
  assert.is(error.code, "ERR_CONFIG");
  assert.match(error.message, /mixes parameters with outer optimizer "noloco"/);
});

test.run();
