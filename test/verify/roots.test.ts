/** A unit and a trace have the same roots on every backend and on a GPU (emulated): nobody is slashed for its machine. */
import "../emulated-device.js";
import { execFile } from "node:child_process";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { native } from "../../lib/native/load.js";

const test = suite("roots");
const program = fileURLToPath(new URL("roots.js", import.meta.url));

async function roots(backend: string, device: string, models: readonly string[]): Promise<string[]> {
  const { stdout } = await promisify(execFile)(process.execPath, [program, device, ...models], {
    env: { ...process.env, GRADMESH_FORCE_BACKEND: backend },
  });
  return JSON.parse(stdout) as string[];
}

const models = ["gpt", "sgd", "mlp", "cnn"];
const { backends } = JSON.parse(native.capabilities()) as { backends: string[] };

test(`threat 37, drift between machines: every backend has the same roots: ${backends.join(", ")}`, async () => {
  const expected = await roots("scalar", "cpu", models);
  assert.is(new Set(expected).size, 3 * models.length);
  for (const backend of backends) assert.equal(await roots(backend, "cpu", models), expected, backend);
});

test("threat 37, drift between machines: a GPU has the same roots", async () => {
  assert.equal(await roots("scalar", "cuda", ["mlp"]), await roots("scalar", "cpu", ["mlp"]));
});

test.run();
