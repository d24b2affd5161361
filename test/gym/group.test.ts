/** A group's collectives are the run's: sums, codecs, bytes; members that ask for different things are told. */
import { test } from "uvu";
import * as assert from "uvu/assert";
import type { AllReduceCall } from "../../lib/engine/communicator.js";
import { LocalGroup } from "../../lib/gym/group.js";

const viewOf = (ranks: number) => ({
  epoch: 0,
  members: Array.from({ length: ranks }, (_, shard) => ({ peerId: `peer-${shard}`, shard, samples: 1 })),
  seed: 5,
  measures: {},
});

const callOf = (rank: number, more: Partial<AllReduceCall> = {}): AllReduceCall => ({
  slot: 0,
  collective: "direct",
  codec: "fp32",
  down: null,
  key: { seed: 1, step: 2 },
  weights: null,
  owner: null,
  input: Float32Array.from({ length: 1000 }, (_, at) => at * (rank + 1)),
  output: new Float32Array(1000),
  last: true,
  ...more,
});

const sameBytes = (a: Float32Array, b: Float32Array) =>
  Buffer.compare(new Uint8Array(a.buffer), new Uint8Array(b.buffer)) === 0;

test("the mean of all members, the same bytes on each", async () => {
  for (const collective of [
    "direct",
    "ring",
    "halving_doubling",
    "hierarchical",
    "auto",
    "gather",
  ] as const) {
    const group = new LocalGroup({ view: viewOf(3) });
    const calls = [0, 1, 2].map((rank) => callOf(rank, { collective }));
    const reports = await Promise.all(calls.map((call, rank) => group.communicators[rank]!.allReduce(call)));
    const expected = calls[0]!.input.map((value) => value * 2);
    for (const { output } of calls) assert.ok(sameBytes(output, expected), collective);
    const sent = reports.reduce((sum, { bytesSent }) => sum + bytesSent, 0);
    const received = reports.reduce((sum, { bytesReceived }) => sum + bytesReceived, 0);
    assert.is(sent, received, collective);
    assert.ok(sent > 0 && reports.every(({ bytesFraming }) => bytesFraming > 0), collective);
    group.close();
  }
});

test("weights of 0 send nothing up and count for nothing", async () => {
  const group = new LocalGroup({ view: viewOf(3) });
  const calls = [0, 1, 2].map((rank) => callOf(rank, { weights: [1, 0, 3] }));
  const reports = await Promise.all(calls.map((call, rank) => group.communicators[rank]!.allReduce(call)));
  for (const { output } of calls) assert.equal(output[10], (10 * 1 + 30 * 3) / 4);
  assert.ok(reports[1]!.bytesSent < reports[0]!.bytesSent);
  group.close();
});

test("an owner's feedback is what coding the mean left out", async () => {
  const group = new LocalGroup({ view: viewOf(2) });
  const owners = [0, 1].map(() => ({
    state: new Float32Array(1000),
    next: new Float32Array(1000),
    decay: 1,
  }));
  const calls = [0, 1].map((rank) =>
    callOf(rank, {
      down: "int4_block",
      owner: owners[rank]!,
      input: Float32Array.from({ length: 1000 }, (_, at) => Math.cos(at)),
    }),
  );
  await Promise.all(calls.map((call, rank) => group.communicators[rank]!.allReduce(call)));
  assert.ok(sameBytes(calls[0]!.output, calls[1]!.output));
  const { input, output } = calls[0]!;
  for (const [at, value] of input.entries()) {
    const residue = owners[0]!.next[at]! + owners[1]!.next[at]!;
    assert.ok(Math.abs(value - output[at]! - residue) < 1e-6, `element ${at}`);
  }
  group.close();
});

test("words go to everybody as they are, and mixing differs between ranks", async () => {
  const group = new LocalGroup({ view: viewOf(4) });
  const outputs = [0, 1, 2, 3].map(() => new Float32Array(12));
  await Promise.all(
    outputs.map((output, rank) =>
      group.communicators[rank]!.gatherWords({
        slot: 0,
        input: Float32Array.of(rank, Number.NaN, -0),
        output,
      }),
    ),
  );
  for (const output of outputs) {
    assert.equal([output[0], output[3], output[6], output[9]], [0, 1, 2, 3]);
    assert.ok(Number.isNaN(output[1]) && Object.is(output[2], -0));
  }
  const mixed = [0, 1, 2, 3].map(() => new Float32Array(1));
  await Promise.all(
    mixed.map((output, rank) =>
      group.communicators[rank]!.mix({
        slot: 1,
        codec: "fp32",
        key: { seed: 1, step: 0 },
        input: Float32Array.of(rank * 3),
        output,
        topology: "ring",
        topologyRound: 0,
      }),
    ),
  );
  assert.equal(
    mixed.map(([value]) => Math.round(value!)),
    [4, 3, 6, 5],
  );
  group.close();
});

test("members that ask for different collectives all hear so", async () => {
  const group = new LocalGroup({ view: viewOf(2) });
  const calls = [callOf(0), callOf(1, { codec: "int8_block" })];
  const outcomes = await Promise.allSettled(
    calls.map((call, rank) => group.communicators[rank]!.allReduce(call)),
  );
  for (const outcome of outcomes) {
    assert.is(outcome.status, "rejected");
    const { code, message } = (outcome as PromiseRejectedResult).reason;
    assert.is(code, "ERR_MISMATCH");
    assert.match(message, "int8_block");
  }
  group.close();
});

test("a lost member is named to all others, and its own calls end", async () => {
  const group = new LocalGroup({ view: viewOf(3) });
  group.lose(1);
  const outcomes = await Promise.allSettled(
    [0, 1, 2].map((rank) => group.communicators[rank]!.allReduce(callOf(rank))),
  );
  const reasons = outcomes.map((outcome) => (outcome as PromiseRejectedResult).reason);
  assert.equal(
    reasons.map(({ code }) => code),
    ["ERR_PEER_LOST", "ERR_ABORTED", "ERR_PEER_LOST"],
  );
  assert.equal(reasons[0].detail.peers, ["peer-1"]);
  assert.is(group.broken?.slot, 0);
  group.close();
});

test.run();
