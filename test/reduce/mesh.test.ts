/** Real collectives over real links between peers in one process: results, losses, tickets, and a clean end. */
import { execFile } from "node:child_process";
import { randomBytes } from "node:crypto";
import { promisify } from "node:util";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { GradmeshError } from "../../lib/base/errors.js";
import { failure } from "../failure.js";
import { createMesh, type MeshPeer, viewOf } from "./mesh.js";

const test = suite<{ peers: MeshPeer[] }>("mesh");
test.before.each((context) => {
  context.peers = [];
});
test.after.each(async ({ peers }) => {
  await Promise.all(peers.map((peer) => peer.close()));
});

const LIMIT_MS = 10_000;
let operation = 0;

// A plain loop: Float32Array.from with a function takes seconds for millions of elements.
function contribution(rank: number, length: number): Float32Array {
  const values = new Float32Array(length);
  for (let index = 0; index < length; index += 1) values[index] = Math.sin(index % 4099) * (rank + 1);
  return values;
}

const bytesOf = (array: Float32Array) => Buffer.from(array.buffer, array.byteOffset, array.byteLength);

interface Call {
  epoch: number;
  collective?: "ring" | "direct";
  codec?: "fp32" | "int8_block";
  length?: number;
  /** By rank. */
  signals?: AbortSignal[];
}

/** Resolves once the peer has sent some of a collective. */
async function sending({ endpoint }: MeshPeer): Promise<void> {
  while (endpoint.stats().payloadBytesSent === 0) await new Promise((resolve) => setImmediate(resolve));
}

/** All-reduces on every peer at once; gives the inputs, the outputs and how each call ended. */
async function reduceAll(peers: MeshPeer[], call: Call) {
  const { epoch, collective = "direct", codec = "int8_block", length = 100_000, signals = [] } = call;
  operation += 1;
  const view = viewOf(epoch, peers);
  const inputs = peers.map((_, rank) => contribution(rank, length));
  const outputs = peers.map(() => new Float32Array(length));
  const common = { view, operation, collective, codec, segmentElements: 16_384, limitMs: LIMIT_MS };
  const ends = Promise.allSettled(
    peers.map(({ reducer }, rank) =>
      reducer.allReduce({
        ...common,
        rank,
        input: inputs[rank]!,
        output: outputs[rank]!,
        ...(signals[rank] ? { signal: signals[rank] } : {}),
      }),
    ),
  );
  return { inputs, outputs, ends };
}

function checkMean(inputs: Float32Array[], outputs: Float32Array[], tolerance: number): void {
  for (const output of outputs)
    assert.ok(bytesOf(output).equals(bytesOf(outputs[0]!)), "ranks hold other bytes");
  for (let index = 0; index < outputs[0]!.length; index += 1) {
    let sum = 0;
    for (const input of inputs) sum += input[index]!;
    const difference = Math.abs(outputs[0]![index]! - sum / inputs.length);
    if (!(difference <= tolerance)) throw new Error(`element ${index} is off by ${difference}`);
  }
  for (const [rank, input] of inputs.entries()) {
    assert.ok(bytesOf(input).equals(bytesOf(contribution(rank, input.length))), "an input was changed");
  }
}

for (const encryption of ["aes-256-gcm", "none"] as const) {
  test(`four peers reduce to the same bytes (${encryption})`, async (context) => {
    context.peers = await createMesh(4, encryption);
    for (const [collective, codec, tolerance] of [
      ["direct", "int8_block", 0.06],
      ["direct", "fp32", 1e-6],
      ["ring", "fp32", 1e-6],
    ] as const) {
      for (const length of [100_000, 3, 0]) {
        const { inputs, outputs, ends } = await reduceAll(context.peers, {
          epoch: 1,
          collective,
          codec,
          length,
        });
        for (const end of await ends) {
          if (end.status === "rejected") throw end.reason;
          assert.ok(length < 4 || end.value.bytesSent > 0);
          assert.ok(end.value.seconds >= 0);
        }
        checkMean(inputs, outputs, tolerance);
      }
    }
  });
}

test("a peer lost in the middle is named by every survivor, and the next epoch completes", async (context) => {
  const peers = await createMesh(4);
  context.peers = peers;
  const { inputs, ends } = await reduceAll(peers, {
    epoch: 1,
    collective: "ring",
    codec: "fp32",
    length: 8_000_000,
  });
  await sending(peers[2]!);
  peers[2]!.endpoint.close();
  const [first, second, , fourth] = await ends;
  for (const end of [first, second, fourth]) {
    assert.is(end!.status, "rejected");
    const error = (end as PromiseRejectedResult).reason as GradmeshError;
    assert.is(error.code, "ERR_PEER_LOST", error.message);
    assert.equal(error.detail.peers, [peers[2]!.host.peerId]);
  }
  for (const [rank, input] of inputs.entries())
    assert.ok(bytesOf(input).equals(bytesOf(contribution(rank, input.length))));
  const survivors = [peers[0]!, peers[1]!, peers[3]!];
  const again = await reduceAll(survivors, { epoch: 2 });
  for (const end of await again.ends) if (end.status === "rejected") throw end.reason;
  checkMean(again.inputs, again.outputs, 0.06);
});

