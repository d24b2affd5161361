/** A view's collectives: their numbers, what they cost, how they end together, and where a planned fault strikes. */
import fc from "fast-check";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { GradmeshError } from "../../lib/base/errors.js";
import type { AllReduceCall } from "../../lib/engine/communicator.js";
import type { AllReduceOptions, CallOptions, ReduceReport } from "../../lib/reduce/calls.js";
import type { ChoiceQuestion } from "../../lib/reduce/choose.js";
import { LiveCommunicator } from "../../lib/run/communicator.js";
import type { RunEvent } from "../../lib/run/events.js";
import { Fault } from "../../lib/run/fault.js";
import { OperationNumbers } from "../../lib/run/operations.js";
import { RoundReduce } from "../../lib/run/round-reduce.js";
import { piecesOf } from "../../lib/run/state-transfer.js";
import { createStrategies, roundSteps } from "../../lib/strategy/registry.js";
import { failure } from "../failure.js";
import { nothingSent, viewOf } from "./one-peer.js";

function numbersOf(section: unknown): OperationNumbers {
  const strategies = createStrategies(section);
  return new OperationNumbers(strategies, roundSteps(strategies));
}

const sections = [
  {},
  { name: "ddp", commitSteps: 50 },
  { name: "streaming-diloco", innerSteps: 8, fragments: 2 },
  [
    { name: "sparta", commitEvery: 4 },
    { name: "diloco", innerSteps: 4 },
  ],
];

test("numbers of a run's collectives are its own, and ascend with epoch, round and slot", () => {
  for (const section of sections) {
    const numbers = numbersOf(section);
    const place = fc.record({ epoch: fc.nat(2 ** 20), round: fc.nat(numbers.roundsMax - 1) });
    const kind = fc.oneof(
      fc.nat(63).map((index) => ({ kind: "transfer", index }) as const),
      fc.nat(numbers.slots - 1).map((index) => ({ kind: "kept", index }) as const),
      fc.nat(numbers.slots - 1).map((index) => ({ kind: "collective", index }) as const),
    );
    const one = fc.record({ place, what: kind });
    const order = ({
      place: { epoch, round },
      what,
    }: {
      place: { epoch: number; round: number };
      what: { kind: string; index: number };
    }) =>
      [
        epoch,
        round,
        what.kind === "transfer" ? 0 : 1,
        what.index,
        what.kind === "collective" ? 1 : 0,
      ] as const;
    fc.assert(
      fc.property(one, one, (a, b) => {
        const [first, second] = [a, b].map(({ place: at, what }) => numbers[what.kind](at, what.index));
        assert.ok(Number.isSafeInteger(first));
        const [left, right] = [order(a), order(b)];
        const differs = left.findIndex((value, index) => value !== right[index]);
        const expected = differs < 0 ? 0 : Math.sign(left[differs]! - right[differs]!);
        assert.is(Math.sign(first! - second!), expected);
      }),
    );
  }
});

const plainCall: AllReduceCall = {
  slot: 0,
  collective: "auto",
  codec: "fp32",
  down: null,
  key: { seed: 1, step: 0 },
  weights: null,
  owner: null,
  input: new Float32Array(4),
  output: new Float32Array(4),
  last: false,
};

type Answer = (options: AllReduceOptions) => Promise<ReduceReport>;

function communicatorOf(
  answer: Answer,
  hooks: Partial<ConstructorParameters<typeof LiveCommunicator>[0]> = {},
) {
  const events: RunEvent[] = [];
  const asked: ChoiceQuestion[] = [];
  const allGather = async () => nothingSent;
  const network = { onLoss: "exact", segmentElements: 256, roundLimitMs: 1000 } as const;
  const live = viewOf({});
  const reducing = new RoundReduce({
    reducer: { allReduce: answer, allGather } as never,
    endpoint: { finished: () => [] },
    network,
    self: "me",
    emit: (event) => void events.push(event),
    choose: async (question) => {
      asked.push(question);
      return { collective: "ring", candidates: [], explain: () => "because" };
    },
  });
  const over = new LiveCommunicator({
    live,
    view: { epoch: 1, members: [], seed: 1, measures: {} },
    rank: 0,
    reducer: { mix: allGather, allGather } as never,
    reducing,
    numbers: numbersOf({ name: "ddp", commitSteps: 4 }),
    network,
    ...hooks,
  });
  return { over, events, asked };
}

/** As the native collective does: it rejects as soon as the signal aborts. */
const waitFor = (signal: AbortSignal, reason: () => unknown) =>
  new Promise<never>((_, reject) => {
    if (signal.aborted) reject(reason());
    signal.addEventListener("abort", () => reject(reason()));
  });

test("auto is asked once for what is alike, and tells what it chose", async () => {
  const used: unknown[] = [];
  const { over, events, asked } = communicatorOf(async ({ collective, down }) => {
    used.push([collective, down]);
    return nothingSent;
  });
  await over.allReduce(plainCall);
  await over.allReduce({ ...plainCall, slot: 1 });
  await over.allReduce({ ...plainCall, slot: 2, output: new Float32Array(8) });
  // Only there is the mean coded anew.
  await over.allReduce({ ...plainCall, slot: 3, down: "int4_block" });
  assert.equal(used, [...new Array(3).fill(["ring", undefined]), ["direct", "int4_block"]]);
  assert.is(asked.length, 2);
  assert.is(events.filter(({ type }) => type === "chosen").length, 2);
});

