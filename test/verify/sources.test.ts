/** Where an operator's inputs come from, on graphs whose reads and writes overlap in every way. */
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { ops } from "../../lib/native/abi.gen.js";
import { GraphBuilder } from "../../lib/tensor/builder.js";
import { copy } from "../../lib/tensor/elements.js";
import { IN_PLACE, sourcePlan } from "../../lib/verify/sources.js";
import { leafOf, sourcesOf, subjectOf } from "../../lib/verify/trace.js";

const test = suite("sources");

test("the operators that update in place are those of which ops.def says so, with so many outputs", () => {
  const named = Object.entries(ops).flatMap(([op, { doc }]) => {
    const updated = /-> ([^:]*) updated in place/.exec(doc)?.[1];
    return updated === undefined ? [] : [[op, updated.split("], ").length]];
  });
  assert.equal([...IN_PLACE].sort(), named.sort());
});

/** Bindings x [8] and y [8]; copies [source, offset, target, offset, elements] one after another. */
function copies(moves: readonly (readonly [string, number, string, number, number])[], given = ["x"]) {
  const graph = new GraphBuilder();
  const bindings = new Map(["x", "y"].map((name) => [name, graph.binding(name, 8)]));
  for (const [from, at, to, target, elements] of moves)
    copy(
      graph,
      graph.view(bindings.get(from)!, [elements], at),
      graph.view(bindings.get(to)!, [elements], target),
    );
  return { graph: graph.describe(), given, state: ["x", "y"] };
}

const segmentsOf = (plan: ReturnType<typeof sourcePlan>, node: number) =>
  plan.reads[node]!.flatMap(({ segments }) => segments.map(({ source, ...rest }) => [source, rest] as const));

test("a read over several writers is put together from the last writer of each element", () => {
  const plan = sourcePlan(
    copies([
      ["x", 0, "y", 0, 8], // 0: all of y
      ["x", 4, "y", 2, 3], // 1: y[2..5)
      ["x", 0, "y", 4, 2], // 2: y[4..6)
      ["y", 1, "x", 0, 6], // 3: reads y[1..7)
    ]),
  );
  assert.equal(segmentsOf(plan, 3), [
    [
      { node: 0, output: 0 },
      { from: 1, to: 0, elements: 1 },
    ],
    [
      { node: 1, output: 0 },
      { from: 0, to: 1, elements: 2 },
    ],
    [
      { node: 2, output: 0 },
      { from: 0, to: 3, elements: 2 },
    ],
    [
      { node: 0, output: 0 },
      { from: 6, to: 5, elements: 1 },
    ],
  ]);
  assert.equal(plan.loaded, [
    { binding: 0, offset: 0, elements: 8 },
    { binding: 0, offset: 4, elements: 3 },
    { binding: 0, offset: 0, elements: 2 },
    { binding: 0, offset: 6, elements: 2 },
  ]);
  // The state after: of x the new and what was left as it was, of y all its writers.
  assert.equal(
    plan.closing.map(({ segments }) => segments.map(({ source }) => source)),
    [
      [{ node: 3, output: 0 }, { loaded: 3 }],
      [
        { node: 0, output: 0 },
        { node: 1, output: 0 },
        { node: 2, output: 0 },
        { node: 0, output: 0 },
      ],
    ],
  );
  const sources = sourcesOf(plan, plan.closing);
  assert.equal(
    sources.map((source) => leafOf(plan, source)),
    [3, 4, 5, 6, 7],
    "each once, given parts first, then as they are written",
  );
  assert.equal(
    [3, 4, 7, 8].map((leaf) => subjectOf(plan, leaf).kind),
    ["given", "node", "node", "state"],
  );
});

test("a step that reads what nobody gives is refused: it would not be a pure function", () => {
  assert.throws(() => sourcePlan(copies([["y", 0, "x", 0, 8]])), /"y" is read before it is written/);
  const leftOver = copies([
    ["x", 0, "y", 0, 7],
    ["y", 0, "x", 0, 8],
  ]);
  assert.throws(() => sourcePlan(leftOver), /"y" is read before it is written/);
});

test.run();
