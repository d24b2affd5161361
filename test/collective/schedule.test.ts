/** Properties of every schedule, on the plans that native code gives out; the twin of test/native/collective/schedules.cpp. */
import fc from "fast-check";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { native } from "../../lib/native/load.js";
import { Plan, type PlanRequest, plainRequest, planCost } from "../../lib/reduce/plan.js";
import { chunkRange } from "../../lib/reduce/tensor.js";
import { type Piece, Rank, type Schedule, type Step, Wires } from "./schedule-model.js";

const RANKS_MAX = 16;

type Request = Omit<PlanRequest, "rank">;

function scheduleOf(request: Request, rank: number): Schedule {
  const plan = new Plan({ ...request, rank });
  const schedule = JSON.parse(native.planSchedule(plan.handle)) as Schedule;
  plan.free();
  return schedule;
}

const costOf = (request: Request, rank: number) => planCost({ ...request, rank });

/** Runs the step; false where its frame is not the next on the link. */
function run(rank: Rank, step: Step, wires: Wires): boolean {
  if (step.kind === "send") {
    const source = step.sources[0]!;
    const frame = { tag: step.tag!, bytes: source.bytes, pieces: rank.read(source) };
    wires.between(rank.rank, step.peer!).push(frame);
    rank.sent += source.bytes;
  } else if (step.kind === "recv") {
    const wire = wires.between(step.peer!, rank.rank);
    const at = wire.findIndex(({ tag }) => tag === step.tag);
    if (at < 0) return false;
    const [frame] = wire.splice(at, 1);
    assert.is(frame!.bytes, step.target!.bytes);
    rank.write(step.target!, frame!.pieces);
  } else rank.write(step.target!, rank.compute(step));
  return true;
}

function simulate(request: Request, choose: (below: number) => number): Rank[] {
  const { ranks: count, elements } = request;
  const ranks = Array.from(
    { length: count },
    (_, rank) => new Rank(rank, count, elements, scheduleOf(request, rank)),
  );
  const wires = new Wires();
  const open = ranks.map(({ schedule }) => schedule.steps.map((_, index) => index));
  for (let idle = 0; idle < ranks.length; ) {
    const first = choose(ranks.length);
    idle = 0;
    for (let turn = 0; turn < ranks.length; turn++) {
      const rank = ranks[(first + turn) % ranks.length]!;
      const mine = open[rank.rank]!;
      const start = mine.length === 0 ? 0 : choose(mine.length);
      const at = mine.findIndex((_, offset) => {
        const index = mine[(start + offset) % mine.length]!;
        const step = rank.schedule.steps[index]!;
        if (!step.waits.every((wait) => rank.done.has(wait)) || !run(rank, step, wires)) return false;
        rank.done.add(index);
        return true;
      });
      if (at < 0) idle++;
      else mine.splice((start + at) % mine.length, 1);
    }
  }
  assert.ok(
    open.every((steps) => steps.length === 0),
    "the ranks wait for each other",
  );
  assert.ok(wires.empty, "a send has no recv");
  return ranks;
}

const kinds = [
  ["ring", "fp32"],
  ["ring", "int8_block"],
  ["direct", "fp32"],
  ["direct", "bf16"],
  ["direct", "int8_block"],
  ["halving_doubling", "fp32"],
  ["hierarchical", "fp32"],
  ["hierarchical", "int8_block"],
  ["broadcast", "int8_block"],
  ["broadcast", "fp32"],
  ["tree_broadcast", "fp32"],
  ["all_gather", "fp32"],
] as const;

const requests = fc
  .record({
    kind: fc.constantFrom(...kinds),
    ranks: fc.integer({ min: 1, max: RANKS_MAX }),
    root: fc.nat(),
    elements: fc.oneof(fc.nat({ max: 20 }), fc.nat({ max: 6000 })),
    segmentElements: fc.oneof(fc.integer({ min: 40, max: 600 }), fc.constant(65536)),
  })
  .map(({ kind: [collective, codec], root, ...rest }): Request => {
    const rooted = collective === "broadcast" || collective === "tree_broadcast";
    // The even ranks are an island, and the odd ones.
    const islands =
      collective === "hierarchical" ? Array.from({ length: rest.ranks }, (_, rank) => rank % 2) : [];
    return { ...plainRequest, collective, codec, ...rest, root: rooted ? root % rest.ranks : 0, islands };
  });

