/** When things happen, for every strategy of the registry, and for made-up recipes with fragments and overlap. */
import * as fc from "fast-check";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { canonicalJson } from "../../lib/base/canonical-json.js";
import { defineStrategy, exchangeEvery, type StrategyDefinition } from "../../lib/strategy/define.js";
import { plainRecipe, type Recipe } from "../../lib/strategy/recipe.js";
import { createStrategies, roundSteps, strategies } from "../../lib/strategy/registry.js";
import type { Action, Strategy, StrategyView } from "../../lib/strategy/strategy.js";
import { one, timetable, viewOf } from "./views.js";

const recipe: Recipe = {
  ...plainRecipe,
  strategy: "made-up",
  trigger: exchangeEvery(6),
  source: "delta",
  coding: { up: "fp32", down: null, ownerFeedback: null },
  route: { kind: "allReduce", collective: "direct" },
  outer: { kind: "nesterov" },
  commit: { steps: 6, equal: true },
};
const made = (change: Partial<Recipe>, more: Partial<StrategyDefinition> = {}) =>
  defineStrategy({ ...more, recipe: { ...recipe, ...change } });

/** Fragments in turn within a round of H steps, begun so many steps before their turn ends. */
const streamed = (innerSteps: number, count: number, overlap: number) =>
  made({
    trigger: exchangeEvery(innerSteps / count, overlap),
    fragments: { kind: "layers", count },
    staleness: { kind: "overlap", steps: overlap, mix: 0.5 },
    commit: { steps: innerSteps, equal: true },
  });

test("fragments take turns within a round, and are begun before they are applied", () => {
  assert.equal(timetable(streamed(6, 2, 1), 12), [
    "2: begin 0",
    "3: apply 0",
    "5: begin 1 of 1",
    "6: apply 1 of 1, commit 0",
    "8: begin 2",
    "9: apply 2",
    "11: begin 3 of 1",
    "12: apply 3 of 1, commit 1",
  ]);
});

test("a fragment that flies for its whole turn begins when the one before is applied, after the commit", () => {
  assert.equal(timetable(streamed(4, 2, 2), 8), [
    "0: begin 0",
    "2: begin 1 of 1, apply 0",
    "4: apply 1 of 1, commit 0, begin 2",
    "6: begin 3 of 1, apply 2",
    "8: apply 3 of 1, commit 1, begin 4",
  ]);
});

test("without overlap begin, apply and commit fall together; several exchanges may share a commit", () => {
  assert.equal(timetable(streamed(4, 2, 0), 4), [
    "2: begin 0, apply 0",
    "4: begin 1 of 1, apply 1 of 1, commit 0",
  ]);
  assert.equal(timetable(made({ trigger: exchangeEvery(3) }), 6), [
    "3: begin 0, apply 0",
    "6: begin 1, apply 1, commit 0",
  ]);
});

test("eager and delayed exchanges fly for a round, from its start to its end", () => {
  for (const kind of ["eager", "delayed"] as const)
    assert.equal(timetable(made({ staleness: { kind } }), 12), [
      "0: begin 0",
      "6: apply 0, commit 0, begin 1",
      "12: apply 1, commit 1, begin 2",
    ]);
});

test("schedules are functions of the recipe's own round, which fragments share", () => {
  const { actions } = made(
    {
      trigger: exchangeEvery(3),
      fragments: { kind: "layers", count: 2 },
      staleness: { kind: "overlap", steps: 0, mix: 0.25 },
    },
    {
      learningRate: ({ round }) => 10 + round,
      momentum: ({ exchange }) => exchange / 8,
      up: ({ round }) => (round === 0 ? "int4_block" : "int8_block"),
      down: ({ fragment }) => (fragment === 0 ? null : "fp32"),
      weights: ({ round }) => [round, 1],
    },
  );
  const seen = [3, 6, 9].flatMap((step) =>
    actions(step, viewOf(2)).flatMap((action) => (action.kind === "commit" ? [] : [action])),
  );
  const begins = seen.flatMap((action) =>
    action.kind === "begin" ? [[action.up, action.down, action.weights]] : [],
  );
  assert.equal(begins, [
    ["int4_block", null, [0, 1]],
    ["int4_block", "fp32", [0, 1]],
    ["int8_block", null, [1, 1]],
  ]);
  const applied = seen.flatMap((action) =>
    action.kind === "apply" ? [[action.learningRate, action.momentum, action.mix, action.weights]] : [],
  );
  assert.equal(applied, [
    [10, 0, 0.25, [0, 1]],
    [10, 0.125, 0.25, [0, 1]],
    [11, 0.25, 0.25, [1, 1]],
  ]);
});

