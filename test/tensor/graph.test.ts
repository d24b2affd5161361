/** Running graphs: buffers are checked, one run at a time, cancelled and closed cleanly. */
import "../emulated-device.js";
import { test } from "uvu";
import * as assert from "uvu/assert";
import type { GradmeshError } from "../../lib/base/errors.js";
import { GraphBuilder } from "../../lib/tensor/builder.js";
import { checkDevice } from "../../lib/tensor/device.js";
import { add, axpby, dot, gather, scaleBy, scatter } from "../../lib/tensor/elements.js";
import type { Graph } from "../../lib/tensor/graph.js";
import { embedding } from "../../lib/tensor/operators.js";
import { adaptive, signStep } from "../../lib/tensor/optimizers.js";

function sumGraph(elements: number): Graph {
  const graph = new GraphBuilder();
  const tensor = (name: string) => graph.view(graph.binding(name, elements), [elements]);
  add(graph, tensor("a"), tensor("b"), tensor("out"));
  return graph.build(1);
}

const buffersOf = (elements: number) => ({
  a: new Float32Array(elements).fill(1),
  b: new Float32Array(elements).fill(2),
  out: new Float32Array(elements),
});

/** The code and message of the rejection; a fulfilled promise is a failure. */
async function rejection(promise: Promise<unknown>): Promise<string> {
  try {
    await promise;
  } catch (error) {
    return `${(error as GradmeshError).code ?? (error as Error).name}: ${(error as Error).message}`;
  }
  return assert.unreachable("it was not rejected") as never;
}

test("a run computes, and the profile counts it", async () => {
  const graph = sumGraph(5);
  const buffers = buffersOf(5);
  await graph.run(buffers);
  assert.equal([...buffers.out], [3, 3, 3, 3, 3]);
  assert.is(graph.profile().add?.runs, 1);
  graph.close();
});

test("operators on whole tensors compute what they say, in place where they say so", async () => {
  const builder = new GraphBuilder();
  const tensor = (name: string, elements: number, kind: "f32" | "i32" = "f32") =>
    builder.view(builder.binding(name, elements, kind), [elements]);
  const [x, y, index] = [tensor("x", 4), tensor("y", 4), tensor("index", 2, "i32")];
  axpby(builder, x, y, tensor("coefficients", 2), tensor("sum", 4));
  scaleBy(builder, x, tensor("factor", 1), tensor("scaled", 4));
  const kept = gather(builder, x, index, tensor("kept", 2));
  scatter(builder, kept, index, tensor("spread", 4));
  dot(builder, x, y, tensor("product", 1));
  signStep(builder, { gradient: x, schedule: tensor("sign", 2) }, { parameters: tensor("signed", 4) });
  const state = { parameters: tensor("p", 4), first: tensor("m", 4), second: tensor("v", 4) };
  const settings = { kind: "adagrad", beta1: 0.5, beta2: 0, epsilon: 1 } as const;
  adaptive(builder, { gradient: x, schedule: tensor("rate", 1) }, state, settings);
  const graph = builder.build(1);
  const of = (...values: number[]) => Float32Array.from(values);
  const b = {
    ...{ x: of(1, -2, 0, 4), y: of(8, 8, 8, 8), coefficients: of(2, 0.5), sum: of(0, 0, 0, 0) },
    ...{ factor: of(-1), scaled: of(0, 0, 0, 0), index: Int32Array.of(1, 3), kept: of(0, 0), product: of(0) },
    ...{ spread: of(9, 9, 9, 9), sign: of(0.5, 0.5), signed: of(4, 4, 4, 4), rate: of(3) },
    ...{ p: of(1, 1, 1, 1), m: of(0, 0, 0, 0), v: of(3, 0, 1, 0) },
  };
  await graph.run(b);
  assert.equal([...b.sum], [6, 0, 4, 12]);
  assert.equal([...b.scaled], [-1, 2, -0, -4]);
  assert.equal([...b.kept], [-2, 4]);
  assert.equal([...b.spread], [9, -2, 9, 4]);
  assert.equal([...b.product], [24]);
  assert.equal([...b.signed], [2.5, 3.5, 3, 2.5]);
  assert.equal([...b.v], [4, 4, 1, 16]);
  assert.equal([...b.m], [0.5, -1, 0, 2]);
  assert.equal(
    [...b.p],
    [Math.fround(1 - 3 * Math.fround(0.5 / 3)), 1 + 3 / 3, 1, Math.fround(1 - 3 * Math.fround(2 / 5))],
  );
  b.index.set([3, 1]);
  assert.match(
    await rejection(graph.run(b)),
    /^ERR_INVALID_ARGUMENT: .*\(scatter\): tensor .* holds 1 at 1, after 3/,
  );
  graph.close();
});

test("after close every call says ERR_CLOSED, and close may be called again", async () => {
  const graph = sumGraph(5);
  graph.close();
  graph.close();
  assert.match(await rejection(graph.run(buffersOf(5))), /^ERR_CLOSED/);
  assert.throws(
    () => graph.profile(),
    (error: GradmeshError) => error.code === "ERR_CLOSED",
  );
});

test("missing, unknown, short and mistyped buffers are named", async () => {
  const graph = sumGraph(5);
  const { a, b, out } = buffersOf(5);
  assert.match(await rejection(graph.run({ a, b })), /"out" wants 5 f32 elements, given nothing/);
  assert.match(await rejection(graph.run({ a, b, out, c: a })), /no binding "c"; there are: a, b, out/);
  assert.match(await rejection(graph.run({ a, b, out: new Float32Array(4) })), /given Float32Array of 4/);
  assert.match(await rejection(graph.run({ a, b, out: new Int32Array(5) })), /given Int32Array of 5/);
  graph.close();
});