/** Which ranks' inputs an element of the result is made of. */
function due({ collective, ranks, root, elements }: Request, element: number): number[] {
  const one = (owner: number) => Array.from({ length: ranks }, (_, rank) => +(rank === owner));
  if (collective === "broadcast" || collective === "tree_broadcast") return one(root);
  if (collective !== "all_gather") return Array.from({ length: ranks }, () => 1);
  const owns = (rank: number) => {
    const { begin, elements: length } = chunkRange(elements, 1, ranks, rank);
    return element >= begin && element < begin + length;
  };
  return one(Array.from({ length: ranks }, (_, rank) => rank).find(owns)!);
}

test("each contribution is reduced once, sends match recvs, nobody waits in a circle, bytes equal the cost", () => {
  fc.assert(
    fc.property(requests, fc.infiniteStream(fc.nat()), (request, stream) => {
      const ranks = simulate(request, (below) => (stream.next().value as number) % below);
      const reduces = !["broadcast", "tree_broadcast", "all_gather"].includes(request.collective);
      for (const rank of ranks) {
        assert.is(rank.sent, costOf(request, rank.rank).bytesSent);
        let last: Piece | undefined;
        for (const [element, piece] of rank.output.entries()) {
          assert.ok(piece, `rank ${rank.rank} lacks element ${element}`);
          // Neighbours share a piece, which is looked at once, but where each chunk has an owner of its own.
          if (piece === last && request.collective !== "all_gather") continue;
          last = piece;
          assert.equal(piece.counts, due(request, element));
          if (request.ranks > 1) assert.is(piece.mean, reduces);
        }
      }
    }),
    { numRuns: 100 },
  );
});

test("steps wait only for earlier steps, and a tag names one frame between two ranks", () => {
  fc.assert(
    fc.property(requests, fc.nat(), (request, seed) => {
      const rank = seed % request.ranks;
      const tags = new Set<string>();
      for (const [index, step] of scheduleOf(request, rank).steps.entries()) {
        for (const wait of step.waits) assert.ok(wait < index);
        if (step.tag === undefined) continue;
        assert.is.not(step.peer, rank);
        const name = `${step.kind} ${step.peer} ${step.tag}`;
        assert.not(tags.has(name));
        tags.add(name);
      }
    }),
    { numRuns: 150 },
  );
});

test("direct sends about twice the tensor whatever the rank count, ring likewise, in 2 and 2(n-1) latency steps", () => {
  for (const ranks of [2, 4, 16]) {
    const elements = 256 * 16 * 10;
    const shape = { codec: "fp32", ranks, elements, segmentElements: 65536 };
    const direct = { ...plainRequest, ...shape, collective: "direct" } as const;
    const ring = { ...direct, collective: "ring" } as const;
    assert.is(costOf(direct, 1).bytesSent, (2 * (ranks - 1) * elements * 4) / ranks);
    assert.is(costOf(ring, 1).bytesSent, costOf(direct, 1).bytesSent);
    assert.is(costOf(direct, 1).latencySteps, 2);
    assert.is(costOf(ring, 1).latencySteps, 2 * (ranks - 1));
  }
});

test("a plan of impossible arguments names the argument", () => {
  const fine = {
    ...plainRequest,
    collective: "direct",
    ranks: 4,
    rank: 0,
    elements: 100,
    codec: "fp32",
    segmentElements: 256,
  } as const;
  const refused = (field: string, wrong: Partial<PlanRequest>) => {
    try {
      new Plan({ ...fine, ...wrong });
    } catch (error) {
      assert.is((error as { code?: string }).code, "ERR_INVALID_ARGUMENT");
      assert.match((error as Error).message, new RegExp(`^${field}\\b`));
      return;
    }
    assert.unreachable(`${field} was not refused`);
  };
  refused("ranks", { ranks: 1025 });
  refused("rank", { rank: 4 });
  refused("root", { collective: "broadcast", root: 4 });
  refused("codec", { collective: "halving_doubling", codec: "int8_block" });
  refused("segment_elements", { segmentElements: 0 });
  refused("weights", { reduction: "weighted_mean", weights: [1, 2] });
  refused("islands", { collective: "hierarchical", islands: [0, 0, 0, 7] });
  refused("topology", { collective: "mix", topology: "no such graph" });
  refused("held", { held: [[{ begin: 90, elements: 20 }], [], [], []] });
});

test.run();
