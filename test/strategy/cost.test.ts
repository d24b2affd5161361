/** What strategies say they cost, against closed formulas written out here, byte for byte and kind by kind. */
import * as fc from "fast-check";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { plainRequest, planCost } from "../../lib/reduce/plan.js";
import { createCollectiveCost, dataParallelCost } from "../../lib/strategy/cost.js";
import { defineStrategy, exchangeEvery } from "../../lib/strategy/define.js";
import { plainRecipe, type Recipe } from "../../lib/strategy/recipe.js";
import type { CollectiveQuestion, Strategy, WireBytes } from "../../lib/strategy/strategy.js";
import { TensorLayout } from "../../lib/tensor/layout.js";
import { costOf, layoutOf, one, viewOf } from "./views.js";

const ELEMENTS = 100_000;
const total = ({ payload, scales, indices }: WireBytes) => payload + scales + indices;

/** Chunks of whole blocks, as even as they go. */
function chunks(elements: number, block: number, ranks: number): number[] {
  const blocks = Math.ceil(elements / block);
  const edge = (rank: number) =>
    Math.min(
      elements,
      block * (Math.floor(blocks / ranks) * rank + Math.floor(((blocks % ranks) * rank) / ranks)),
    );
  return Array.from({ length: ranks }, (_, rank) => edge(rank + 1) - edge(rank));
}

test("DiLoCo int8, direct: others' chunks once, the own one to each other peer, each a byte an element and a scale a block", () => {
  const H = 20;
  for (const rank of [0, 1, 2, 3]) {
    const own = chunks(ELEMENTS, 256, 4)[rank]!;
    const blocks = chunks(ELEMENTS, 256, 4).map((elements) => Math.ceil(elements / 256));
    const payload = ELEMENTS - own + 3 * own;
    const scales = blocks.reduce((sum, count) => sum + count, 0) - blocks[rank]! + 3 * blocks[rank]!;
    const cost = costOf({ innerSteps: H }, 3 * H, { rank });
    assert.equal(cost.parts, { payload: payload / H, scales: scales / H, indices: 0 });
    assert.is(cost.bytesPerStep, (payload + scales) / H);
    assert.is(cost.bytesPeak, payload + scales);
    assert.is(cost.latencyStepsPerStep, 2 / H);
  }
});

test("another codec down is priced as it is, and chunks are cut for both", () => {
  const options = { innerSteps: 1, codec: "eden:bits=1", downCodec: "int4_block:block=4096" };
  const own = chunks(ELEMENTS, 4096, 4)[2]!;
  const blocks = own / 4096;
  const others = (ELEMENTS - own) / 4096;
  const cost = costOf(options, 1, { rank: 2 });
  const up = { bits: Math.ceil(others) * 512, scales: Math.ceil(others) * 4 };
  assert.is(cost.parts.scales, up.scales + 3 * blocks);
  // The tail's block is shorter on the wire.
  assert.ok(cost.parts.payload <= up.bits + (3 * own) / 2);
  assert.ok(cost.parts.payload > up.bits - 512 + (3 * own) / 2);
});

test("data parallel training in fp32 is the yardstick: twice all chunks but one, around the ring", () => {
  const collectiveCost = createCollectiveCost();
  const question = { layout: layoutOf(ELEMENTS), rank: 1, view: viewOf(4), from: 0, to: 5, collectiveCost };
  assert.equal(dataParallelCost(question), {
    bytesPerStep: 4 * 2 * 0.75 * ELEMENTS,
    parts: { payload: 600_000, scales: 0, indices: 0 },
    latencyStepsPerStep: 6,
    bytesPeak: 600_000,
  });
  assert.equal(costOf({ name: "ddp", collective: "ring" }, 5, { rank: 1 }), dataParallelCost(question));
  const diloco = costOf({ innerSteps: 50, codec: "fp32" }, 50, { rank: 1 });
  assert.is(dataParallelCost(question).bytesPerStep / diloco.bytesPerStep, 50);
});

test("local SGD of H steps sends 1 / H of ddp; HDEE sends nothing; one peer sends nothing", () => {
  const ddp = costOf({ name: "ddp" }, 10);
  assert.is(costOf({ name: "local-sgd", innerSteps: 10 }, 10).bytesPerStep, ddp.bytesPerStep / 10);
  for (const cost of [costOf({ name: "hdee" }, 40), costOf({}, 40, { view: viewOf(1) })])
    assert.equal([cost.bytesPerStep, cost.bytesPeak, cost.latencyStepsPerStep], [0, 0, 0]);
});

