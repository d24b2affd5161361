/** A unit begins with the round's parameters and where its worker's last one ended, or it is refused with the reason. */
import { test } from "uvu";
import * as assert from "uvu/assert";
import type { EventBody, Hash } from "../../lib/ledger/events.js";
import { commitmentOf } from "../../lib/verify/commitment.js";
import { type StateParts, stateHash } from "../../lib/verify/state-hash.js";
import { hashOf, terms, World } from "./rules-world.js";

const [parameters, trained, inner, moved] = ["parameters", "trained", "fresh", "moved"].map(hashOf) as [
  Hash,
  Hash,
  Hash,
  Hash,
];

/** The work of a round as its two ends say it; the rest is made up. */
function workOf(round: number, start: Partial<StateParts> = {}, end: Partial<StateParts> = {}) {
  const step = round * terms.unitSteps;
  const first = { step, parameters, inner, ...start };
  const last = { step: step + terms.unitSteps, parameters: trained, inner: moved, ...end };
  return {
    root: hashOf("root"),
    before: stateHash(first),
    after: stateHash(last),
    inner: first.inner,
    parametersAfter: last.parameters,
    innerAfter: last.inner,
    contribution: hashOf("contribution"),
    salt: hashOf("salt"),
  };
}
type Work = ReturnType<typeof workOf>;

const worldOf = (over: Partial<EventBody<"RunCreated">> = {}) => new World({ parameters, inner, ...over });

/** Why the ledger refuses the work in the worker's next round; null where it takes it and the round is closed. */
function refusalOf(world: World, work: Work, ada = world.account("ada")): string | null {
  world.open([ada]);
  const { round } = world.round;
  const content = { ledgerId: world.ledgerId, round, author: ada, ...work };
  world.do(ada, { kind: "WorkCommitted", round, commitment: commitmentOf(content) });
  const reveal = { kind: "WorkRevealed", round, ...work } as const;
  try {
    world.do(ada, reveal);
  } catch {
    return world.refused(ada, reveal);
  }
  world.judge();
  const { submitter } = world;
  const [result, state] = [hashOf("result"), hashOf("state")];
  world.do(submitter, { kind: "RoundClosed", round, result, state, parameters, aggregated: [ada] });
  return null;
}

const joined = (over?: Partial<EventBody<"RunCreated">>) => {
  const world = worldOf(over);
  world.join("ada");
  return world;
};

test("the first unit begins with the run's parameters, at its step, with a fresh inner state", () => {
  assert.is(refusalOf(joined(), workOf(0)), null);
  for (const start of [{ step: 1 }, { parameters: hashOf("other") }])
    assert.match(refusalOf(joined(), workOf(0, start)) ?? "", /does not begin with the parameters/);
  assert.match(
    refusalOf(joined(), workOf(0, { inner: hashOf("other") })) ?? "",
    /does not begin with the inner state that the last one ended with, nor with a fresh one/,
  );
});

test("a unit ends with the state that it names, after all its steps", () => {
  const lie = { ...workOf(0), innerAfter: hashOf("other") };
  assert.match(refusalOf(joined(), lie) ?? "", /does not end with the parameters and the inner state/);
  const short = workOf(0, {}, { step: terms.unitSteps - 1 });
  assert.match(refusalOf(joined(), short) ?? "", /does not end with/);
});

test("the next unit goes on from where the last one ended, or afresh, and from nowhere else", () => {
  for (const [from, why] of [
    [moved, null],
    [inner, null],
    [hashOf("other"), /nor with a fresh one/],
  ] as const) {
    const world = joined();
    assert.is(refusalOf(world, workOf(0)), null);
    const refused = refusalOf(world, workOf(1, { inner: from }));
    if (why === null) assert.is(refused, null);
    else assert.match(refused ?? "", why);
  }
});

test("after a checkpoint a first unit goes on from an inner state of its own, and only a first one", () => {
  const resumed = { firstRound: 5 };
  assert.is(refusalOf(joined(resumed), workOf(5, { inner: hashOf("own") })), null);
  const world = joined(resumed);
  assert.is(refusalOf(world, workOf(5, { inner: hashOf("own") })), null);
  assert.match(refusalOf(world, workOf(6, { inner: hashOf("other") })) ?? "", /nor with a fresh one/);
});

test.run();
