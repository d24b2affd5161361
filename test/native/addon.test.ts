/** The addon's edges: which memory it takes, and a worker thread that ends with calls of every kind on their way. */
import { once } from "node:events";
import { isMainThread, parentPort, Worker, workerData } from "node:worker_threads";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { codecs, collectives } from "../../lib/native/abi.gen.js";
import { native } from "../../lib/native/load.js";

const ELEMENTS = 1 << 20;
const LIMIT_MS = 20_000;
const fp32 = codecs.fp32.id;
const bytes = (value: number) => new Uint8Array(32).fill(value);
const [ticket, first, second] = [bytes(1), bytes(2), bytes(3)];

function collective(endpoint: number, rank: number, link: number): Promise<void> {
  const links = Int32Array.from([0, 1], (other) => (other === rank ? -1 : link));
  const bytes = () => new Uint8Array(4 * ELEMENTS);
  const report = new Float64Array(6);
  const none = new Float64Array(0);
  const floats = new Float32Array(0);
  const { id } = collectives.direct;
  const shape = [id, 2, rank, 0, ELEMENTS, fp32, -1, -1, 65_536] as const;
  const plan = native.planCreate(...shape, 0, 0, none, "", 0, new Int32Array(0), none);
  const keys = [plan, links, 1, 1, 0, LIMIT_MS, true] as const;
  return native.collectiveRun(endpoint, ...keys, bytes(), bytes(), floats, floats, report, 0);
}

/** Links to the main thread, then leaves everything on its way. */
async function live(port: number): Promise<void> {
  const endpoint = native.endpointCreate("127.0.0.1", 0, LIMIT_MS, true, "");
  const link = await native.endpointDial(endpoint, "127.0.0.1", port, ticket, first, second, 1, LIMIT_MS, 0);
  const quiet = () => undefined;
  collective(endpoint, 0, link).catch(quiet);
  // More than there are threads of the pool, so that the failing call ends last.
  const large = new Uint8Array(32 << 20);
  for (let call = 0; call < 6; call++) native.digest([large]).catch(quiet);
  native.goldenRun("op", "no such operator", 1, 1, "cpu").catch(quiet);
  parentPort!.postMessage("running");
}

async function refused(work: () => unknown, pattern: RegExp): Promise<void> {
  try {
    await work();
  } catch (error) {
    assert.match((error as Error).message, pattern);
    return;
  }
  assert.unreachable(`not refused; expected ${pattern}`);
}

test("shared memory is taken as it is", async () => {
  const source = new Float32Array(new SharedArrayBuffer(16)).fill(1.5);
  const wire = new Uint8Array(16);
  await native.codecEncode(fp32, 1, 0, 0, 0, source, wire);
  assert.equal([...new Float32Array(wire.buffer)], [1.5, 1.5, 1.5, 1.5]);
});

test("a buffer that could shrink during the call is refused", async () => {
  const buffer = new ArrayBuffer(16, { maxByteLength: 64 });
  const pattern = /argument \d must be .* fixed length/;
  await refused(
    () => native.codecEncode(fp32, 1, 0, 0, 0, new Float32Array(buffer), new Uint8Array(16)),
    pattern,
  );
  await refused(() => native.digest([new Uint8Array(buffer)]), pattern);
});

test("a buffer that was transferred away is empty, not read", async () => {
  const source = new Float32Array(4);
  structuredClone(source.buffer, { transfer: [source.buffer] });
  await refused(
    () => native.codecEncode(fp32, 1, 0, 0, 0, source, new Uint8Array(16)),
    /wire has 16 bytes; 0 elements/,
  );
});

// Before endpoints ended with their environment, the collective below succeeded, in memory that was freed.
test("a worker that is terminated takes its endpoints with it, and leaves the process alone", async () => {
  const endpoint = native.endpointCreate("127.0.0.1", 0, LIMIT_MS, true, "");
  try {
    const link = native.endpointExpect(endpoint, ticket, second, first, 1, LIMIT_MS);
    const worker = new Worker(new URL(import.meta.url), { workerData: native.endpointPort(endpoint) });
    await once(worker, "message");
    await native.linkReady(endpoint, link, LIMIT_MS, 0);
    await worker.terminate();
    await refused(() => collective(endpoint, 1, link), /rank 0 was lost/);
  } finally {
    native.endpointClose(endpoint);
  }
});

if (isMainThread) test.run();
else await live(workerData as number);