test("a second run at the same time is refused; the first goes on", async () => {
  const graph = sumGraph(1000);
  const buffers = buffersOf(1000);
  const first = graph.run(buffers);
  assert.match(await rejection(graph.run(buffers)), /running already/);
  await first;
  assert.is(buffers.out[999], 3);
  graph.close();
});

/** Runs that keep every thread of libuv's pool (4) busy, so that the next run waits in the queue. */
function busyPool(): { done: Promise<unknown>; close: () => void } {
  const graphs = Array.from({ length: 12 }, () => sumGraph(500_000));
  const buffers = graphs.map(() => buffersOf(500_000));
  const done = Promise.all(graphs.map((graph, i) => graph.run(buffers[i]!)));
  return { done, close: () => graphs.map((graph) => graph.close()) };
}

test("a graph closed while its run waits or goes on lets it end", async () => {
  const graph = sumGraph(1000);
  const buffers = buffersOf(1000);
  const busy = busyPool();
  const run = graph.run(buffers);
  graph.close();
  await run;
  assert.is(buffers.out[999], 3);
  assert.match(await rejection(graph.run(buffers)), /^ERR_CLOSED/);
  await busy.done;
  busy.close();
});

test("an abort in the middle of a run ends it with ERR_ABORTED, and the graph runs again", async () => {
  // Long enough that the abort comes in its middle, however busy the machine is.
  const [elements, nodes] = [200_000, 3000];
  const builder = new GraphBuilder();
  const tensor = (name: string) => builder.view(builder.binding(name, elements), [elements]);
  const [even, odd, one] = [tensor("even"), tensor("odd"), tensor("one")];
  for (let i = 0; i < nodes; i++) add(builder, i % 2 === 0 ? even : odd, one, i % 2 === 0 ? odd : even);
  const graph = builder.build(1);
  const filled = (value: number) => new Float32Array(elements).fill(value);
  const buffers = { even: filled(0), odd: filled(0), one: filled(1) };
  const controller = new AbortController();
  const run = graph.run(buffers, controller.signal);
  controller.abort();
  assert.match(await rejection(run), /^ERR_ABORTED/);
  buffers.even.fill(0);
  await graph.run(buffers);
  assert.is(buffers.even[0], nodes);
  graph.close();
});

test("an aborted signal stops the run before it starts", async () => {
  const graph = sumGraph(5);
  const buffers = buffersOf(5);
  assert.match(await rejection(graph.run(buffers, AbortSignal.abort())), /^20|AbortError|ERR_ABORTED/);
  assert.equal([...buffers.out], [0, 0, 0, 0, 0]);
  await graph.run(buffers);
  graph.close();
});

test("a token outside the vocabulary is an error that leaves the graph usable", async () => {
  const graph = new GraphBuilder();
  const tokens = graph.view(graph.binding("tokens", 2, "i32"), [2]);
  const table = graph.view(graph.binding("table", 6), [3, 2]);
  const positions = graph.view(graph.binding("positions", 4), [2, 2]);
  const y = embedding(graph, tokens, table, positions);
  add(graph, y, y, graph.view(graph.binding("out", 4), [2, 2]));
  const built = graph.build(1);
  const buffers = {
    table: Float32Array.of(1, 2, 3, 4, 5, 6),
    positions: new Float32Array(4),
    out: new Float32Array(4),
  };
  for (const wrong of [3, -1]) {
    const message = await rejection(built.run({ ...buffers, tokens: Int32Array.of(0, wrong) }));
    assert.match(message, /^ERR_INVALID_ARGUMENT/);
  }
  await built.run({ ...buffers, tokens: Int32Array.of(2, 0) });
  assert.equal([...buffers.out], [10, 12, 2, 4]);
  built.close();
});

test("transfers name bindings, and change nothing on the CPU", async () => {
  const graph = sumGraph(5);
  const buffers = buffersOf(5);
  await graph.run(buffers, undefined, { a: "kept", b: "in", out: "kept" });
  assert.equal([...buffers.out], [3, 3, 3, 3, 3]);
  assert.match(
    await rejection(graph.run(buffers, undefined, { c: "in" })),
    /^ERR_INVALID_ARGUMENT: graph: no binding "c"; there are: a, b, out/,
  );
  graph.close();
});

test("on a device buffers are copied as asked for, and what was never copied in is not read", async () => {
  const graph = new GraphBuilder();
  const tensor = (name: string) => graph.view(graph.binding(name, 5), [5]);
  add(graph, tensor("a"), tensor("b"), tensor("out"));
  const built = graph.build(1, "cuda");
  const buffers = buffersOf(5);
  assert.match(
    await rejection(built.run(buffers, undefined, { a: "kept" })),
    /^ERR_INVALID_ARGUMENT: binding 0 is read by the graph, and its mirror on the GPU holds nothing yet/,
  );
  await built.run(buffers, undefined, { out: "kept" });
  assert.equal([...buffers.out], [0, 0, 0, 0, 0]);
  buffers.a.fill(100);
  buffers.b.fill(5);
  await built.run(buffers, undefined, { a: "kept", b: "in", out: "out" });
  assert.equal([...buffers.out], [6, 6, 6, 6, 6]);
  await built.run(buffers);
  assert.equal([...buffers.out], [105, 105, 105, 105, 105]);
  built.close();
});

test("an unknown device is refused with those there are", () => {
  assert.throws(() => checkDevice("gpu"), /device is "gpu"; allowed: cpu, cuda, or cuda:<index>/);
  assert.throws(() => checkDevice("cuda:5"), /device is 5; this machine has 1/);
  checkDevice("cpu");
  checkDevice("cuda");
});

test.run();
