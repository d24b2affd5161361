/** Loss, gradients and AdamW steps against PyTorch in double precision; skipped where there is no PyTorch. */
import { spawnSync } from "node:child_process";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { test } from "uvu";
import * as assert from "uvu/assert";
import type { TensorLayout } from "../../lib/tensor/layout.js";
import { type GptShape, gptModel } from "../../lib/trainer/gpt-model.js";
import { stepGraph } from "../../lib/trainer/model.js";
import { type GptCase, gptCase, relativeError } from "./gpt-case.js";

const python = "/usr/bin/python3";
const script = fileURLToPath(new URL("../../../test/trainer/gpt_torch.py", import.meta.url));
const shape: GptShape = { layers: 2, width: 32, heads: 4, context: 16, batch: 4, vocabulary: 29 };
const settings = {
  optimizer: "adamw",
  beta1: 0.9,
  beta2: 0.95,
  epsilon: 1e-8,
  weightDecay: 0.1,
  clip: 1,
} as const;
const learningRates = [1e-3, 2e-3, 3e-3];

interface TorchResult {
  readonly steps: readonly { readonly loss: number; readonly norm: number }[];
  readonly version: string;
}

async function runTorch(folder: string, { layout, buffers }: GptCase): Promise<TorchResult> {
  await writeFile(join(folder, "parameters.f32"), buffers.parameters);
  await writeFile(join(folder, "tokens.i32"), buffers.tokens);
  await writeFile(join(folder, "targets.i32"), buffers.targets);
  const description = { shape, settings, learningRates, slots: layout.slots };
  await writeFile(join(folder, "case.json"), JSON.stringify(description));
  const { status, stdout, stderr } = spawnSync(python, [script, folder], { encoding: "utf8" });
  assert.is(status, 0, stderr);
  return JSON.parse(stdout) as TorchResult;
}

/**
 * The elements to compare. Keys' biases are left out: a constant added to all scores of a row changes no softmax, so
 * their true gradient is 0 and what AdamW makes of it is the sign of rounding errors.
 */
function comparable<Values extends Float32Array | Float64Array>(name: string, values: Values): Values {
  if (!name.endsWith("qkv.bias")) return values;
  const width = values.length / 3;
  return values.filter((_, i) => i < width || i >= 2 * width) as Values;
}

function expectClose(
  layout: TensorLayout,
  what: string,
  actual: Float32Array,
  expected: Float64Array,
  limit: number,
) {
  for (const { name, offset, elements } of layout.slots) {
    const values = comparable(name, layout.view(actual, name));
    const error = relativeError(values, comparable(name, expected.subarray(offset, offset + elements)));
    assert.ok(error < limit, `${what} of ${name} is off by ${error} of its length, limit ${limit}`);
  }
}

async function compare(): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), "gradmesh-torch-"));
  try {
    const seed = 21;
    const training = await gptCase(shape, seed);
    const { layout, buffers } = training;
    const torch = await runTorch(folder, training);
    const graph = stepGraph(gptModel(shape), shape.batch, settings).build(1);
    for (const [step, expected] of torch.steps.entries()) {
      buffers.schedule.set([learningRates[step]!, step + 1]);
      await graph.run(buffers);
      assert.ok(Math.abs(buffers.loss[0]! - expected.loss) < 1e-5 * expected.loss, `loss of step ${step}`);
      assert.ok(Math.abs(buffers.clip[1]! - expected.norm) < 1e-4 * expected.norm, `norm of step ${step}`);
    }
    graph.close();
    const read = async (name: string) =>
      new Float64Array((await readFile(join(folder, name))).buffer.slice(0));
    // PyTorch leaves its gradients clipped, by limit / (norm + 1e-6).
    const clipped = buffers.gradients.map((value) => value * buffers.clip[0]!);
    expectClose(layout, "gradient", clipped, await read("gradients.f64"), 1e-4);
    expectClose(layout, "first moment", buffers.first, await read("first.f64"), 1e-4);
    expectClose(layout, "second moment", buffers.second, await read("second.f64"), 2e-4);
    expectClose(layout, "parameter", buffers.parameters, await read("parameters.f64"), 1e-5);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

const probe = spawnSync(python, ["-c", "import torch, numpy"], { encoding: "utf8" });
if (probe.status === 0) {
  test("three training steps equal PyTorch's to float32 precision", compare);
} else {
  console.log(`skipped: ${python} cannot import torch and numpy (Debian: python3-torch)`);
}

test.run();
