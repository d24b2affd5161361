/** Properties of every schedule, on the plans that native code gives out; the twin of test/native/collective/schedules.cpp. */
import fc from "fast-check";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { type CodecName, type CollectiveName, codecs, collectives } from "../../lib/native/abi.gen.js";
import { native } from "../../lib/native/load.js";

interface Region {
  space: "input" | "output" | "staging";
  offset: number;
  elements: number;
  bytes: number;
}
interface Step {
  kind: "encode" | "send" | "recv" | "add" | "mean" | "divide" | "decode" | "copy";
  peer?: number;
  tag?: number;
  sources: Region[];
  target?: Region;
  waits: number[];
}
interface Plan {
  stagingBytes: number;
  steps: Step[];
}
interface Request {
  collective: CollectiveName;
  codec: CodecName;
  ranks: number;
  root: number;
  elements: number;
  segment: number;
}

const RANKS_MAX = 16;

/** What a piece of memory holds: how often each rank is in it, and whether it was divided. */
interface Piece {
  counts: readonly number[];
  mean: boolean;
}

function plan(request: Request, rank: number): Plan {
  const { collective, codec, ranks, root, elements, segment } = request;
  const { id } = collectives[collective];
  return JSON.parse(
    native.collectivePlan(id, ranks, rank, root, elements, codecs[codec].id, segment),
  ) as Plan;
}

function bytesSent(request: Request, rank: number): number {
  const { collective, codec, ranks, root, elements, segment } = request;
  const { id } = collectives[collective];
  const text = native.collectiveCost(id, ranks, rank, root, elements, codecs[codec].id, segment);
  return (JSON.parse(text) as { bytesSent: number }).bytesSent;
}

const key = ({ space, offset, elements }: Region) => `${space} ${offset} ${elements}`;

/** One rank with its memory by region; schedules name a region the same way whenever they use it. */
class Rank {
  readonly done = new Set<number>();
  readonly memory = new Map<string, Piece>();
  sent = 0;

  constructor(
    readonly rank: number,
    readonly request: Request,
    readonly plan: Plan,
  ) {}

  read(region: Region): Piece {
    if (region.space === "input") {
      return {
        counts: Array.from({ length: this.request.ranks }, (_, other) => +(other === this.rank)),
        mean: false,
      };
    }
    const piece = this.memory.get(key(region));
    assert.ok(piece, `rank ${this.rank} reads ${key(region)}, which nobody wrote`);
    return piece;
  }

  write(region: Region, piece: Piece): void {
    assert.is.not(region.space, "input");
    const end = region.offset + (region.space === "staging" ? region.bytes : region.elements);
    assert.ok(end <= (region.space === "staging" ? this.plan.stagingBytes : this.request.elements));
    this.memory.set(key(region), piece);
  }

  compute(step: Step): Piece {
    const parts = step.sources.map((source) => this.read(source));
    if (step.kind !== "add" && step.kind !== "mean") {
      return { counts: parts[0]!.counts, mean: parts[0]!.mean || step.kind === "divide" };
    }
    assert.not(parts.some((part) => part.mean));
    const counts = parts[0]!.counts.map((_, rank) =>
      parts.reduce((sum, part) => sum + part.counts[rank]!, 0),
    );
    return { counts, mean: step.kind === "mean" };
  }
}

interface Frame {
  tag: number;
  bytes: number;
  piece: Piece;
}

