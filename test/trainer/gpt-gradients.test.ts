/** The GPT's gradients against central finite differences of the same model in doubles: every single element. */
import { test } from "uvu";
import * as assert from "uvu/assert";
import { type GptShape, gptModel } from "../../lib/trainer/gpt-model.js";
import { stepGraph } from "../../lib/trainer/model.js";
import { gptCase, relativeError } from "./gpt-case.js";
import { referenceLoss } from "./gpt-reference.js";

const shape: GptShape = { layers: 2, width: 8, heads: 2, context: 5, batch: 2, vocabulary: 7 };
const settings = {
  optimizer: "adamw",
  beta1: 0.9,
  beta2: 0.95,
  epsilon: 1e-8,
  weightDecay: 0.1,
  clip: 0,
} as const;
/** Near the cube root of a double's precision, where a central difference is most exact. */
const STEP = 1e-5;

test("every gradient element equals the finite difference to float32 precision", async () => {
  const seed = 11;
  const { layout, buffers } = await gptCase(shape, seed);
  const graph = stepGraph(gptModel(shape), shape.batch, settings).build(1);
  const bucket = Float64Array.from(buffers.parameters);
  await graph.run(buffers);
  graph.close();
  const loss = (at: Float64Array) => referenceLoss(shape, layout, at, buffers.tokens, buffers.targets);
  assert.ok(Math.abs(buffers.loss[0]! - loss(bucket)) < 1e-5, `seed ${seed}: loss ${buffers.loss[0]}`);
  const differences = bucket.map((value, i) => {
    const moved = Float64Array.from(bucket);
    moved[i] = value + STEP;
    const above = loss(moved);
    moved[i] = value - STEP;
    return (above - loss(moved)) / (2 * STEP);
  });
  for (const { name, offset, elements } of layout.slots) {
    const expected = differences.subarray(offset, offset + elements);
    const error = relativeError(layout.view(buffers.gradients, name), expected);
    assert.ok(error < 2e-5, `seed ${seed}: gradient of ${name} is off by ${error} of its length`);
  }
});

test("a learning rate of 0 leaves the parameters as they are, to the bit", async () => {
  const { buffers } = await gptCase(shape, 12);
  const before = Float32Array.from(buffers.parameters);
  const graph = stepGraph(gptModel(shape), shape.batch, settings).build(1);
  await graph.run(buffers);
  graph.close();
  assert.equal(buffers.parameters, before);
});

test.run();
