/** Collectives among ranks of one process: the bytes and results of a network; what is conserved, refused and timed. */
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { codecCases } from "../../lib/native/abi.gen.js";
import { codecParts, openCodec } from "../../lib/native/codec.js";
import { native } from "../../lib/native/load.js";
import type { AllReduceOptions, ReduceReport } from "../../lib/reduce/calls.js";
import { runLocal, type SimulatedLinks, simulateCollective } from "../../lib/reduce/local.js";
import { Plan, type PlanRequest, plainRequest, planCost } from "../../lib/reduce/plan.js";
import { chunkRange } from "../../lib/reduce/tensor.js";
import { failure } from "../failure.js";
import { createMesh, type MeshPeer, viewOf } from "./mesh.js";

const test = suite<{ peers: MeshPeer[] }>("local");
const RANKS = 4;
const LENGTH = 5000;
const SEGMENT = 512;
test.before(async (context) => {
  context.peers = await createMesh(RANKS, "none");
});
test.after(async ({ peers }) => {
  await Promise.all(peers.map((peer) => peer.close()));
});

const key = { seed: 12, step: 7 };
const ranksOf = (ranks: number) => Array.from({ length: ranks }, (_, rank) => rank);

async function normals(stream: number, length: number): Promise<Float32Array> {
  const values = new Float32Array(length);
  await native.randomNormal(5, stream, 0, 1, values);
  return values;
}

type Shape = Pick<PlanRequest, "collective" | "codec"> & Partial<PlanRequest>;

/** Runs work with the plans of all ranks. */
async function withPlans<Result>(
  shape: Shape,
  ranks: number,
  elements: number,
  work: (plans: Plan[]) => Promise<Result>,
): Promise<Result> {
  const plans = ranksOf(ranks).map(
    (rank) => new Plan({ ...plainRequest, segmentElements: SEGMENT, ...shape, ranks, rank, elements }),
  );
  try {
    return await work(plans);
  } finally {
    for (const plan of plans) plan.free();
  }
}

interface Memory {
  inputs: Float32Array[];
  outputs: Float32Array[];
  states: Float32Array[];
  nexts: Float32Array[];
}

async function memoryOf(shape: Shape, ranks: number, length: number): Promise<Memory> {
  const fed = (shape.ownerDecay ?? null) !== null;
  const blank = () => ranksOf(ranks).map(() => new Float32Array(length).fill(7));
  return {
    inputs: await Promise.all(ranksOf(ranks).map((rank) => normals(rank, length))),
    outputs: blank(),
    states: fed ? await Promise.all(ranksOf(ranks).map((rank) => normals(rank + 100, length))) : [],
    nexts: fed ? blank() : [],
  };
}

let operation = 0;

/** The same collective over real links. */
async function runOverLinks(peers: MeshPeer[], shape: Shape, memory: Memory): Promise<ReduceReport[]> {
  operation += 1;
  const { codec, ownerDecay = null, down = null, reduction = "mean", weights = [] } = shape;
  const common = { view: viewOf(1, peers), operation, segmentElements: SEGMENT, limitMs: 20_000, codec, key };
  return Promise.all(
    peers.map(({ reducer }, rank) => {
      const input = memory.inputs[rank]!;
      const call = { ...common, rank, input, output: memory.outputs[rank]! };
      if (shape.collective === "mix")
        return reducer.mix({ ...call, topology: shape.topology!, round: shape.round! });
      if (shape.collective === "all_gather") return reducer.allGather(call);
      if (shape.collective === "reduce_scatter")
        return reducer.reduceScatter({ ...call, reduction, weights });
      return reducer.allReduce({
        ...call,
        collective: shape.collective as AllReduceOptions["collective"],
        reduction,
        weights,
        ...(down === null ? {} : { down }),
        ...(ownerDecay === null
          ? {}
          : { owner: { state: memory.states[rank]!, next: memory.nexts[rank]!, decay: ownerDecay } }),
        ...(shape.islands === undefined ? {} : { islands: shape.islands }),
      });
    }),
  );
}

