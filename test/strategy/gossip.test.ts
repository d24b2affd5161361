/** Sparse DiLoCo and NoLoCo as data: rounds of a graph, commits that come seldom, bytes by neighbours. */
import { test } from "uvu";
import * as assert from "uvu/assert";
import { configError, costOf, layoutOf, one, timetable, viewOf } from "./views.js";

const ELEMENTS = 10_000;
const gossip = ["sparse-diloco", "noloco"];

test("exchanges follow each other, the graph's rounds with them, and all meet at every commit only", () => {
  for (const name of gossip) {
    const strategy = one({ name, innerSteps: 3, commitEvery: 2 });
    assert.equal(timetable(strategy, 12), [
      "3: begin 0, apply 0",
      "6: begin 1, apply 1, commit 0",
      "9: begin 2, apply 2",
      "12: begin 3, apply 3, commit 1",
    ]);
    const rounds = [3, 6, 9].map((step) => strategy.actions(step, viewOf(4))[0]);
    assert.equal(
      rounds.map((action) => (action?.kind === "begin" ? [action.collective, action.topologyRound] : [])),
      [
        ["mix", 0],
        ["mix", 1],
        ["mix", 2],
      ],
    );
    assert.is(strategy.recipe.commit.equal, false);
  }
});

test("sparse DiLoCo sends its parameters to each neighbour once", () => {
  const cost = (topology: string, peers: number) =>
    costOf({ name: "sparse-diloco", innerSteps: 5, topology }, 5, {
      layout: layoutOf(ELEMENTS),
      view: viewOf(peers),
    }).bytesPerStep;
  for (const [topology, neighbours] of [
    ["ring", 2],
    ["one_peer_exponential", 1],
    ["regular:degree=4", 4],
    ["complete", 7],
    ["hypercube", 3],
  ] as const)
    assert.is(cost(topology, 8), (4 * ELEMENTS * neighbours) / 5, topology);
  assert.ok(cost("small_world", 8) > 0);
  assert.is(cost("ring", 1), 0);
});

test("NoLoCo sends its pseudo-gradient and its anchor to one other peer", () => {
  const cost = costOf({ name: "noloco" }, 100, { layout: layoutOf(ELEMENTS), view: viewOf(4) });
  assert.is(cost.bytesPerStep, (8 * ELEMENTS) / 50);
  assert.is(cost.bytesPeak, 8 * ELEMENTS);
  const alone = costOf({ name: "noloco" }, 100, { layout: layoutOf(ELEMENTS), view: viewOf(1) });
  assert.is(alone.bytesPerStep, 0);
});

test("NoLoCo's numbers are those of its authors' code", () => {
  assert.equal(one({ name: "noloco" }).recipe.outer, { kind: "noloco", alpha: 0.5, beta: 0.7, gamma: 0.7 });
  assert.is(one({ name: "noloco" }).recipe.trigger.steps, 50);
  assert.is(one({ name: "noloco" }).recipe.source, "deltaAndAnchor");
});

test("the momentum's warm-up counts outer steps, not commits", () => {
  const { actions } = one({ name: "sparse-diloco", innerSteps: 1, commitEvery: 4, momentumWarmupRounds: 4 });
  const momentum = [1, 2, 3, 4, 5, 6].flatMap((step) =>
    actions(step, viewOf(2)).flatMap((action) => (action.kind === "apply" ? [action.momentum] : [])),
  );
  assert.equal(
    momentum.map((value) => Math.round(value * 1e9) / 1e9),
    [0.5, 0.6, 0.7, 0.8, 0.9, 0.9],
  );
});

test("a graph that does not exist is refused", () => {
  for (const name of gossip) {
    const refused = (topology: unknown, message: RegExp) =>
      assert.throws(() => one({ name, topology }), configError(message));
    refused("rung", /^strategy\.topology: .*"rung"/);
    refused("regular:degree=x", /^strategy\.topology: .*degree/);
    refused(3, /^strategy\.topology: 3; allowed: a graph/);
  }
  assert.throws(() => one({ name: "noloco", gamma: -1 }), configError(/^strategy\.gamma: -1; allowed/));
});

test.run();
