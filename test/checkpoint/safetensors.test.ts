/** The safetensors format: exact bytes, round trips, and hostile files that must be refused by name. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { GradmeshError } from "../../lib/base/errors.js";
import {
  encodeSafetensors,
  HEADER_BYTES_MAX,
  type NamedTensor,
  readSafetensors,
  readSafetensorsHeader,
  scanSafetensors,
} from "../../lib/checkpoint/safetensors.js";

const folder = mkdtempSync(join(tmpdir(), "gradmesh-safetensors-"));
test.after(() => rmSync(folder, { recursive: true, force: true }));
const path = join(folder, "file.safetensors");

const f32 = (name: string, shape: number[], values: number[]): NamedTensor => ({
  name,
  shape,
  data: Float32Array.from(values),
});

function encode(tensors: readonly NamedTensor[], metadata?: Record<string, string>): Buffer {
  return Buffer.concat([...encodeSafetensors(tensors, metadata)]);
}

/** A file with any header, as a hostile peer might write it. */
function file(header: string | object, data = 0, claimed?: bigint): Buffer {
  const text = Buffer.from(typeof header === "string" ? header : JSON.stringify(header));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(claimed ?? BigInt(text.length));
  return Buffer.concat([length, text, Buffer.alloc(data)]);
}

async function refusal(bytes: Uint8Array): Promise<string> {
  writeFileSync(path, bytes);
  try {
    await readSafetensorsHeader(path);
  } catch (error) {
    assert.instance(error, GradmeshError);
    assert.is((error as GradmeshError).code, "ERR_CHECKPOINT");
    assert.ok((error as Error).message.startsWith(path), "the message names the file");
    return (error as Error).message.slice(path.length + 2);
  }
  throw new Error("the file was accepted");
}

test("the bytes are those of the format's description", () => {
  const header = '{"__metadata__":{"a":"b"},"w":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}';
  const padded = header.padEnd(Math.ceil(header.length / 8) * 8, " ");
  const length = `${padded.length.toString(16).padStart(2, "0")}00000000000000`;
  const expected = [length, Buffer.from(padded).toString("hex"), "0000803f", "000000c0"].join("");
  assert.is(encode([f32("w", [2], [1, -2])], { a: "b" }).toString("hex"), expected);
});

test("tensors are views, not copies, and wider elements come first", () => {
  const bytes: NamedTensor = { name: "bytes", shape: [3], data: new Uint8Array([1, 2, 3]) };
  const weights = f32("weights", [2, 1], [1, 2]);
  const pieces = [...encodeSafetensors([bytes, weights])];
  assert.is(pieces[1]!.buffer, weights.data.buffer);
  assert.is(pieces[2]!.buffer, bytes.data.buffer);
  assert.is(pieces[0]!.byteLength % 8, 0);
});

test("what is written is read back, bit by bit", async () => {
  const name = fc
    .string({ minLength: 1, maxLength: 12, unit: "binary" })
    .filter((text) => text !== "__metadata__");
  const shape = fc.array(fc.nat({ max: 5 }), { maxLength: 4 });
  const parameters = { numRuns: 60, seed: Number(process.env.GRADMESH_TEST_SEED ?? Date.now() % 2 ** 31) };
  const tensors = fc.uniqueArray(fc.tuple(name, shape, fc.constantFrom("F32", "I32", "U8")), {
    selector: ([text]) => text,
    maxLength: 6,
  });
  await fc.assert(
    fc.asyncProperty(tensors, fc.infiniteStream(fc.nat({ max: 255 })), async (list, random) => {
      const written = list.map(([text, size, type]): NamedTensor => {
        const elements = size.reduce((count, length) => count * length, 1);
        const raw = new Uint8Array(elements * (type === "U8" ? 1 : 4)).map(() => random.next().value);
        const data = { F32: Float32Array, I32: Int32Array, U8: Uint8Array }[type]!;
        return { name: text, shape: size, data: new data(raw.buffer) };
      });
      writeFileSync(path, encode(written, { note: "Ahab" }));
      const read = written.map((tensor) => ({ ...tensor, data: tensor.data.slice().fill(7) }));
      const header = await readSafetensors(path, read);
      assert.equal(header.metadata, { note: "Ahab" });
      for (const [index, tensor] of written.entries())
        assert.is(Buffer.compare(Buffer.from(tensor.data.buffer), Buffer.from(read[index]!.data.buffer)), 0);
    }),
    parameters,
  );
});

test("a tensor longer than a piece arrives whole", async () => {
  const large = f32(
    "large",
    [3, 200_001],
    Array.from({ length: 600_003 }, (_, index) => index),
  );
  writeFileSync(path, encode([large, f32("small", [], [5])]));
  const target = { ...large, data: new Float32Array(600_003) };
  const small = f32("small", [], [0]);
  await readSafetensors(path, [small, target]);
  assert.equal(target.data, large.data);
  assert.is(small.data[0], 5);
  let seen = 0;
  await scanSafetensors(path, (entry, piece) => {
    if (entry.name === "large") seen += piece.byteLength;
  });
  assert.is(seen, large.data.byteLength);
});

