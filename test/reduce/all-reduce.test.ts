/** What the reducer asks of the native collective, and how it names who failed; links and collective are fakes here. */
import { test } from "uvu";
import * as assert from "uvu/assert";
import { createManualClock } from "../../lib/base/clock.js";
import { type ErrorCode, GradmeshError } from "../../lib/base/errors.js";
import { createReducer } from "../../lib/reduce/all-reduce.js";
import type { CollectiveCall } from "../../lib/reduce/endpoint.js";
import { type Plan, PlanCache, type PlanRequest, plainRequest } from "../../lib/reduce/plan.js";
import { checkAlike } from "../../lib/reduce/tensor.js";
import { failure } from "../failure.js";

const view = {
  epoch: 3,
  members: ["peer-a", "peer-b", "peer-c", "peer-d"].map((peerId) => ({ peerId, addresses: [] })),
};
const input = Float32Array.of(1, 2, 3);
const output = new Float32Array(3);
const common = { view, rank: 1, operation: 42, segmentElements: 1024, limitMs: 5000, input, output };

/** Plans that only remember what they are of, and whether they were freed. */
function makePlans(plansMax?: number) {
  const freed: PlanRequest[] = [];
  const created: PlanRequest[] = [];
  const plans = new PlanCache((request) => {
    created.push(request);
    return { request, free: () => void freed.push(request), reused: [] } as Partial<Plan> as Plan;
  }, plansMax);
  return { plans, created, freed };
}

/** A reducer whose linking takes 1200 ms, and whose collective does what it is told. */
function makeReducer(run: (call: CollectiveCall) => void = () => {}) {
  const clock = createManualClock();
  const calls: CollectiveCall[] = [];
  const { plans, created } = makePlans();
  const reducer = createReducer({
    plans,
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
  return { reducer, calls, created };
}

test("an all-reduce runs over all links, with the time that linking left", async () => {
  const { reducer, calls } = makeReducer((call) => call.report.set([100, 10, 90, 0.5, -1, 12]));
  const report = await reducer.allReduce({ ...common, collective: "direct", codec: "int8_block" });
  assert.equal(report, { bytesSent: 100, bytesFraming: 10, bytesReceived: 90, seconds: 0.5, steps: 12 });
  const { report: _, plan, ...call } = calls[0]!;
  assert.equal(plan.request, {
    ...plainRequest,
    collective: "direct",
    codec: "int8_block",
    ranks: 4,
    rank: 1,
    elements: 3,
    segmentElements: 1024,
  });
  assert.equal(call, {
    links: Int32Array.of(10, -1, 12, 13),
    operation: 42,
    seed: 0,
    step: 0,
    limitMs: 3800,
    agree: true,
    input,
    output,
  });
});

test("a schedule's order, weights, islands and held ranges are by rank of the view, the plan's by its own", async () => {
  const { reducer, calls } = makeReducer((call) => {
    call.report[4] = -1;
  });
  const held = [[], [{ begin: 1, elements: 1 }], [], []];
  await reducer.allReduce({
    ...common,
    collective: "hierarchical",
    codec: "fp32",
    reduction: "weighted_mean",
    weights: [1, 2, 3, 4],
    order: [0, 2, 1, 3],
    islands: [0, 1, 0, 1],
    held,
  });
  const { plan, links } = calls[0]!;
  assert.equal(links, Int32Array.of(10, 12, -1, 13));
  const { rank, root, weights, islands, held: inOrder } = plan.request;
  assert.equal([rank, root, weights, islands], [2, 0, [1, 3, 2, 4], [0, 0, 2, 2]]);
  assert.equal(inOrder, [[], [], [{ begin: 1, elements: 1 }], []]);
  const wrong = failure(
    reducer.allReduce({ ...common, collective: "ring", codec: "fp32", order: [0, 1, 2, 2] }),
  );
  assert.match((await wrong).message, /^order is 0, 1, 2, 2; allowed: every rank from 0 to 3 once/);
});

test("the codec on the way down and the owner's feedback: their decay in the plan, their memory in the call", async () => {
  const { reducer, calls } = makeReducer();
  const owner = { state: new Float32Array(3), next: new Float32Array(3), decay: 0.9 };
  await reducer.allReduce({ ...common, collective: "direct", codec: "eden", down: "int4_block", owner });
  const { plan, state, next } = calls[0]!;
  assert.equal([plan.request.down, plan.request.ownerDecay], ["int4_block", 0.9]);
  assert.is(state, owner.state);
  assert.is(next, owner.next);
  await reducer.allReduce({ ...common, collective: "gather_mean", codec: "topk" });
  const { down, ownerDecay, collective } = calls[1]!.plan.request;
  assert.equal([collective, down, ownerDecay, calls[1]!.state], ["gather_mean", null, null, undefined]);
});

test("16-bit tensors, and tensors that are not alike", async () => {
  const { reducer, calls } = makeReducer();
  const half = (dtype: "fp16" | "bf16") => ({ dtype, data: new Uint16Array(3) });
  await reducer.allGather({ ...common, codec: "bf16", input: half("bf16"), output: half("bf16") });
  const { collective, dtype, elements } = calls[0]!.plan.request;
  assert.equal([collective, dtype, elements], ["all_gather", "bf16", 3]);
  assert.throws(() => checkAlike(half("bf16"), half("fp16")), /input is bf16 and output fp16/);
  assert.throws(() => checkAlike(input, { device: 0, address: 16, elements: 3 }), /different devices/);
  assert.throws(() => checkAlike(input, new Float32Array(4)), /input has 3 elements and output 4/);
});

test("a plan is written once, and freed when others have taken its place", () => {
  const { plans, created, freed } = makePlans(2);
  const request = (elements: number) =>
    ({
      ...plainRequest,
      collective: "direct",
      codec: "fp32",
      ranks: 2,
      rank: 0,
      elements,
      segmentElements: 256,
    }) as const;
  const first = plans.get(request(1));
  plans.get(request(2));
  assert.is(plans.get(request(1)), first);
  plans.get(request(3));
  assert.equal(
    freed.map(({ elements }) => elements),
    [2],
    "the one that was not used for longest",
  );
  assert.is(created.length, 3);
  plans.clear();
  assert.is(freed.length, 3);
});

test("a broadcast runs over its members in the order of the view, uncoded", async () => {
  const { reducer, calls } = makeReducer();
  await reducer.broadcast({ ...common, members: ["peer-d", "peer-b", "peer-c"], root: "peer-c" });
  const { links, plan } = calls[0]!;
  assert.equal([links, plan.request.rank, plan.request.root], [Int32Array.of(-1, 12, 13), 0, 1]);
  assert.equal([plan.request.collective, plan.request.codec], ["broadcast", "fp32"]);
  await reducer.broadcast({ ...common, root: "peer-a" });
  const whole = calls[1]!;
  assert.equal(
    [whole.links, whole.plan.request.rank, whole.plan.request.root],
    [Int32Array.of(10, -1, 12, 13), 1, 0],
  );
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
