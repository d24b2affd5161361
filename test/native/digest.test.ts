/**
 * The digest of state is plain BLAKE3: the golden digests and random cuts beside another implementation; and, of a graph,
 * the digests of its operators' outputs.
 */
import { readFileSync } from "node:fs";
import { blake3 } from "@noble/hashes/blake3.js";
import fc from "fast-check";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { ops } from "../../lib/native/abi.gen.js";
import { native } from "../../lib/native/load.js";

interface Case {
  readonly elements: number;
  readonly seed: number;
  readonly digest: string;
}

const { cases } = JSON.parse(readFileSync("test/vectors/state.json", "utf8")) as { cases: readonly Case[] };
const { backends } = JSON.parse(native.capabilities()) as { backends: readonly string[] };
const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString("hex");
const reference = (bytes: Uint8Array) => hex(blake3(bytes));
const pattern = (length: number, seed: number) => Uint8Array.from({ length }, (_, i) => (i + seed) % 251);

test.after(() => native.backendForce("auto"));

test("every golden digest is that of another implementation", async () => {
  assert.ok(cases.length > 40);
  for (const { elements, seed, digest } of cases) {
    const bytes = pattern(elements, seed);
    assert.is(digest, reference(bytes), `${elements} bytes`);
    assert.is(await native.digest([bytes]), digest, `${elements} bytes`);
  }
});

test("the digest of a list of buffers is that of their concatenation, on every backend", async () => {
  const lengths = fc.array(fc.oneof(fc.nat(70), fc.nat(5000), fc.nat(40_000)), { maxLength: 8 });
  await fc.assert(
    fc.asyncProperty(lengths, fc.constantFrom(...backends), async (sizes, backend) => {
      native.backendForce(backend);
      const buffers = sizes.map((size, index) => pattern(size, index * 17));
      assert.is(await native.digest(buffers), reference(Buffer.concat(buffers)));
    }),
    { numRuns: 60 },
  );
});

test("large digests that are asked for at once are each their own", async () => {
  // Of one of them the other implementation is asked too; it takes a second.
  const buffers = Array.from({ length: 5 }, (_, index) => new Uint8Array(17 << 20).fill(index));
  const digests = await Promise.all([0, 1, 2, 3, 4, 0].map((index) => native.digest([buffers[index]!])));
  assert.is(new Set(digests).size, 5);
  assert.is(digests[0], digests[5]);
  assert.is(digests[1], reference(buffers[1]!));
});

test("a graph's trace digests each output, and its memory can be read and written", async () => {
  const n = 500;
  const { copy, scale_by: scale } = ops;
  // x -> copy -> a -> scale_by c -> b -> copy -> y; a and b are the graph's own.
  const tensors = Float64Array.of(0, 0, n, 0, -1, 0, n, 0, 1, 0, 1, 0, -1, 0, n, 0, 2, 0, n, 0);
  const nodes = Int32Array.of(copy.id, 0, 1, n, scale.id, 1, 2, 3, n, copy.id, 3, 4, n);
  const graph = native.graphCreate(tensors, nodes, new Float64Array(0), 1, "cpu");
  try {
    const x = Float32Array.from({ length: n }, (_, i) => i / 8);
    const y = new Float32Array(n);
    const bindings = [x, Float32Array.of(3), y];
    const digests = new Uint8Array(3 * 32);
    await native.graphTrace(graph, bindings, 0, 3, digests);
    const tripled = x.map((value) => 3 * value);
    assert.equal(y, tripled);
    const bytesOf = (floats: Float32Array) =>
      new Uint8Array(floats.buffer, floats.byteOffset, floats.byteLength);
    const due = [x, tripled, tripled].map((floats) => reference(bytesOf(floats)));
    assert.equal(
      [0, 32, 64].map((at) => hex(digests.subarray(at, at + 32))),
      due,
    );

    const part = new Float32Array(2);
    await native.graphRead(graph, 3, 7, part);
    assert.equal([...part], [(3 * 7) / 8, 3]);
    await native.graphWrite(graph, 3, 7, Float32Array.of(-1, -2));
    await native.graphTrace(graph, bindings, 2, 3, new Uint8Array(0));
    assert.equal([...y.subarray(6, 10)], [(3 * 6) / 8, -1, -2, (3 * 9) / 8]);
  } finally {
    native.graphClose(graph);
  }
});

test.run();