class Wires {
  readonly #wires = new Map<string, Frame[]>();
  between(sender: number, receiver: number): Frame[] {
    const name = `${sender} ${receiver}`;
    if (!this.#wires.has(name)) this.#wires.set(name, []);
    return this.#wires.get(name)!;
  }
  get empty(): boolean {
    return [...this.#wires.values()].every((wire) => wire.length === 0);
  }
}

/** Runs the step; false where its frame is not the next on the link. */
function run(rank: Rank, step: Step, wires: Wires): boolean {
  if (step.kind === "send") {
    const source = step.sources[0]!;
    const frame = { tag: step.tag!, bytes: source.bytes, piece: rank.read(source) };
    wires.between(rank.rank, step.peer!).push(frame);
    rank.sent += source.bytes;
  } else if (step.kind === "recv") {
    const wire = wires.between(step.peer!, rank.rank);
    if (wire[0]?.tag !== step.tag) return false;
    const frame = wire.shift()!;
    assert.is(frame.bytes, step.target!.bytes);
    rank.write(step.target!, frame.piece);
  } else {
    rank.write(step.target!, rank.compute(step));
  }
  return true;
}

function simulate(request: Request, choose: (below: number) => number): Rank[] {
  const ranks = Array.from(
    { length: request.ranks },
    (_, rank) => new Rank(rank, request, plan(request, rank)),
  );
  const wires = new Wires();
  const open = ranks.map(({ plan }) => plan.steps.map((_, index) => index));
  for (let idle = 0; idle < ranks.length; ) {
    const first = choose(ranks.length);
    idle = 0;
    for (let turn = 0; turn < ranks.length; turn++) {
      const rank = ranks[(first + turn) % ranks.length]!;
      const mine = open[rank.rank]!;
      const start = mine.length === 0 ? 0 : choose(mine.length);
      const at = mine.findIndex((_, offset) => {
        const index = mine[(start + offset) % mine.length]!;
        const step = rank.plan.steps[index]!;
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

/** The pieces of the output, in order and without a gap. */
function outputPieces(rank: Rank): Piece[] {
  const pieces = [...rank.memory]
    .map(([name, piece]) => ({ name: name.split(" "), piece }))
    .filter(({ name }) => name[0] === "output")
    .map(({ name, piece }) => ({ offset: Number(name[1]), elements: Number(name[2]), piece }))
    .sort((a, b) => a.offset - b.offset);
  let end = 0;
  for (const { offset, elements } of pieces) {
    assert.is(offset, end);
    end += elements;
  }
  assert.is(end, rank.request.elements);
  return pieces.map(({ piece }) => piece);
}

const requests = fc
  .record({
    kind: fc.constantFrom(
      ["ring", "fp32"] as const,
      ["direct", "fp32"] as const,
      ["direct", "bf16"] as const,
      ["direct", "int8_block"] as const,
      ["broadcast", "int8_block"] as const,
      ["broadcast", "fp32"] as const,
    ),
    ranks: fc.integer({ min: 1, max: RANKS_MAX }),
    root: fc.nat(),
    elements: fc.oneof(fc.nat({ max: 20 }), fc.nat({ max: 6000 })),
    segment: fc.oneof(fc.integer({ min: 40, max: 600 }), fc.constant(65536)),
  })
  .map(({ kind: [collective, codec], root, ...rest }) => ({
    collective,
    codec,
    ...rest,
    root: root % rest.ranks,
  }));

test("each contribution is reduced once, sends match recvs, nobody waits in a circle, bytes equal the cost", () => {
  fc.assert(
    fc.property(requests, fc.infiniteStream(fc.nat()), (request, stream) => {
      const ranks = simulate(request, (below) => (stream.next().value as number) % below);
      for (const rank of ranks) {
        assert.is(rank.sent, bytesSent(request, rank.rank));
        for (const { counts, mean } of outputPieces(rank)) {
          const root = request.collective === "broadcast" ? request.root : undefined;
          assert.equal(
            counts,
            counts.map((_, other) => (root === undefined || root === other ? 1 : 0)),
          );
          const copied = root !== undefined || (request.collective === "ring" && request.ranks === 1);
          assert.is(mean, !copied);
        }
      }
    }),
    { numRuns: 150 },
  );
});

test("steps wait only for earlier steps, and a tag names one frame between two ranks", () => {
  fc.assert(
    fc.property(requests, fc.nat(), (request, seed) => {
      const rank = seed % request.ranks;
      const tags = new Set<string>();
      for (const [index, step] of plan(request, rank).steps.entries()) {
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
    const direct = { collective: "direct", codec: "fp32", ranks, root: 0, elements, segment: 65536 } as const;
    const ring = { ...direct, collective: "ring" } as const;
    assert.is(bytesSent(direct, 1), (2 * (ranks - 1) * elements * 4) / ranks);
    assert.is(bytesSent(ring, 1), bytesSent(direct, 1));
    const steps = (request: Request) =>
      JSON.parse(native.collectiveCost(collectives[request.collective].id, ranks, 1, 0, elements, 0, 65536))
        .latencySteps;
    assert.is(steps(direct), 2);
    assert.is(steps(ring), 2 * (ranks - 1));
  }
});

test("a plan of impossible arguments names the argument", () => {
  const { direct, ring } = collectives;
  const refused = (field: string, ...[collective, ranks, rank, root, elements, codec, segment]: number[]) => {
    try {
      native.collectivePlan(collective!, ranks!, rank!, root!, elements!, codec!, segment!);
      assert.unreachable(`${field} was not refused`);
    } catch (error) {
      assert.is((error as { code?: string }).code, "ERR_INVALID_ARGUMENT");
      assert.match((error as Error).message, new RegExp(`^${field} `));
    }
  };
  refused("collective", 99, 4, 0, 0, 100, 0, 256);
  refused("ranks", direct.id, 17, 0, 0, 100, 0, 256);
  refused("rank", direct.id, 4, 4, 0, 100, 0, 256);
  refused("root", direct.id, 4, 0, 4, 100, 0, 256);
  refused("codec", direct.id, 4, 0, 0, 100, 99, 256);
  refused("codec", ring.id, 4, 0, 0, 100, codecs.int8_block.id, 256);
  refused("segment_elements", direct.id, 4, 0, 0, 100, 0, 0);
});

test.run();