test("a peer that is not chosen sends only what it owns of the mean", () => {
  const view = viewOf(4);
  const options = { name: "fedavg", innerSteps: 5, fraction: 0.5 };
  const own = 4 * 3 * 25_000;
  for (let round = 0; round < 6; round++) {
    const [begin] = one(options).actions(5 * (round + 1), view);
    const weights = begin?.kind === "begin" ? begin.weights! : [];
    for (const rank of [0, 1, 2, 3]) {
      const cost = one(options).cost({
        layout: layoutOf(ELEMENTS),
        rank,
        view,
        from: 5 * round,
        to: 5 * (round + 1),
        collectiveCost: createCollectiveCost(),
      });
      assert.is(cost.bytesPeak, weights[rank] === 0 ? own : own + 4 * 75_000);
    }
  }
});

test("PowerSGD sends the factors of matrices and the other tensors whole", () => {
  const layout = new TensorLayout([
    { name: "weight", shape: [400, 200] },
    { name: "bias", shape: [200] },
  ]);
  const cost = costOf({ name: "ddp", powersgdRank: 2 }, 1, { layout, view: viewOf(2) });
  assert.is(cost.bytesPerStep, 4 * (2 * 400 + 200 + 2 * 200));
  assert.is(cost.latencyStepsPerStep, 4);
});

test("a top-k's bytes are told apart: values, indices, scales", () => {
  const cost = costOf({ innerSteps: 1, codec: "topk:values=int8" }, 1, { layout: layoutOf(8 * 4096) });
  const blocks = 6 + 3 * 2;
  assert.equal(cost.parts, { payload: blocks * 64, scales: blocks, indices: (blocks * 64 * 12) / 8 });
});

test("one who only owns sends the codec down alone, and chunks are whole blocks of both codecs", () => {
  const coding = { codec: "dct_topk:rows=12,columns=50,k=9", downCodec: "int8_block" };
  const elements = 9 * 9600 + 1000;
  const own = chunks(elements, 38_400, 2)[1]!;
  assert.is(own, elements - 38_400, "multiples of 600 and 256 are those of 38,400");
  const [view, layout] = [viewOf(2), layoutOf(elements)];
  const options = { name: "fedavg", innerSteps: 1, fraction: 0.5, ...coding };
  const rounds = [0, 1, 2, 3, 4, 5];
  const costs = rounds.map((from) =>
    one(options).cost({ layout, rank: 1, view, from, to: from + 1, collectiveCost: createCollectiveCost() }),
  );
  const down = { payload: own, scales: Math.ceil(own / 256), indices: 0 };
  const tiles = (elements - own) / 600;
  const up = { payload: tiles * 9 * 4, scales: 0, indices: tiles * Math.ceil((9 * 10) / 8) };
  const both = { payload: down.payload + up.payload, scales: down.scales, indices: up.indices };
  const trained = rounds.map((round) => one(options).trains!(round, view, 1));
  assert.ok(trained.includes(true) && trained.includes(false));
  for (const [round, cost] of costs.entries()) assert.equal(cost.parts, trained[round] ? both : down);
});

const base: Recipe = {
  ...plainRecipe,
  strategy: "made-up",
  trigger: exchangeEvery(4),
  source: "delta",
  coding: { up: "fp32", down: null, ownerFeedback: null },
  route: { kind: "allReduce", collective: "direct" },
  outer: { kind: "nesterov" },
  commit: { steps: 4, equal: true },
};
const made = (change: Partial<Recipe>) => defineStrategy({ recipe: { ...base, ...change } });
const priced = (strategy: Strategy, from: number, to: number, layout = layoutOf(ELEMENTS)) =>
  strategy.cost({ layout, rank: 0, view: viewOf(4), from, to, collectiveCost: createCollectiveCost() });

