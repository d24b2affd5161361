/** Golden vectors through the addon, as the doctor replays them: every codec on every backend of this machine. */
import { readFileSync } from "node:fs";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { codecCases } from "../../lib/native/abi.gen.js";
import { native } from "../../lib/native/load.js";

interface Vectors {
  version: number;
  cases: { codec: string; elements: number; seed: number; digest: string }[];
}

interface Capabilities {
  cpu: { model: string; features: string[] };
  backends: string[];
  backend: string;
  threads: number;
  gpu: { available: boolean; reason: string; devices: string[] };
}

// The tests run from the package's root.
const vectors = JSON.parse(readFileSync("test/vectors/codec.json", "utf8")) as Vectors;
const capabilities = () => JSON.parse(native.capabilities()) as Capabilities;

test("capabilities say what there is, and why there is no GPU", () => {
  const { cpu, backends, backend, threads, gpu } = capabilities();
  assert.ok(cpu.model.length > 0 && Array.isArray(cpu.features));
  assert.is(backends[0], "scalar");
  assert.ok(backends.includes(backend) && threads >= 1);
  assert.is(gpu.available, gpu.devices.length > 0);
  assert.is(gpu.available, gpu.reason === "");
});

test("every codec has golden vectors", () => {
  assert.is(vectors.version, 1);
  for (const spec of codecCases)
    assert.ok(
      vectors.cases.some(({ codec }) => codec === spec),
      spec,
    );
});

for (const backend of capabilities().backends) {
  test(`every digest is reproduced on ${backend}`, async () => {
    native.backendForce(backend);
    assert.is(capabilities().backend, backend);
    for (const { codec, elements, seed, digest } of vectors.cases)
      assert.is(await native.goldenRun("codec", codec, elements, seed, "cpu"), digest);
    native.backendForce("auto");
  });
}

test("a backend, kind or codec that is not there is refused by name", async () => {
  assert.throws(() => native.backendForce("sse9"), /backend is "sse9".*allowed here: auto, scalar/);
  for (const [kind, name, pattern] of [
    ["codecs", "fp32", /kind is "codecs"/],
    ["codec", "fp31", /codec is "fp31"/],
  ] as const) {
    try {
      await native.goldenRun(kind, name, 1, 1, "cpu");
      assert.unreachable();
    } catch (error) {
      assert.match((error as Error).message, pattern);
    }
  }
});

test.run();