const weighted = { reduction: "weighted_mean", weights: [1, 0, 2.5, 0] } as const;
const shapes: Shape[] = [
  { collective: "direct", codec: "fp32" },
  { collective: "direct", codec: "int4_block" },
  { collective: "direct", codec: "int8_block", reduction: "sum" },
  { collective: "direct", codec: "fp32", ...weighted },
  { collective: "direct", codec: "eden:bits=2", ...weighted },
  { collective: "direct", codec: "eden:bits=1", down: "int4_block" },
  { collective: "direct", codec: "eden:bits=1", down: "int4_block", ownerDecay: 1 },
  {
    collective: "direct",
    codec: "int8_block:rounding=stochastic",
    down: "topk:block=256,k=20",
    ownerDecay: 0.9,
  },
  { collective: "direct", codec: "topk", down: "sign1", ownerDecay: 0.5, ...weighted },
  { collective: "direct", codec: "topk", down: "fp32", reduction: "sum" },
  { collective: "gather_mean", codec: "topk:block=256,k=13,values=sign" },
  { collective: "gather_mean", codec: "dct_topk", ...weighted },
  { collective: "gather_mean", codec: "lowrank:rows=37,columns=100,rank=7" },
  { collective: "gather_mean", codec: "fp32" },
  { collective: "ring", codec: "int8_block" },
  { collective: "ring", codec: "fp32" },
  { collective: "halving_doubling", codec: "fp32" },
  { collective: "hierarchical", codec: "int4_block", islands: [0, 1, 1, 0] },
  { collective: "reduce_scatter", codec: "int8_block" },
  { collective: "all_gather", codec: "bf16" },
  { collective: "mix", codec: "eden", topology: "one_peer_exponential", round: 1 },
];

test("the results, the feedback and the bytes of a network, with one thread and with several", async ({
  peers,
}) => {
  for (const shape of shapes) {
    const what = JSON.stringify(shape);
    const due = await memoryOf(shape, RANKS, LENGTH);
    const reports = await runOverLinks(peers, shape, due);
    await withPlans(shape, RANKS, LENGTH, async (plans) => {
      for (const threads of [1, 3]) {
        const memory = await memoryOf(shape, RANKS, LENGTH);
        const before = await native.digest([...memory.inputs, ...memory.states]);
        const sent = await runLocal({ plans, key, ...memory, threads });
        assert.is(await native.digest([...memory.inputs, ...memory.states]), before, what);
        for (const rank of ranksOf(RANKS)) {
          // What a reduce-scatter leaves outside of the own chunk means nothing.
          const block = openCodec(shape.codec).blockElements;
          const chunk = chunkRange(LENGTH, block, RANKS, rank);
          const part =
            shape.collective === "reduce_scatter"
              ? ([chunk.begin, chunk.begin + chunk.elements] as const)
              : ([0, LENGTH] as const);
          const digest = (from: Memory) =>
            native.digest([from.outputs[rank]!.subarray(...part), from.nexts[rank] ?? new Float32Array(0)]);
          assert.is(await digest(memory), await digest(due), `${what} rank ${rank} threads ${threads}`);
        }
        assert.equal(
          [...sent],
          reports.map(({ bytesSent }) => bytesSent),
          what,
        );
        assert.equal(
          [...sent],
          plans.map(({ request }) => planCost(request).bytesSent),
          what,
        );
      }
    });
  }
});