test("fragments cut the peak by their number, overlapped or not, and cost the same in sum", () => {
  const layout = new TensorLayout(["a", "b", "c", "d"].map((name) => ({ name, shape: [4096] })));
  const whole = priced(made({}), 0, 8, layout);
  for (const overlap of [0, 1, 2]) {
    const streamed = made({
      trigger: exchangeEvery(2, overlap),
      fragments: { kind: "layers", count: 2 },
      staleness: { kind: "overlap", steps: overlap, mix: 0.5 },
    });
    // What begins right after the commit is of the round that follows it.
    for (const [from, to] of [
      [0, 4],
      [4, 8],
    ] as const) {
      const cost = priced(streamed, from, to, layout);
      assert.is(cost.bytesPeak, whole.bytesPeak / 2);
      assert.is(cost.bytesPerStep, whole.bytesPerStep);
    }
  }
});

test("an exchange that flies for a round is counted once a round", () => {
  const eager = made({ staleness: { kind: "eager" } });
  for (const to of [4, 8, 40])
    assert.is(priced(eager, 0, to).bytesPerStep, priced(made({}), 0, to).bytesPerStep);
});

test("a random share costs its elements and no mask; a mix its neighbours; a gather grows with the peers", () => {
  const sparse = made({
    source: "parameters",
    outer: { kind: "replace" },
    fragments: { kind: "random", share: 0.01 },
  });
  assert.is(priced(sparse, 0, 4).bytesPeak, 4 * 2 * 750);
  const pair = made({
    source: "parameters",
    outer: { kind: "replace" },
    route: { kind: "mix", topology: "pairs" },
  });
  assert.is(priced(pair, 0, 4).bytesPeak, 4 * ELEMENTS);
  const both = made({
    source: "deltaAndAnchor",
    outer: { kind: "noloco", alpha: 0.5, beta: 0.7, gamma: 0.7 },
    route: { kind: "mix", topology: "pairs" },
  });
  assert.is(priced(both, 0, 4).bytesPeak, 2 * 4 * ELEMENTS);
  const gather = made({ route: { kind: "gather" }, coding: { up: "topk", down: null, ownerFeedback: null } });
  const { parts, bytesPeak } = priced(gather, 0, 4, layoutOf(4096));
  assert.is(bytesPeak, 3 * (64 * 4 + 96));
  assert.equal([4 * parts.payload, 4 * parts.indices], [3 * 256, 3 * 96]);
});

test("what members tell each other beside the tensor is counted", () => {
  const plain = priced(made({}), 0, 4);
  const told = priced(made({ measure: "signal", aggregate: { kind: "medianNormClip" } }), 0, 4);
  assert.is(told.bytesPeak - plain.bytesPeak, 3 * 4 * (1 + 2));
  assert.is(4 * (told.latencyStepsPerStep - plain.latencyStepsPerStep), 2);
});

test("the kinds of bytes sum to what the plan sends, for any collective, codec, size and rank", () => {
  const ask = createCollectiveCost();
  const collectiveAndCodec = fc.oneof(
    fc.record({
      collective: fc.constantFrom("ring", "direct", "mix", "gather_mean"),
      up: fc.constantFrom(
        "fp32",
        "int8_block",
        "int4_block:scale=fp32",
        "topk",
        "eden:bits=2",
        "dct_topk",
        "fp16",
      ),
    }),
    fc.constant({ collective: "halving_doubling", up: "fp32" } as const),
  );
  const question = fc
    .tuple(collectiveAndCodec, fc.integer({ min: 1, max: 9 }), fc.nat(), fc.integer({ min: 1, max: 30_000 }))
    .map(([{ collective, up }, ranks, draw, elements]) => {
      const mix = collective === "mix" ? { topology: "ring", topologyRound: 0 } : {};
      return { collective, up, down: null, ranks, rank: draw % ranks, elements, weights: null, ...mix };
    });
  fc.assert(
    fc.property(question, (asked) => {
      const { parts, bytesSent, latencySteps } = ask(asked as CollectiveQuestion);
      assert.is(total(parts), bytesSent);
      assert.ok(Object.values(parts).every((bytes) => Number.isSafeInteger(bytes) && bytes >= 0));
      const { collective, up, ranks, rank, elements } = asked as CollectiveQuestion;
      const topology = asked.collective === "mix" ? "ring" : "";
      const request = {
        ...plainRequest,
        collective,
        ranks,
        rank,
        elements,
        codec: up,
        topology,
        segmentElements: 8192,
      };
      assert.equal(planCost(request), { latencySteps, bytesSent }, "segments change nothing");
    }),
    { numRuns: 150 },
  );
});

test.run();