test("a broadcast gives the root's bits to its members alone", async (context) => {
  context.peers = await createMesh(4);
  const view = viewOf(1, context.peers);
  const length = 50_001;
  const state = new Float32Array(length);
  bytesOf(state).set(randomBytes(4 * length));
  const before = Buffer.from(bytesOf(state));
  const outputs = context.peers.map(() => new Float32Array(length));
  const ids = view.members.map(({ peerId }) => peerId);
  operation += 1;
  // The one that does not take part still links, as it would in a round.
  const idle = context.peers[1]!.links.ensure(view, 1, LIMIT_MS);
  await Promise.all(
    [0, 2, 3].map((rank) =>
      context.peers[rank]!.reducer.broadcast({
        view,
        rank,
        members: [ids[3]!, ids[0]!, ids[2]!],
        root: ids[2]!,
        operation,
        segmentElements: 4096,
        limitMs: LIMIT_MS,
        input: rank === 2 ? state : new Float32Array(length),
        output: outputs[rank]!,
      }),
    ),
  );
  await idle;
  assert.ok(bytesOf(state).equals(before));
  for (const rank of [0, 3]) assert.ok(bytesOf(outputs[rank]!).equals(before), `rank ${rank} has other bits`);
});

test("a replayed, a foreign and a guessed ticket open nothing, and the links live on", async (context) => {
  context.peers = await createMesh(3);
  const [a, , c] = context.peers as [MeshPeer, MeshPeer, MeshPeer];
  await (await reduceAll(context.peers, { epoch: 1 })).ends;
  const used = c.dialed[0]!;
  for (const target of [used, { ...used, ticket: randomBytes(32) }]) {
    for (const peer of [c, a])
      assert.is((await failure(peer.endpoint.dial(target, 2000))).code, "ERR_UNAUTHORIZED");
  }
  const { inputs, outputs, ends } = await reduceAll(context.peers, { epoch: 1 });
  for (const end of await ends) if (end.status === "rejected") throw end.reason;
  checkMean(inputs, outputs, 0.06);
});

test("a reduction aborted on one peer ends on all, and the links serve the next one", async (context) => {
  context.peers = await createMesh(3);
  const controller = new AbortController();
  const signals = [controller.signal];
  const { ends } = await reduceAll(context.peers, { epoch: 1, codec: "fp32", length: 2_000_000, signals });
  await sending(context.peers[0]!);
  controller.abort(new GradmeshError("ERR_ABORTED", "enough"));
  for (const end of await ends) {
    assert.is(end.status, "rejected");
    assert.is(((end as PromiseRejectedResult).reason as GradmeshError).code, "ERR_ABORTED");
  }
  const opened = context.peers.map(({ endpoint }) => endpoint.stats().linksOpened);
  const { inputs, outputs, ends: next } = await reduceAll(context.peers, { epoch: 2 });
  for (const end of await next) if (end.status === "rejected") throw end.reason;
  checkMean(inputs, outputs, 0.06);
  assert.equal(
    context.peers.map(({ endpoint }) => endpoint.stats().linksOpened),
    opened,
    "a new epoch with the same members keeps the links",
  );
});

test("a closed endpoint says so", async (context) => {
  context.peers = await createMesh(1);
  const { endpoint } = context.peers[0]!;
  assert.ok(endpoint.port > 0);
  assert.type(endpoint.stats(), "object");
  endpoint.close();
  endpoint.close();
  endpoint.closeLink(1);
  assert.throws(
    () => endpoint.port,
    (error: unknown) => (error as GradmeshError).code === "ERR_CLOSED",
  );
  assert.is((await failure(endpoint.ready(1, 10))).code, "ERR_CLOSED");
});

test("after closing, a process ends by itself", async () => {
  const script = `
    const { createMesh, viewOf } = await import(${JSON.stringify(new URL("./mesh.js", import.meta.url).href)});
    const peers = await createMesh(2);
    const view = viewOf(1, peers);
    await Promise.all(peers.map(({ links }, rank) => links.ensure(view, rank, 5000)));
    await Promise.all(peers.map((peer) => peer.close()));
    console.log("closed");`;
  const run = promisify(execFile);
  const { stdout } = await run(process.execPath, ["--input-type=module", "-e", script], { timeout: 15_000 });
  assert.is(stdout, "closed\n");
});

test.run();