test("ranks with weight 0 send nothing up, and the mean is that of the others", async () => {
  for (const collective of ["direct", "gather_mean"] as const) {
    const codec = "eden:bits=2";
    const some = { collective, codec, reduction: "weighted_mean", weights: [0, 1, 0, 1, 1] } as const;
    const bytes = ranksOf(5).map(
      (rank) =>
        planCost({ ...plainRequest, ...some, ranks: 5, rank, elements: 40_960, segmentElements: 4096 })
          .bytesSent,
    );
    const wire = native.codecBytes(openCodec(codec).id, 40_960);
    // A fifth down to each of 4, and where it contributes the other four fifths up; or all to each of 4.
    const [down, up] = collective === "direct" ? [(4 * wire) / 5, (4 * wire) / 5] : [0, 4 * wire];
    assert.equal(
      bytes,
      some.weights.map((weight) => down + weight * up),
    );
  }
  // Of a codec without random numbers, the mean of the others has the same bytes.
  const inputs = await Promise.all(ranksOf(5).map((rank) => normals(rank, LENGTH)));
  const outputs = inputs.map(() => new Float32Array(LENGTH));
  const codec = "topk:block=64,k=5";
  const some = {
    collective: "gather_mean",
    codec,
    reduction: "weighted_mean",
    weights: [0, 1, 0, 1, 1],
  } as const;
  await withPlans(some, 5, LENGTH, (plans) => runLocal({ plans, key, inputs, outputs }));
  const others = [inputs[1]!, inputs[3]!, inputs[4]!];
  const alone = others.map(() => new Float32Array(LENGTH));
  const shape = { collective: "gather_mean", codec } as const;
  await withPlans(shape, 3, LENGTH, (plans) => runLocal({ plans, key, inputs: others, outputs: alone }));
  assert.is(await native.digest([outputs[0]!]), await native.digest([alone[0]!]));
});

/** The residue of every element, from its owner. */
function assemble(states: readonly Float32Array[], block: number): Float32Array {
  const all = new Float32Array(states[0]!.length);
  for (const [rank, state] of states.entries()) {
    const { begin, elements } = chunkRange(all.length, block, states.length, rank);
    all.set(state.subarray(begin, begin + elements), begin);
  }
  return all;
}

test("with feedback at the owner nothing is lost: what was sent and the residue are the sum of all means", async () => {
  const shape = { collective: "direct", codec: "fp32", down: "int4_block:block=32", ownerDecay: 1 } as const;
  const ROUNDS = 30;
  const expected = new Float64Array(LENGTH);
  const sums = new Float64Array(LENGTH);
  let states = ranksOf(RANKS).map(() => new Float32Array(LENGTH));
  let nexts = ranksOf(RANKS).map(() => new Float32Array(LENGTH));
  await withPlans(shape, RANKS, LENGTH, async (plans) => {
    for (let round = 0; round < ROUNDS; round += 1) {
      const inputs = await Promise.all(ranksOf(RANKS).map((rank) => normals(round * RANKS + rank, LENGTH)));
      const outputs = inputs.map(() => new Float32Array(LENGTH));
      await runLocal({ plans, key: { ...key, step: round }, inputs, outputs, states, nexts });
      [states, nexts] = [nexts, states];
      for (let at = 0; at < LENGTH; at += 1) {
        sums[at]! += outputs[0]![at]!;
        expected[at]! += inputs.reduce((sum, input) => sum + input[at]!, 0) / RANKS;
      }
    }
  });
  const residue = assemble(states, 32);
  let worst = 0;
  let unsent = 0;
  for (let at = 0; at < LENGTH; at += 1) {
    worst = Math.max(worst, Math.abs(sums[at]! + residue[at]! - expected[at]!));
    unsent = Math.max(unsent, Math.abs(residue[at]!));
  }
  // Each round rounds the mean, the state and the residue to float32: a few 2^-24 of numbers below 8.
  assert.ok(worst < ROUNDS * 4 * 2 ** -22, `${worst}`);
  // The codec errs, and its error does not add up over the rounds.
  assert.ok(unsent > 0.01 && unsent < 1, `${unsent}`);
});