test("a file for other targets is refused before any target is written", async () => {
  writeFileSync(path, encode([f32("a", [2], [1, 2]), f32("b", [1], [3])]));
  const cases: [NamedTensor[], RegExp][] = [
    [[f32("a", [2], [9, 9])], /unexpected tensor "b"/],
    [[f32("a", [2], [9, 9]), f32("c", [1], [9])], /no tensor "c"/],
    [[f32("a", [2], [9, 9]), f32("b", [], [9])], /"b" is F32 \[1\], expected F32 \[\]/],
    [
      [f32("a", [2], [9, 9]), { name: "b", shape: [1], data: new Int32Array([9]) }],
      /"b" is F32 \[1\], expected I32/,
    ],
  ];
  for (const [targets, message] of cases) {
    try {
      await readSafetensors(path, targets);
      assert.unreachable(String(message));
    } catch (error) {
      assert.match((error as Error).message, message);
      assert.ok(targets.every((target) => target.data.every((value) => value === 9)));
    }
  }
});

test("impossible tensors are refused before anything is written", () => {
  const cases: [NamedTensor[], RegExp][] = [
    [[f32("", [0], [])], /name must not be empty/],
    [[f32("__metadata__", [0], [])], /name must not be/],
    [[f32("a", [0], []), f32("a", [0], [])], /two tensors/],
    [[f32("a", [3], [1])], /3 elements, the data 1/],
    [[f32("a", [-1, -1], [1])], /integers from 0/],
  ];
  for (const [tensors, message] of cases) assert.throws(() => encode(tensors), message);
});

test("hostile headers are refused by name, without an allocation of what they claim", async () => {
  const tensor = { dtype: "F32", shape: [2], data_offsets: [0, 8] };
  const nested = `{"a":${"[".repeat(100_000)}`;
  const cases: [Uint8Array, RegExp][] = [
    [new Uint8Array(0), /too few/],
    [new Uint8Array(9), /too few/],
    [file("{}", 0, 1n << 40n), /claims 1099511627776 bytes; allowed here: 2 to 2/],
    [file("{}", 0, (1n << 64n) - 1n), /claims/],
    [file("{}", 0, 1n), /claims 1 bytes/],
    [file(" ".repeat(HEADER_BYTES_MAX + 1)), /claims/],
    [file("[]"), /does not begin with/],
    [file("{]"), /not valid JSON/],
    [file(nested), /not valid JSON/],
    [file(" {}"), /does not begin/],
    [Buffer.concat([file({ a: tensor }).subarray(0, 10), Buffer.from([0xff, 0xfe])]), /claims|UTF-8/],
    [file({ __metadata__: { a: 1 } }), /map text to text/],
    [file({ a: 1 }), /"a" is not described/],
    [file({ a: { ...tensor, dtype: "F99" } }, 8), /unknown dtype "F99"/],
    [file({ a: { ...tensor, dtype: "constructor" } }, 8), /unknown dtype/],
    [file({ a: { ...tensor, extra: 1 } }, 8), /unknown key "extra"/],
    [file({ a: { ...tensor, shape: [-2] } }, 8), /impossible shape/],
    [file({ a: { ...tensor, shape: [1.5] } }, 8), /impossible shape/],
    [file({ a: { ...tensor, shape: "2" } }, 8), /impossible shape/],
    [file({ a: { ...tensor, shape: Array(99).fill(1) } }, 8), /impossible shape/],
    [file({ a: { ...tensor, shape: [2 ** 52, 2 ** 52] } }, 8), /has shape/],
    [file({ a: { ...tensor, data_offsets: [8, 0] } }, 8), /has shape/],
    [file({ a: { ...tensor, data_offsets: [0] } }, 8), /impossible data_offsets/],
    [file({ a: { ...tensor, data_offsets: [0, 1e300] } }, 8), /impossible data_offsets/],
    [file({ a: { ...tensor, data_offsets: [4, 12] } }, 12), /begins at byte/],
    [file({ a: tensor }, 7), /describes .* bytes, the file has/],
    [file({ a: tensor }, 9), /describes .* bytes, the file has/],
    [file({ a: tensor, b: { ...tensor, data_offsets: [4, 12] } }, 12), /begins at byte/],
    [file({ a: tensor, b: { ...tensor, data_offsets: [12, 20] } }, 20), /begins at byte/],
    [
      file(
        '{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"a":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}}',
        8,
      ),
      /begins at byte/,
    ],
  ];
  for (const [bytes, message] of cases) assert.match(await refusal(bytes), message);
});

test("random damage to a header never does anything but name the file", async () => {
  const seed = Number(process.env.GRADMESH_TEST_SEED ?? Date.now() % 2 ** 31);
  const whole = encode([f32("parameters/a", [2, 2], [1, 2, 3, 4]), f32("momentum/a", [2, 2], [5, 6, 7, 8])]);
  const damage = fc.array(fc.tuple(fc.nat({ max: whole.length - 33 }), fc.nat({ max: 255 })), {
    minLength: 1,
    maxLength: 6,
  });
  await fc.assert(
    fc.asyncProperty(damage, async (places) => {
      const copy = Uint8Array.from(whole);
      for (const [place, value] of places) copy[place] = value;
      writeFileSync(path, copy);
      await readSafetensorsHeader(path).catch((error) => assert.is(error.code, "ERR_CHECKPOINT"));
    }),
    { numRuns: 300, seed },
  );
});

test.run();
