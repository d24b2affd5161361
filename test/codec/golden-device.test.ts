/** Golden vectors on a GPU, here the emulated one: the digests of the CPU. */
import "../emulated-device.js";
import { readFileSync } from "node:fs";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { native } from "../../lib/native/load.js";
import { failure } from "../failure.js";

interface Vectors {
  cases: { codec: string; elements: number; seed: number; digest: string }[];
}

const { cases } = JSON.parse(readFileSync("test/vectors/codec.json", "utf8")) as Vectors;
/** The emulator is slow. */
const short = cases.filter(({ elements }) => elements > 0 && elements < 300);

test("every codec has a twin whose digests are the CPU's", async () => {
  assert.is(new Set(short.map(({ codec }) => codec)).size, new Set(cases.map(({ codec }) => codec)).size);
  for (const { codec, elements, seed, digest } of short)
    assert.is(
      await native.goldenRun("codec", codec, elements, seed, "cuda"),
      digest,
      `${codec}[${elements}]`,
    );
});

test("a device that is not there is refused by name", async () => {
  const unknown = await failure(native.goldenRun("codec", "fp32", 1, 1, "tpu"));
  assert.match(unknown.message, /device is "tpu"; allowed: cpu, cuda, or cuda:<index>/);
  const absent = await failure(native.goldenRun("codec", "fp32", 1, 1, "cuda:7"));
  assert.match(absent.message, /device is 7; this machine has 1/);
});

test.run();