test("one that fails ends the others, and the first reason counts; bytes are those of all of them", async () => {
  const lost = new GradmeshError("ERR_PEER_LOST", "lost", { detail: { bytesSent: 5, peers: ["other"] } });
  const { over } = communicatorOf(async ({ operation, signal }: CallOptions) => {
    if (operation === first) return { ...nothingSent, bytesSent: 10, bytesFraming: 2 };
    if (operation === failing) throw lost;
    return waitFor(signal!, () => new GradmeshError("ERR_ABORTED", "ended", { detail: { bytesSent: 1 } }));
  });
  const numbers = numbersOf({ name: "ddp", commitSteps: 4 });
  const [first, failing] = [0, 2].map((slot) => numbers.collective({ epoch: 1, round: 0 }, slot));
  await over.allReduce(plainCall);
  const waiting = over.allReduce({ ...plainCall, slot: 1 });
  const ended = failure(waiting);
  assert.is((await failure(over.allReduce({ ...plainCall, slot: 2 }))).code, "ERR_PEER_LOST");
  assert.is((await ended).code, "ERR_ABORTED");
  await over.end(lost);
  assert.is(over.failure, lost);
  assert.is(over.traffic.bytesSent, 18);
});

test("what this peer ends itself is no failure of the network", async () => {
  const { over } = communicatorOf(({ signal }) => waitFor(signal!, () => signal!.reason));
  const waiting = failure(over.allReduce(plainCall));
  await over.end(new GradmeshError("ERR_TRAINER", "the trainer failed"));
  assert.is((await waiting).code, "ERR_TRAINER");
  assert.is(over.failure, null);
});

test("contributions that are not finite, or that an inspection refuses, are failures that name peers", async () => {
  const members = ["me", "other"].map((peerId, shard) => ({ peerId, shard, samples: 1 }));
  const gathers = (row: readonly number[], inspect?: () => Promise<void>) =>
    communicatorOf(async () => nothingSent, {
      view: { epoch: 1, members, seed: 1, measures: {} },
      reducer: {
        mix: async () => assert.unreachable() as never,
        allGather: async ({ input, output }: { input: Float32Array; output: Float32Array }) => {
          output.set(input);
          output.set(row, 2);
          return { ...nothingSent, bytesSent: 8 };
        },
      } as never,
      ...(inspect === undefined ? {} : { inspect }),
    }).over;
  const key = { seed: 1, step: 0 };
  const call = { slot: 0, codec: "fp32", key, coders: [0, 1], input: Float32Array.of(1, 2) };
  const output = new Float32Array(4);
  const sound = gathers([3, 4]);
  await sound.gatherAll({ ...call, output });
  assert.equal([...output], [1, 2, 3, 4]);
  assert.is(sound.traffic.bytesSent, 8);
  await sound.inspect({ slot: 0, contributions: [] });
  assert.is(sound.failure, null);
  const infinite = gathers([3, Number.POSITIVE_INFINITY]);
  assert.is((await failure(infinite.gatherAll({ ...call, output }))).code, "ERR_DIVERGED");
  assert.equal(infinite.failure?.detail.peers, ["other"]);
  const caught = new GradmeshError("ERR_PROOF", "not what it committed to", { detail: { peers: ["other"] } });
  const inspected = gathers([3, 4], () => Promise.reject(caught));
  assert.is((await failure(inspected.inspect({ slot: 0, contributions: [] }))).code, "ERR_PROOF");
  assert.is(inspected.failure, caught);
});

test("a slot beyond what a round may have is refused before anything is sent", async () => {
  const { over } = communicatorOf(async () => assert.unreachable() as never);
  assert.is((await failure(over.allReduce({ ...plainCall, slot: 1e6 }))).code, "ERR_INTERNAL");
});

test("a fault counts the steps of all collectives of its round", () => {
  const planned: [number, number][] = [];
  const fault = new Fault(
    { round: 2, steps: 10, signal: "SIGKILL" },
    { fault: (operation, steps) => void planned.push([operation, steps]) },
  );
  const collective = (operation: number) => {
    fault.began(operation);
    fault.ended(6);
  };
  fault.enter(0);
  collective(1);
  fault.enter(1);
  for (const operation of [2, 3, 4]) collective(operation);
  assert.equal(planned, [
    [2, 10],
    [3, 4],
    [4, 1],
  ]);
});

test("tensors that lie behind one another in memory are sent as one", () => {
  const memory = new Float32Array(10);
  const named = (data: Float32Array) => ({ name: "", shape: [data.length], data });
  const parts = [memory.subarray(0, 3), memory.subarray(3, 7), memory.subarray(8, 10), new Float32Array(0)];
  const other = new Float32Array(2);
  const pieces = piecesOf([...parts, other].map(named));
  assert.equal(
    pieces.map(({ byteOffset, length }) => [byteOffset / 4, length]),
    [
      [0, 7],
      [8, 2],
      [0, 2],
    ],
  );
  assert.ok(pieces[0]!.buffer === memory.buffer && pieces[2] === other);
});

test.run();
