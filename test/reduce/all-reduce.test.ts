/** What the reducer asks of the native collective, and how it names who failed; links and collective are fakes here. */
import { test } from "uvu";
import * as assert from "uvu/assert";
import { createManualClock } from "../../lib/base/clock.js";
import { type ErrorCode, GradmeshError } from "../../lib/base/errors.js";
import { codecs, collectives } from "../../lib/native/abi.gen.js";
import { createReducer } from "../../lib/reduce/all-reduce.js";
import type { CollectiveCall } from "../../lib/reduce/endpoint.js";
import { failure } from "../failure.js";

const view = {
  epoch: 3,
  members: ["peer-a", "peer-b", "peer-c", "peer-d"].map((peerId) => ({ peerId, addresses: [] })),
};
const input = Float32Array.of(1, 2, 3);
const output = new Float32Array(3);
const common = { view, rank: 1, operation: 42, segmentElements: 1024, limitMs: 5000, input, output };

/** A reducer whose linking takes 1200 ms, and whose collective does what it is told. */
function makeReducer(run: (call: CollectiveCall) => void = () => {}) {
  const clock = createManualClock();
  const calls: CollectiveCall[] = [];
  const reducer = createReducer({
    clock,
    links: {
      async ensure(_view, rank) {
        clock.advance(1200);
        return Int32Array.from([10, 11, 12, 13], (link, other) => (other === rank ? -1 : link));
      },
    },
    endpoint: {
      async run(call) {
        calls.push(call);
        run(call);
      },
    },
  });
  return { reducer, calls };
}

test("an all-reduce runs over all links, with the time that linking left", async () => {
  const { reducer, calls } = makeReducer((call) => call.report.set([100, 10, 90, 0.5, -1, 12]));
  const report = await reducer.allReduce({ ...common, collective: "direct", codec: "int8_block" });
  assert.equal(report, { bytesSent: 100, bytesFraming: 10, bytesReceived: 90, seconds: 0.5, steps: 12 });
  const { report: _, ...call } = calls[0]!;
  assert.equal(call, {
    links: Int32Array.of(10, -1, 12, 13),
    operation: 42,
    collective: collectives.direct.id,
    rank: 1,
    root: 0,
    codec: codecs.int8_block.id,
    seed: 0,
    step: 0,
    segmentElements: 1024,
    limitMs: 3800,
    input,
    output,
  });
});

test("a broadcast runs over its members in the order of the view, uncoded", async () => {
  const { reducer, calls } = makeReducer();
  await reducer.broadcast({ ...common, members: ["peer-d", "peer-b", "peer-c"], root: "peer-c" });
  const call = calls[0]!;
  assert.equal([call.links, call.rank, call.root], [Int32Array.of(-1, 12, 13), 0, 1]);
  assert.equal([call.collective, call.codec], [collectives.broadcast.id, codecs.fp32.id]);
  await reducer.broadcast({ ...common, root: "peer-a" });
  assert.equal([calls[1]!.links, calls[1]!.rank, calls[1]!.root], [Int32Array.of(10, -1, 12, 13), 1, 0]);
});

test("impossible members of a broadcast are refused", async () => {
  const { reducer, calls } = makeReducer();
  for (const [members, root, pattern] of [
    [["peer-b", "peer-x"], "peer-b", /peer-x is not a member of epoch 3/],
    [["peer-b"], "peer-y", /peer-y is not a member/],
    [["peer-c", "peer-d"], "peer-c", /must hold this peer/],
    [["peer-b", "peer-c"], "peer-d", /and the root/],
  ] as [string[], string, RegExp][]) {
    const error = await failure(reducer.broadcast({ ...common, members, root }));
    assert.is(error.code, "ERR_INVALID_ARGUMENT");
    assert.match(error.message, pattern);
  }
  assert.is(calls.length, 0);
});

test("a native failure names the lost peer by its id, also within a group", async () => {
  const losing = (code: ErrorCode, rank: number) => (call: CollectiveCall) => {
    call.report.set([70, 7]);
    call.report[4] = rank;
    throw new GradmeshError(code, "the link to rank 1 closed");
  };
  const whole = await failure(
    makeReducer(losing("ERR_PEER_LOST", 3)).reducer.allReduce({
      ...common,
      collective: "ring",
      codec: "fp32",
    }),
  );
  assert.is(whole.code, "ERR_PEER_LOST");
  assert.equal(whole.detail.peers, ["peer-d"]);
  assert.match(whole.message, /^peer peer-d: /);
  const members = ["peer-b", "peer-d"];
  const group = await failure(
    makeReducer(losing("ERR_PEER_LOST", 1)).reducer.broadcast({ ...common, members, root: "peer-b" }),
  );
  assert.equal(group.detail.peers, ["peer-d"]);
  const nobody = await failure(
    makeReducer(losing("ERR_TIMEOUT", -1)).reducer.allReduce({
      ...common,
      collective: "ring",
      codec: "fp32",
    }),
  );
  assert.is(nobody.code, "ERR_TIMEOUT");
  assert.equal(nobody.detail, { bytesSent: 77 });
});

test.run();
