/** What every exchange keeps: sending changes no state, can be done again, and saved tensors are all there is to restore. */
import { test } from "uvu";
import * as assert from "uvu/assert";
import type { Recipe } from "../../lib/strategy/recipe.js";
import {
  applyOf,
  assertSame,
  beginOf,
  close,
  communicate,
  createMembers,
  digestOf,
  finish,
  type Member,
  recipeOf,
  send,
} from "./exchanges.js";

const topk = { up: "topk:block=256,k=16,values=int8", down: null, ownerFeedback: null };
const gather = { kind: "gather" } as const;
const nesterov = { kind: "nesterov" } as const;
const unequal = { steps: 1, equal: false };

const recipes: Readonly<Record<string, Recipe>> = {
  "gradient with feedback": recipeOf({
    source: "gradient",
    feedback: { kind: "sender", decay: 0.9 },
    coding: topk,
    route: gather,
    outer: { kind: "inner" },
  }),
  "gradient with owner feedback": recipeOf({
    source: "gradient",
    coding: { up: "eden:block=256,bits=2", down: "int4_block", ownerFeedback: 0.9 },
    outer: { kind: "inner" },
  }),
  demo: recipeOf({
    source: "gradient",
    feedback: { kind: "momentum", decay: 0.9 },
    coding: { ...topk, up: "dct_topk:rows=16,columns=64,k=32,values=sign" },
    route: gather,
    outer: { kind: "sign", weightDecay: 0.1 },
  }),
  "gradient that outer optimizers step": recipeOf({ source: "gradient", outer: nesterov }),
  powersgd: recipeOf({
    source: "gradient",
    feedback: { kind: "sender", decay: 1 },
    route: { kind: "powersgd", rank: 2 },
    outer: { kind: "inner" },
  }),
  "local SGD": recipeOf({ source: "parameters", outer: { kind: "replace" } }),
  sparta: recipeOf({
    source: "parameters",
    fragments: { kind: "random", share: 0.1 },
    outer: { kind: "replace" },
  }),
  noloco: recipeOf({
    source: "deltaAndAnchor",
    route: { kind: "mix", topology: "pairs" },
    outer: { kind: "noloco", alpha: 0.5, beta: 0.7, gamma: 0.7 },
    commit: unequal,
  }),
  "sparse DiLoCo": recipeOf({
    source: "parameters",
    route: { kind: "mix", topology: "ring" },
    outer: nesterov,
    commit: unequal,
  }),
  eager: recipeOf({ outer: nesterov, staleness: { kind: "eager" }, commit: unequal }),
  "eager with feedback": recipeOf({
    feedback: { kind: "sender", decay: 0.95 },
    coding: topk,
    route: gather,
    outer: nesterov,
    staleness: { kind: "eager" },
    commit: unequal,
  }),
  delayed: recipeOf({ outer: nesterov, staleness: { kind: "delayed" } }),
  diloco: recipeOf({ outer: nesterov }),
};

/** More than a ring's neighbours, so that a mix is no mean. */
const MEMBERS = 5;

const action = (exchange: number) => applyOf(exchange, { learningRate: 0.5, momentum: 0.9 });

const digests = (members: readonly Member[]) => Promise.all(members.map(digestOf));

async function step(members: readonly Member[], recipe: Recipe, at: number): Promise<void> {
  const { source, outer } = recipe;
  for (const { toy } of members)
    await (source === "gradient" ? toy.gradient({ step: at }) : toy.step({ step: at }));
  await finish(members, await send(members, beginOf(recipe, at)), action(at));
  if (source === "gradient" && outer.kind === "inner")
    for (const { toy } of members) await toy.update({ step: at });
}

for (const [name, recipe] of Object.entries(recipes)) {
  test(`${name}: sending changes no state, and sending again gives the same result`, async () => {
    const [members, once] = [await createMembers(recipe, MEMBERS), await createMembers(recipe, MEMBERS)];
    for (const all of [members, once]) {
      for (let at = 0; at < 2; at++) await step(all, recipe, at);
      for (const { toy } of all) await toy.step({ step: 2 });
    }
    const before = await digests(members);
    await send(members, beginOf(recipe, 2));
    assert.equal(await digests(members), before);
    for (const all of [members, once]) await finish(all, await send(all, beginOf(recipe, 2)), action(2));
    assert.not.equal(await digests(members), before);
    assert.equal(await digests(members), await digests(once));
    await close([...members, ...once]);
  });

  test(`${name}: what was captured is sent, whatever happens to the tensors meanwhile`, async () => {
    const [members, spoilt] = [await createMembers(recipe, 2), await createMembers(recipe, 2)];
    const results: Float32Array[][] = [];
    for (const all of [members, spoilt]) {
      for (let at = 0; at < 2; at++) await step(all, recipe, at);
      for (const { toy } of all) await toy.step({ step: 2 });
      const begin = beginOf(recipe, 2);
      const flights = await Promise.all(all.map(({ exchange, over }) => exchange.capture(begin, over)));
      if (all === spoilt)
        for (const { toy } of all) for (const tensor of [toy.parameters, toy.gradients]) tensor.fill(3);
      await communicate(all, flights);
      results.push(flights.flatMap((flight) => flight.results.map((result) => result.slice())));
      // What has no common result shows in the anchors.
      if (recipe.route.kind !== "mix") continue;
      await finish(all, flights, action(2));
      results.at(-1)!.push(...all.map(({ toy }) => toy.parameters));
    }
    assert.ok(results[0]!.length > 0);
    for (const [index, result] of results[0]!.entries()) assertSame(result, results[1]![index]!);
    await close([...members, ...spoilt]);
  });

  test(`${name}: exchanges that got the saved tensors go on as if nothing had happened`, async () => {
    const members = await createMembers(recipe, MEMBERS);
    for (let at = 0; at < 3; at++) await step(members, recipe, at);
    const fresh = await createMembers(recipe, MEMBERS);
    for (const [rank, { toy, exchange }] of fresh.entries()) {
      const saved = members[rank]!;
      toy.parameters.set(saved.toy.parameters);
      for (const which of ["shared", "local"] as const)
        for (const [index, { data }] of exchange[which].entries())
          data.set(saved.exchange[which][index]!.data);
      await exchange.restored?.();
    }
    assert.equal(await digests(fresh), await digests(members));
    for (let at = 3; at < 5; at++) for (const all of [members, fresh]) await step(all, recipe, at);
    assert.equal(await digests(fresh), await digests(members));
    await close([...members, ...fresh]);
  });

  test(`${name}: where members promise to be equal, what they share is`, async () => {
    const members = await createMembers(recipe, MEMBERS);
    for (let at = 0; at < 3; at++) await step(members, recipe, at);
    const [first, ...others] = members.map(({ exchange }) => exchange.shared.map(({ data }) => data));
    const { equal } = recipe.commit;
    for (const other of others)
      assert.is(
        other.every((data, i) => same(data, first![i]!)),
        equal,
      );
    await close(members);
  });
}

const same = (a: Float32Array, b: Float32Array) => a.every((value, i) => Object.is(value, b[i]));

test.run();
