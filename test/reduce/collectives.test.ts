/** Every collective of the reducer between peers in one process: what each rank ends with, and several at once. */
import { suite } from "uvu";
import * as assert from "uvu/assert";
import type { ReduceReport, Reducer } from "../../lib/reduce/calls.js";
import { chunkRange, type Tensor } from "../../lib/reduce/tensor.js";
import { createMesh, type MeshPeer, viewOf } from "./mesh.js";

const test = suite<{ peers: MeshPeer[] }>("collectives");
const RANKS = 4;
const LENGTH = 1000;
test.before(async (context) => {
  context.peers = await createMesh(RANKS, "none");
});
test.after(async ({ peers }) => {
  await Promise.all(peers.map((peer) => peer.close()));
});

let operation = 0;

/** The call that every rank makes, with an operation of its own. */
function common(peers: MeshPeer[]) {
  operation += 1;
  const call = { view: viewOf(1, peers), operation, segmentElements: 256, limitMs: 10_000 };
  return (rank: number) => ({ ...call, rank });
}

type Rank = ReturnType<ReturnType<typeof common>>;

/** Runs a collective on every rank; rank r's input is r + 1 + the index. */
async function onAll<Result extends ReduceReport>(
  peers: MeshPeer[],
  work: (reducer: Reducer, call: Rank & { input: Float32Array; output: Float32Array }) => Promise<Result>,
): Promise<{ outputs: Float32Array[]; results: Result[] }> {
  const at = common(peers);
  const outputs = peers.map(() => new Float32Array(LENGTH));
  const results = await Promise.all(
    peers.map(({ reducer }, rank) => {
      const input = Float32Array.from({ length: LENGTH }, (_, index) => rank + 1 + index);
      return work(reducer, { ...at(rank), input, output: outputs[rank]! });
    }),
  );
  return { outputs, results };
}

const codec = "fp32";
const all = (outputs: Float32Array[], value: (index: number) => number) => {
  for (const output of outputs)
    assert.equal(
      output,
      Float32Array.from({ length: LENGTH }, (_, index) => value(index)),
    );
};

test("all-reduces: mean, sum, weighted mean and the largest, by every collective", async ({ peers }) => {
  for (const collective of ["ring", "direct", "halving_doubling", "hierarchical"] as const) {
    const islands = [0, 1, 0, 1];
    const shape = { collective, codec, ...(collective === "hierarchical" ? { islands } : {}) };
    const mean = await onAll(peers, (reducer, call) => reducer.allReduce({ ...call, ...shape }));
    all(mean.outputs, (index) => index + 2.5);
    const order = collective === "ring" ? { order: [2, 0, 3, 1] } : {};
    const sum = await onAll(peers, (reducer, call) =>
      reducer.allReduce({ ...call, ...shape, ...order, reduction: "sum" }),
    );
    all(sum.outputs, (index) => 4 * index + 10);
    const largest = await onAll(peers, (reducer, call) =>
      reducer.allReduce({ ...call, ...shape, reduction: "max" }),
    );
    all(largest.outputs, (index) => index + 4);
    const weights = [0, 1, 3, 0];
    const weighted = await onAll(peers, (reducer, call) =>
      reducer.allReduce({ ...call, ...shape, reduction: "weighted_mean", weights }),
    );
    all(weighted.outputs, (index) => index + 2.75);
  }
});

test("reduce, reduce-scatter and all-gather", async ({ peers }) => {
  const root = peers[2]!.host.peerId;
  const reduced = await onAll(peers, (reducer, call) => reducer.reduce({ ...call, root, reduction: "sum" }));
  all([reduced.outputs[2]!], (index) => 4 * index + 10);
  const scattered = await onAll(peers, (reducer, call) => reducer.reduceScatter({ ...call, codec }));
  const gathered = await onAll(peers, (reducer, call) => reducer.allGather({ ...call, codec }));
  for (let rank = 0; rank < RANKS; rank += 1) {
    const { begin, elements } = chunkRange(LENGTH, 1, RANKS, rank);
    for (let index = begin; index < begin + elements; index += 1) {
      assert.is(scattered.outputs[rank]![index], index + 2.5);
      for (const output of gathered.outputs) assert.is(output[index], rank + 1 + index);
    }
  }
});

test("a broadcast down a tree, of members alone; a barrier sends no payload", async ({ peers }) => {
  const root = peers[3]!.host.peerId;
  const sent = await onAll(peers, (reducer, call) =>
    reducer.broadcast({ ...call, root, collective: "tree_broadcast" }),
  );
  all(sent.outputs, (index) => index + 4);
  const at = common(peers);
  const reports = await Promise.all(peers.map(({ reducer }, rank) => reducer.barrier(at(rank))));
  assert.ok(reports.every(({ bytesSent }) => bytesSent === 0));
});

test("mixing: each rank ends with its row of the matrix, and the consensus error is said", async ({
  peers,
}) => {
  const { outputs, results } = await onAll(peers, (reducer, call) =>
    reducer.mix({ ...call, codec, topology: "ring", round: 0 }),
  );
  const { matrix, graph, consensusError } = results[0]!.mixing;
  for (let rank = 0; rank < RANKS; rank += 1) {
    const row = [...matrix.subarray(rank * RANKS, (rank + 1) * RANKS)];
    const expected = row.reduce((sum, weight, other) => sum + weight * (other + 1), 0);
    assert.ok(Math.abs(outputs[rank]![0]! - expected) < 1e-5, `rank ${rank}: ${outputs[rank]![0]}`);
  }
  assert.ok(graph.gap > 0 && graph.gap <= 1);
  assert.ok(consensusError > 0 && consensusError < 1);
});

test("16-bit tensors are reduced and keep their type", async ({ peers }) => {
  const at = common(peers);
  // 1.0, 2.0, 3.0 and 4.0 in bfloat16.
  const bits = [0x3f80, 0x4000, 0x4040, 0x4080];
  const outputs = peers.map(() => new Uint16Array(LENGTH));
  const half = (data: Uint16Array): Tensor => ({ dtype: "bf16", data });
  await Promise.all(
    peers.map(({ reducer }, rank) => {
      const input = half(new Uint16Array(LENGTH).fill(bits[rank]!));
      const output = half(outputs[rank]!);
      return reducer.allReduce({ ...at(rank), collective: "direct", codec: "bf16", input, output });
    }),
  );
  for (const output of outputs)
    assert.ok(
      output.every((value) => value === 0x4020),
      "2.5",
    );
});

test("several at once on one group, begun in another order on each rank", async ({ peers }) => {
  const calls = Array.from({ length: 8 }, () => common(peers));
  const outputs = peers.map(() => calls.map(() => new Float32Array(LENGTH)));
  await Promise.all(
    peers.flatMap(({ reducer }, rank) =>
      calls.map((_, turn) => {
        const which = (turn * 3 + rank * 2) % calls.length;
        const input = new Float32Array(LENGTH).fill((rank + 1) * (which + 1));
        const call = { ...calls[which]!(rank), input, output: outputs[rank]![which]! };
        return reducer.allReduce({ ...call, collective: which % 2 === 0 ? "ring" : "direct", codec });
      }),
    ),
  );
  for (const own of outputs)
    for (const [which, output] of own.entries())
      assert.ok(output.every((value) => value === 2.5 * (which + 1)));
});

test.run();
