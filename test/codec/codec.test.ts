/** The codecs and random numbers through the addon: round trips, order, refusals. Their bits are tested natively. */
import fc from "fast-check";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { normal, uniform } from "../../lib/base/random.js";
import { codecCases, codecs } from "../../lib/native/abi.gen.js";
import { meanRank, openCodec } from "../../lib/native/codec.js";
import { native } from "../../lib/native/load.js";

/** Codes as rank 0 in step 0 of seed 1. */
async function encode(codec: number, source: Float32Array): Promise<Uint8Array> {
  const wire = new Uint8Array(native.codecBytes(codec, source.length));
  await native.codecEncode(codec, 1, 0, 0, 0, source, wire);
  return wire;
}

async function decode(codec: number, wire: Uint8Array, elements: number, rank = 0): Promise<Float32Array> {
  const target = new Float32Array(elements);
  await native.codecDecode(codec, 1, 0, rank, 0, wire, target);
  return target;
}

function norm(values: Float32Array): number {
  return Math.hypot(...values);
}

async function refused(work: () => unknown, pattern: RegExp): Promise<void> {
  try {
    await work();
  } catch (error) {
    assert.is((error as { code?: string }).code, "ERR_INVALID_ARGUMENT");
    assert.match((error as Error).message, pattern);
    return;
  }
  assert.unreachable(`not refused; expected ${pattern}`);
}

for (const spec of codecCases) {
  const { id, identity, contractive, exactSum, blockElements } = openCodec(spec);

  test(`${spec}: what is decoded is near the source, and of exactly codecBytes`, async () => {
    const source = new Float32Array(5000);
    await native.randomNormal(1, id, 0, 0.02, source);
    const decoded = await decode(id, await encode(id, source), source.length);
    if (identity) assert.equal(decoded, source);
    if (contractive) assert.ok(norm(source.map((x, i) => x - decoded[i]!)) <= norm(source));
  });

  test(`${spec}: the mean is the same bytes at any call${exactSum ? " and in any order" : ""}`, async () => {
    const source = new Float32Array(700);
    await native.randomNormal(2, id, 0, 0.02, source);
    const wires = await Promise.all(
      [1, -2, 0.5].map((factor) =>
        encode(
          id,
          source.map((x) => x * factor),
        ),
      ),
    );
    const mean = async (contributions: Uint8Array[]) => {
      const wire = new Uint8Array(native.codecBytes(id, source.length));
      await native.codecMean(id, 1, 0, 0, contributions, source.length, wire);
      return wire;
    };
    const first = await mean(wires);
    assert.equal(await mean(wires), first);
    if (exactSum) assert.equal(await mean(wires.toReversed()), first);
    assert.ok(await native.allFinite(await decode(id, first, source.length, meanRank)));
  });

  test(`${spec}: a wire of a wrong length, no contributions, a wrong key and overlapping memory are refused`, async () => {
    const elements = blockElements + 3;
    const bytes = native.codecBytes(id, elements);
    const memory = new ArrayBuffer(Math.max(bytes, 4 * elements));
    const source = new Float32Array(memory, 0, elements);
    const wire = new Uint8Array(bytes);
    const coding = (wire: Uint8Array, { step = 0, rank = 0, first = 0 } = {}) =>
      native.codecEncode(id, 1, step, rank, first, source, wire);
    await refused(() => coding(new Uint8Array(bytes + 1)), /wire has \d+ bytes; \d+ elements/);
    await refused(() => coding(wire, { step: 2 ** 32 }), /step is 4294967296/);
    await refused(() => coding(wire, { rank: 65_536 }), /rank is 65536/);
    if (blockElements > 1)
      await refused(() => coding(wire, { first: 1 }), /first is 1; .* multiples of its block/);
    await refused(
      () => native.codecDecode(id, 1, 0, 0, 0, new Uint8Array(bytes - 1), source),
      /take exactly/,
    );
    const mean = (wires: Uint8Array[]) => native.codecMean(id, 1, 0, 0, wires, elements, wire);
    await refused(() => mean([]), /wires holds 0 contributions/);
    await refused(() => mean([new Uint8Array(bytes), new Uint8Array(bytes + 3)]), /wires\[1\] has/);
    await refused(() => mean([wire]), /overlaps/);
    await refused(() => coding(new Uint8Array(memory, 0, bytes)), /overlaps/);
  });
}

test("a specification is one codec however it is written; a wrong one says what is allowed", async () => {
  assert.equal(openCodec("fp32"), openCodec("fp32:"));
  assert.is(openCodec("fp32").id, codecs.fp32.id);
  await refused(() => openCodec("int9"), /codec is "int9": there is no codec "int9"; allowed: "fp32", /);
  await refused(() => openCodec("fp32:block=3"), /fp32 has no option "block"; it has none/);
});

test("an unknown codec is refused", async () => {
  await refused(() => native.codecBytes(5000, 1), /codec is 5000, which codec_open has not given/);
});

test("native random numbers equal those of lib/base/random, for any key and place", async () => {
  const key = fc.integer({ min: 0, max: Number.MAX_SAFE_INTEGER });
  await fc.assert(
    fc.asyncProperty(key, key, fc.integer({ min: 0, max: 2 ** 51 }), async (seed, stream, first) => {
      const target = new Float32Array(9);
      await native.randomUniform(seed, stream, first, target);
      assert.equal(
        [...target],
        Array.from(target, (_, i) => uniform(seed, stream, first + i)),
      );
      await native.randomNormal(seed, stream, first, 0.02, target);
      assert.equal(
        [...target],
        Array.from(target, (_, i) => normal(seed, stream, first + i, 0.02)),
      );
    }),
    { numRuns: 60 },
  );
  await refused(() => native.randomNormal(1, 1, 0, Number.NaN, new Float32Array(1)), /deviation is/);
  await refused(() => native.randomNormal(1, 1, 0, -1, new Float32Array(1)), /deviation is/);
});

test("digests depend on the bytes alone, and allFinite sees one NaN", async () => {
  const floats = new Float32Array(300_000);
  await native.randomNormal(4, 0, 0, 1, floats);
  const bytes = new Uint8Array(floats.buffer);
  const whole = await native.digest([floats]);
  assert.match(whole, /^[0-9a-f]{64}$/);
  assert.is(await native.digest([bytes.subarray(0, 7), bytes.subarray(7)]), whole);
  assert.is(await native.allFinite(floats), true);
  floats[299_999] = Number.NaN;
  assert.is(await native.allFinite(floats), false);
  assert.is.not(await native.digest([floats]), whole);
});

test.run();