test("what a failed attempt leaves changes nothing: the state is read alone", async () => {
  const shape = { collective: "direct", codec: "eden:bits=1", down: "int4_block", ownerDecay: 1 } as const;
  const memory = await memoryOf(shape, 3, LENGTH);
  const once = await withPlans(shape, 3, LENGTH, async (plans) => {
    await runLocal({ plans, key, ...memory });
    const first = await native.digest([...memory.outputs, ...memory.nexts]);
    await runLocal({ plans, key, ...memory });
    assert.is(await native.digest([...memory.outputs, ...memory.nexts]), first);
    return memory.nexts;
  });
  // Elements of other ranks' chunks stay as they were.
  const { begin, elements } = chunkRange(LENGTH, 4096, 3, 0);
  assert.is(begin, 0);
  assert.ok(once[0]!.subarray(elements).every((value) => value === 7));
});

test("what cannot work is refused, with the field and the cure", async () => {
  const plan = (shape: Shape) => () =>
    new Plan({ ...plainRequest, ranks: 3, rank: 0, elements: 100, segmentElements: 64, ...shape }).free();
  const refused = (shape: Shape, pattern: RegExp) => assert.throws(plan(shape), pattern);
  const direct = { collective: "direct", codec: "eden:bits=1" } as const;
  refused(
    { ...direct, down: "eden", ownerDecay: 1 },
    /^down is eden; allowed: a contractive codec .* is unbiased/s,
  );
  refused({ ...direct, ownerDecay: 1 }, /codec is eden:bits=1; allowed: a contractive codec/);
  refused({ ...direct, down: "int4_block", ownerDecay: 1.5 }, /owner_decay is 1.5.*; allowed: from 0 to 1/);
  refused(
    { ...direct, down: "int4_block", ownerDecay: -1 },
    /ownerDecay is -1; allowed: from 0 to 1, or null/,
  );
  refused({ ...direct, down: "int4_block", ownerDecay: Number.NaN }, /ownerDecay is NaN/);
  refused(
    { ...direct, down: "int4_block", ownerDecay: 1, reduction: "sum" },
    /reduction is sum; allowed: mean, weighted/,
  );
  const held = [[{ begin: 0, elements: 32 }], [], []];
  refused(
    { ...direct, down: "int4_block", ownerDecay: 1, held },
    /held is a list of 3; allowed: none with owner_decay/,
  );
  refused(
    { collective: "ring", codec: "fp32", down: "int4_block" },
    /down is int4_block; allowed: none for ring/,
  );
  refused(
    { collective: "gather_mean", codec: "topk", ownerDecay: 1 },
    /owner_decay is .* allowed: none .*gather_mean/,
  );
  refused(
    { collective: "gather_mean", codec: "topk", reduction: "sum" },
    /reduction is sum; allowed: mean, weighted_mean/,
  );

  const blank = () => new Float32Array(100);
  const shape = { ...direct, down: "int4_block", ownerDecay: 1 } as const;
  await withPlans(shape, 2, 100, async (plans) => {
    const good = {
      plans,
      key,
      inputs: [blank(), blank()],
      outputs: [blank(), blank()],
      states: [blank(), blank()],
      nexts: [blank(), blank()],
    };
    const wrong = async (change: Partial<typeof good & { threads: number }>, pattern: RegExp) =>
      assert.match((await failure(runLocal({ ...good, ...change }))).message, pattern);
    await runLocal(good);
    await wrong({ plans: plans.toReversed() }, /plans\[0\] is of rank 1; allowed: the plan of rank 0/);
    await wrong({ plans: [plans[0]!], inputs: [blank()] }, /outputs holds 2 buffers; allowed: 1/);
    await wrong({ inputs: [blank(), new Float32Array(99)] }, /inputs\[1\] has 396 bytes; allowed: 400/);
    await wrong({ states: [] }, /states holds 0 buffers; allowed: 2/);
    await wrong({ nexts: [blank(), new Float32Array(1)] }, /nexts\[1\] has 4 bytes; allowed: 400/);
    await wrong(
      { outputs: [good.inputs[1]!, blank()] },
      /inputs\[1\].*outputs\[0\]|outputs\[0\].*inputs\[1\]/,
    );
    await wrong({ nexts: [good.states[0]!, blank()] }, /overlap; allowed: memory apart/);
    await wrong({ threads: 0 }, /threads is 0; allowed: 1 to/);
    // Inputs may be one memory: they are only read.
    await runLocal({ ...good, inputs: [good.inputs[0]!, good.inputs[0]!] });
  });
  await withPlans({ ...shape, ownerDecay: 0.5 }, 2, 100, (others) =>
    withPlans(shape, 2, 100, async (plans) => {
      const nothing = { inputs: [blank(), blank()], outputs: [blank(), blank()] };
      const feedback = { states: [blank(), blank()], nexts: [blank(), blank()] };
      const call = { plans: [plans[0]!, others[1]!], key, ...nothing, ...feedback };
      assert.match((await failure(runLocal(call))).message, /plans\[1\] differs from plans\[0\]: details/);
    }),
  );
});

