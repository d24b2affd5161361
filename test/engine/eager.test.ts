/** Outer steps that overlap a whole round: the degenerate cases, the formula, and the naive delay beside it. */
import { test } from "uvu";
import * as assert from "uvu/assert";
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

const diloco = recipeOf({ outer: { kind: "nesterov" } });
const eager = recipeOf({
  outer: { kind: "nesterov" },
  staleness: { kind: "eager" },
  commit: { steps: 1, equal: false },
});
const delayed = recipeOf({ outer: { kind: "nesterov" }, staleness: { kind: "delayed" } });

async function train(members: readonly Member[], step: number): Promise<void> {
  for (const { toy } of members) await toy.step({ step });
}

/** A round with a whole round's overlap: what the last one came to is sent before its steps, and used after them. */
async function overlappedRound(members: readonly Member[], round: number, recipe = eager): Promise<void> {
  const flights = await send(members, beginOf(recipe, round));
  await train(members, round);
  await finish(members, flights, applyOf(round, { learningRate: 0.7, momentum: 0.5 }));
}

test("with one peer eager is DiLoCo, to the bit", async () => {
  const [members, reference] = [await createMembers(eager, 1), await createMembers(diloco, 1)];
  for (let round = 0; round < 5; round++) {
    await overlappedRound(members, round);
    await train(reference, round);
    const action = applyOf(round, { learningRate: 0.7, momentum: 0.5 });
    await finish(reference, await send(reference, beginOf(diloco, round)), action);
    assertSame(members[0]!.toy.parameters, reference[0]!.toy.parameters);
  }
  await close([...members, ...reference]);
});

test("a peer's own part of the stale mean is exchanged for its newest, and nothing else", async () => {
  const members = await createMembers(eager, 3);
  const count = members[0]!.toy.parameters.length;
  const anchors = members.map(({ toy }) => Float64Array.from(toy.parameters));
  const momenta = members.map(() => new Float64Array(count));
  let last = members.map(() => new Float64Array(count));
  for (let round = 0; round < 4; round++) {
    const flights = await send(members, beginOf(eager, round));
    await train(members, round);
    const newest = members.map(({ toy }, rank) =>
      anchors[rank]!.map((value, i) => value - toy.parameters[i]!),
    );
    await finish(members, flights, applyOf(round, { learningRate: 0.7, momentum: 0.5 }));
    for (const [rank, { toy }] of members.entries()) {
      let worst = 0;
      for (let i = 0; i < count; i++) {
        const mean = last.reduce((sum, delta) => sum + delta[i]!, 0) / 3;
        const gradient = mean + (newest[rank]![i]! - last[rank]![i]!) / 3;
        momenta[rank]![i] = 0.5 * momenta[rank]![i]! + gradient;
        anchors[rank]![i]! -= 0.7 * (gradient + 0.5 * momenta[rank]![i]!);
        worst = Math.max(worst, Math.abs(toy.parameters[i]! - anchors[rank]![i]!));
      }
      assert.ok(worst < 1e-5, `round ${round}, member ${rank}: off by ${worst}`);
    }
    last = newest;
  }
  assert.not.equal(members[0]!.toy.parameters, members[1]!.toy.parameters);
  await close(members);
});

test("delayed: nothing happens in the first round, then each takes the round before, all the same", async () => {
  const members = await createMembers(delayed, 2);
  const start = members[0]!.toy.parameters.slice();
  await overlappedRound(members, 0, delayed);
  for (const { toy } of members) assertSame(toy.parameters, start);
  await overlappedRound(members, 1, delayed);
  assert.not.equal(members[0]!.toy.parameters, start);
  assertSame(members[1]!.toy.parameters, members[0]!.toy.parameters);
  await close(members);
});

test("a joining peer has no last round: it sends zeros and goes on from the anchor it got", async () => {
  const members = await createMembers(eager, 2);
  for (let round = 0; round < 2; round++) await overlappedRound(members, round);
  const [source, joiner] = members;
  for (const [index, { data }] of joiner!.exchange.shared.entries())
    data.set(source!.exchange.shared[index]!.data);
  await joiner!.exchange.adopted();
  assertSame(joiner!.toy.parameters, source!.toy.parameters);
  const own = source!.exchange.local[0]!.data.slice();
  const flights = await send(members, beginOf(eager, 2));
  assertSame(
    flights[1]!.results[0]!,
    own.map((value) => value / 2),
  );
  await finish(members, flights, applyOf(2));
  await close(members);
});

test.run();