/** What must hold of any strategy's actions over some rounds. */
function checkTimetable(strategy: Strategy, view: StrategyView, rounds: number): void {
  const { recipe, actions } = strategy;
  const length = roundSteps([strategy]);
  const flying = new Map<number, number>();
  let nextBegin = 0;
  let nextApply = 0;
  for (let step = 0; step <= rounds * length; step++) {
    const list = actions(step, view);
    // Begins are captured before any apply, wherever they stand: only a commit parts a list.
    const commitAt = list.findIndex(({ kind }) => kind === "commit");
    const parts = commitAt < 0 ? [list] : [list.slice(0, commitAt), list.slice(commitAt + 1)];
    const handle = (part: readonly Action[]) => {
      for (const action of part) {
        if (action.kind !== "begin") continue;
        assert.is(action.exchange, nextBegin++);
        flying.set(action.exchange, action.fragment);
      }
      for (const action of part) {
        if (action.kind !== "apply") continue;
        assert.is(action.exchange, nextApply++);
        assert.is(flying.get(action.exchange), action.fragment, "an apply is of what was begun");
        flying.delete(action.exchange);
      }
    };
    handle(parts[0]!);
    assert.is(commitAt >= 0, step > 0 && step % length === 0, `a commit at step ${step}`);
    if (commitAt >= 0) {
      assert.equal(list[commitAt], { kind: "commit", round: step / length - 1 });
      assert.is(flying.size, 0, "nothing is in flight at a commit");
      handle(parts[1]!);
    }
  }
  if (recipe.route.kind === "none") assert.is(nextBegin, 0);
  else assert.ok(nextApply > 0);
}

const anyView = fc
  .record({
    shards: fc.uniqueArray(fc.nat(15), { minLength: 1, maxLength: 16 }),
    seed: fc.nat(),
    epoch: fc.nat(50),
  })
  .map(({ shards, seed, epoch }): StrategyView => {
    const members = shards.map((shard) => ({
      peerId: `peer-${shard}`,
      shard,
      samples: 1 + ((shard * 37) % 11),
    }));
    return { epoch, seed, members, measures: {} };
  });

/** The keys that change when a strategy acts, with values that go together. */
const few = fc.integer({ min: 1, max: 9 });
const anySteps: Readonly<Record<string, fc.Arbitrary<Record<string, unknown>>>> = {
  ddp: fc.record({ commitSteps: few }),
  demo: fc.record({ commitSteps: few }),
  distro: fc.record({ commitSteps: few }),
  sparta: fc.record({ interval: few, commitEvery: few }),
  "streaming-diloco": fc
    .record({
      times: few,
      fragments: fc.integer({ min: 1, max: 3 }),
      overlap: fc.integer({ min: 0, max: 4 }),
    })
    .map(({ times, fragments, overlap }) => ({ innerSteps: 12 * times, fragments, overlapSteps: overlap })),
  noloco: fc.record({ innerSteps: few, commitEvery: few }),
  "async-diloco": fc.record({
    innerSteps: few,
    dylu: fc.boolean(),
    speeds: fc.array(fc.constantFrom(1, 0.5, 0.3), { maxLength: 16 }),
  }),
  "eager-diloco": fc.record({ innerSteps: few, correction: fc.boolean() }),
};
const innerSteps = fc.integer({ min: 1, max: 6 }).map((times) => ({ innerSteps: 12 * times }));

for (const [name, { options }] of Object.entries(strategies)) {
  test(`${name}: every begin has one apply in the same round, and every round a commit`, () => {
    const takesInnerSteps = options.safeParse({ name, innerSteps: 12 }).success;
    const change = anySteps[name] ?? (takesInnerSteps ? innerSteps : fc.constant({}));
    fc.assert(
      fc.property(change, anyView, (changed, view) => {
        checkTimetable(one({ name, ...changed }), view, 3);
      }),
      { numRuns: 25 },
    );
  });

  test(`${name}: actions are data, the same on every peer, whatever it is called and whoever asks first`, () => {
    const strategy = one({ name });
    const length = roundSteps([strategy]);
    fc.assert(
      fc.property(anyView, fc.nat(4 * length), (view, step) => {
        const renamed = {
          ...view,
          members: view.members.map((member) => ({ ...member, peerId: "another" })),
        };
        const expected = canonicalJson(strategy.actions(step, view));
        assert.is(canonicalJson(one({ name }).actions(step, renamed)), expected);
        assert.is(canonicalJson(strategy.actions(step, view)), expected);
        assert.equal(strategy.actions(step, view), JSON.parse(expected));
      }),
      { numRuns: 50 },
    );
  });

  test(`${name}: what a peer weighs goes with its shard, not with its rank`, () => {
    const strategy = one({ name });
    const length = roundSteps([strategy]);
    const byShard = (view: StrategyView, step: number) =>
      strategy.actions(step, view).map((action) => {
        if (action.kind === "commit" || action.weights === null) return null;
        return view.members.map(({ shard }, rank) => [shard, action.weights![rank]]).toSorted();
      });
    fc.assert(
      fc.property(anyView, fc.integer({ min: 1, max: 6 }), (view, round) => {
        const turned = { ...view, members: view.members.toReversed() };
        assert.equal(byShard(turned, round * length), byShard(view, round * length));
      }),
      { numRuns: 50 },
    );
  });

  test(`${name}: a round can be planned before there are members`, () => {
    const strategy = one({ name });
    const kinds = (view: StrategyView) =>
      Array.from({ length: roundSteps([strategy]) + 1 }, (_, step) =>
        strategy.actions(step, view).map(({ kind }) => kind),
      );
    assert.equal(kinds(viewOf(0)), kinds(viewOf(3)));
  });
}

test("side by side, a round is as long as the longest, of which the others are divisors", () => {
  assert.is(roundSteps(createStrategies([{ name: "local-sgd", innerSteps: 4 }, { innerSteps: 12 }])), 12);
  assert.is(roundSteps(createStrategies({ innerSteps: 5 })), 5);
});

test.run();