test("the wire bytes of every codec by kind add up, and a sparse codec's indices are counted", () => {
  for (const spec of codecCases)
    for (const elements of [0, 1, 100, 4096, 10_000]) {
      const { payload, scales, indices } = codecParts(spec, elements);
      assert.is(payload + scales + indices, native.codecBytes(openCodec(spec).id, elements), spec);
    }
  assert.equal(codecParts("fp32", 100), { payload: 400, scales: 0, indices: 0 });
  assert.equal(codecParts("int4_block", 1280), { payload: 640, scales: 10, indices: 0 });
  assert.equal(codecParts("eden:bits=1", 8192), { payload: 1024, scales: 8, indices: 0 });
  // 64 of 4096, an index of 12 bits each.
  assert.equal(codecParts("topk", 8192), { payload: 512, scales: 0, indices: 192 });
  assert.equal(codecParts("topk:values=int8", 4096), { payload: 64, scales: 1, indices: 96 });
  assert.equal(codecParts("dct_topk:values=sign", 4096), { payload: 8, scales: 4, indices: 96 });
  assert.equal(codecParts("random_mask:values=sign", 8192).indices, 0);
});

test("a simulated collective ends when its slowest rank and link let it", async () => {
  const shape = { collective: "direct", codec: "fp32", segmentElements: 1 << 20 } as const;
  const ELEMENTS = 4 << 18;
  const links: SimulatedLinks = {
    uplink: Float64Array.of(1e6),
    downlink: Float64Array.of(1e6),
    delay: new Float64Array(16).fill(0.05),
  };
  await withPlans(shape, 4, ELEMENTS, async ([plan]) => {
    const all = await simulateCollective(plan!, new Float64Array(4), links);
    const chunk = ELEMENTS / 1e6;
    // Three chunks up and three down, each behind a delay; headers of 32 bytes.
    for (const end of all) assert.ok(Math.abs(end - (6 * chunk + 0.1)) < 1e-3, `${end}`);
    const late = await simulateCollective(plan!, Float64Array.of(0, 0, 100, 0), links);
    // Others have sent theirs long before; its own three chunks leave, and the results follow.
    for (const end of late) assert.ok(end > 100 + 3 * chunk && end < 100 + 7 * chunk + 0.2, `${end}`);
    assert.ok(Math.max(...late) > Math.max(...all));
    const wrong = simulateCollective(plan!, Float64Array.of(0, 0, -1, 0), links);
    assert.match((await failure(wrong)).message, /ready_seconds/);
  });
  // A rank without a part in it is done when it begins.
  const weighted = {
    ...shape,
    collective: "gather_mean",
    reduction: "weighted_mean",
    weights: [1, 0],
  } as const;
  await withPlans(weighted, 2, 1000, async ([plan]) => {
    const pair = { ...links, delay: Float64Array.of(0, 0.05, 0.05, 0) };
    const [sender, receiver] = await simulateCollective(plan!, Float64Array.of(1, 5), pair);
    assert.ok(sender! >= 1 && sender! < 1.1 && receiver! >= 5 && receiver! < 5.001, `${sender} ${receiver}`);
  });
});

test.run();
