/** Where a unit on a ledger is said to differ, whatever its worker and those who checked it say. */
import { createHash } from "node:crypto";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { differenceWords, droppedWork, firstDifference } from "../../lib/gym/audit-difference.js";
import type { UnitStatus } from "../../lib/ledger/rules/state.js";
import { treeOf } from "../../lib/verify/merkle.js";

const hashOf = (text: string) => createHash("sha256").update(text).digest("hex");
const worker = "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a";

/** What a worker of H steps reveals whose leaves are these, and what verifiers told beside it. */
function revealedOf(leaves: readonly string[], told: Readonly<Record<number, string>> = {}) {
  const steps = leaves.length - 2;
  const said = new Map([0, steps, steps + 1].map((number) => [number, leaves[number]!]));
  return {
    root: treeOf(leaves).root,
    said,
    told: new Map(Object.entries(told).map(([number, leaf]) => [Number(number), leaf])),
  };
}

const honestLeaves = (steps: number) => Array.from({ length: steps + 2 }, (_, index) => hashOf(`${index}`));

/** The honest leaves from `first` on replaced by others, up to and with `last`. */
const wrongFrom = (steps: number, first: number, last = steps + 1) =>
  honestLeaves(steps).map((leaf, index) =>
    index >= first && index <= last ? hashOf(`wrong ${index}`) : leaf,
  );

function found(steps: number, said: readonly string[], told: Readonly<Record<number, string>> = {}) {
  const honest = honestLeaves(steps);
  return firstDifference(worker, revealedOf(said, told), honest, () => treeOf(honest).root);
}

const STEPS = 5;
const honest = honestLeaves(STEPS);

test("honest work differs nowhere, whatever a lying verifier tells of it", () => {
  assert.is(found(STEPS, honest), null);
  for (let leaf = 1; leaf < STEPS; leaf += 1) {
    assert.is(found(STEPS, honest, { [leaf]: hashOf("a lie") }), null, `leaf ${leaf}`);
    assert.is(found(STEPS, honest, { [leaf]: honest[leaf]! }), null, `leaf ${leaf}`);
  }
});

test("a worker's own leaves show between which of them its work differs", () => {
  const where = (said: readonly string[]) => {
    const difference = found(STEPS, said);
    const { leaves } = difference!;
    assert.is(difference?.of, "unit");
    assert.is(difference?.worker, worker);
    assert.is(difference?.said, said[leaves![1]]);
    assert.is(difference?.replayed, honest[leaves![1]]);
    return leaves;
  };
  assert.equal(where(wrongFrom(STEPS, 0)), [0, 0]);
  assert.equal(where(wrongFrom(STEPS, 1)), [1, STEPS]);
  assert.equal(where(wrongFrom(STEPS, STEPS)), [1, STEPS]);
  assert.equal(where(wrongFrom(STEPS, STEPS + 1)), [STEPS + 1, STEPS + 1]);
});

test("what verifiers tell narrows down a difference that the worker's own words prove", () => {
  const said = wrongFrom(STEPS, 3);
  assert.equal(found(STEPS, said, { 2: honest[2]! })?.leaves, [3, STEPS]);
  const between = found(STEPS, said, { 4: said[4]!, 2: honest[2]! });
  assert.equal(between, { of: "unit", worker, leaves: [3, 4], said: said[4], replayed: honest[4] });
  // They say nothing of a contribution that does not follow from a right state.
  assert.equal(found(STEPS, wrongFrom(STEPS, STEPS + 1), { 2: hashOf("a lie") })?.leaves, [
    STEPS + 1,
    STEPS + 1,
  ]);
});

test("a state in the middle that is wrong is shown by the root alone", () => {
  const said = wrongFrom(STEPS, 2, 3);
  const [root, replayed] = [treeOf(said).root, treeOf(honest).root];
  const alone = found(STEPS, said);
  assert.equal(alone, { of: "root", worker, leaves: [1, STEPS - 1], said: root, replayed });
  const words = differenceWords(alone!, STEPS);
  assert.match(words, /a state after one of its steps 1 to 4 \(leaves 1 to 4\) is wrong, by the root of/);
  assert.ok(words.endsWith(`the ledger says ${root}, honest work gives ${replayed}`), words);
  const narrowed = found(STEPS, said, { 1: honest[1]!, 2: said[2]! });
  assert.equal(narrowed, { of: "unit", worker, leaves: [2, 2], said: said[2], replayed: honest[2] });
  assert.equal(found(STEPS, said, { 1: honest[1]! })?.leaves, [2, STEPS - 1]);
});

test("a root that is of other leaves than the unit's is no state's fault", () => {
  const single = honestLeaves(1);
  const revealed = { ...revealedOf(single), root: hashOf("another") };
  const difference = firstDifference(worker, revealed, single, () => treeOf(single).root);
  assert.is(difference?.of, "root");
  assert.is(difference?.leaves, null);
  assert.match(differenceWords(difference!, 1), /the root of its states is not that of the states which it/);
});

test("a sequencer that closes a round with nobody's work has dropped what was accepted, unless it was in doubt", () => {
  const unit = { worker, shard: 0, revealed: null, accused: false, status: "soft" as UnitStatus };
  const dropped = (...units: Partial<typeof unit>[]) =>
    droppedWork({ result: hashOf("empty"), units: units.map((changes) => ({ ...unit, ...changes })) });
  for (const status of ["soft", "left", "expired", "hard", "disputed", "settled"] as const)
    assert.is(dropped({ status }), null, status);
  for (const status of ["pending", "claimable"] as const) {
    const difference = dropped({}, { status });
    assert.is(difference?.worker, worker);
    assert.match(
      differenceWords(difference!, STEPS),
      /was accepted, and the sequencer closed the round with nobody's/,
    );
    assert.is(dropped({ status, accused: true }), null);
  }
});

test.run();
