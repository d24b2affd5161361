/** The codecs and random numbers through the addon: round trips, order, refusals. Their bits are tested natively. */
import fc from "fast-check";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { normal, uniform } from "../../lib/base/random.js";
import { type CodecName, codecs } from "../../lib/native/abi.gen.js";
import { native } from "../../lib/native/load.js";

const names = Object.keys(codecs) as CodecName[];

async function encode(codec: number, source: Float32Array): Promise<Uint8Array> {
  const wire = new Uint8Array(native.codecBytes(codec, source.length));
  await native.codecEncode(codec, source, wire);
  return wire;
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

for (const name of names) {
  const { id, linear, exactSum } = codecs[name];

  test(`${name}: what is decoded codes to the same wire, of exactly codecBytes`, async () => {
    const source = new Float32Array(1000);
    await native.randomNormal(1, id, 0, 0.02, source);
    const wire = await encode(id, source);
    const decoded = new Float32Array(source.length);
    await native.codecDecode(id, wire, decoded);
    assert.equal(await encode(id, decoded), wire);
    if (linear) assert.equal(decoded, source);
    for (const [i, value] of decoded.entries()) assert.ok(Math.abs(value - source[i]!) < 0.002);
  });

  test(`${name}: the mean of two opposite contributions is zero${exactSum ? ", in any order" : ""}`, async () => {
    const source = new Float32Array(700);
    await native.randomNormal(2, id, 0, 0.02, source);
    const wires = [
      await encode(id, source),
      await encode(
        id,
        source.map((x) => -x),
      ),
    ] as const;
    const mean = new Uint8Array(wires[0].length);
    await native.codecMean(id, wires, source.length, mean);
    const decoded = new Float32Array(source.length).fill(1);
    await native.codecDecode(id, mean, decoded);
    assert.ok(decoded.every((x) => x === 0));
    const other = new Float32Array(source.length);
    await native.randomNormal(3, id, 0, 1, other);
    const three = [...wires, await encode(id, other)];
    await native.codecMean(id, three, source.length, mean);
    const reversed = new Uint8Array(mean.length);
    await native.codecMean(id, three.toReversed(), source.length, reversed);
    if (exactSum) assert.equal(reversed, mean);
  });

  test(`${name}: a wire of a wrong length, no contributions and overlapping memory are refused`, async () => {
    const source = new Float32Array(10);
    const bytes = native.codecBytes(id, 10);
    const wire = new Uint8Array(bytes);
    await refused(
      () => native.codecEncode(id, source, new Uint8Array(bytes + 1)),
      /wire has \d+ bytes; 10 elements/,
    );
    await refused(() => native.codecDecode(id, new Uint8Array(bytes - 1), source), /take exactly/);
    await refused(() => native.codecMean(id, [], 10, wire), /wires holds 0 contributions/);
    await refused(
      () => native.codecMean(id, [new Uint8Array(bytes), new Uint8Array(3)], 10, wire),
      /wires\[1\] has 3/,
    );
    await refused(() => native.codecMean(id, [wire], 10, wire), /overlaps/);
    await refused(() => native.codecEncode(id, source, new Uint8Array(source.buffer, 0, bytes)), /overlaps/);
  });
}

test("an unknown codec is refused with the ids there are", async () => {
  await refused(() => native.codecBytes(99, 1), /codec is 99; the ids are 0 to 2/);
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
