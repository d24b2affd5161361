/** Running graphs: buffers are checked, one run at a time, cancelled and closed cleanly. */
import "../emulated-device.js";
import { test } from "uvu";
import * as assert from "uvu/assert";
import type { GradmeshError } from "../../lib/base/errors.js";
import { GraphBuilder } from "../../lib/tensor/builder.js";
import { checkDevice } from "../../lib/tensor/device.js";
import type { Graph } from "../../lib/tensor/graph.js";
import { add, embedding } from "../../lib/tensor/operators.js";

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
  const builder = new GraphBuilder();
  let x = builder.view(builder.binding("x", 1000), [1000]);
  const one = builder.view(builder.binding("one", 1000), [1000]);
  const out = builder.view(builder.binding("out", 1000), [1000]);
  for (let i = 1; i < 3000; i++) x = add(builder, x, one);
  add(builder, x, one, out);
  const graph = builder.build(1);
  const buffers = {
    x: new Float32Array(1000),
    one: new Float32Array(1000).fill(1),
    out: new Float32Array(1000),
  };
  const busy = busyPool();
  const controller = new AbortController();
  const run = graph.run(buffers, controller.signal);
  controller.abort();
  assert.match(await rejection(run), /^ERR_ABORTED/);
  await busy.done;
  await graph.run(buffers);
  assert.is(buffers.out[0], 3000);
  graph.close();
  busy.close();
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
