/** A step's two halves, gradient() and update(), are the step to the bit, on the CPU and on a GPU (emulated). */
import "../emulated-device.js";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { native } from "../../lib/native/load.js";
import { cnnFactory, mlpFactory } from "../../lib/trainer/digits.js";
import { createTrainer } from "../../lib/trainer/gpt.js";
import type { GraphTrainer } from "../../lib/trainer/graph-trainer.js";
import { failure } from "../failure.js";

const test = suite("halves of a step");
const base = { layers: 1, width: 16, heads: 2, context: 8, batch: 2, warmupSteps: 2, totalSteps: 20 };
const options = { ...base, clip: 0.5, validationBatches: 1 };
const STEPS = 4;

const make = (device?: string, more: object = {}): Promise<GraphTrainer> =>
  createTrainer({ seed: 6, shard: 1, shards: 2, options: { ...options, ...more }, threads: 1, device });

const stateDigest = ({ parameters, gradients, innerState }: GraphTrainer) =>
  native.digest([parameters, gradients, ...innerState.map(({ data }) => data)]);

/** Losses, and the digest of parameters, gradients and moments. */
async function wholeSteps(trainer: GraphTrainer, first = 0): Promise<string> {
  const losses: number[] = [];
  for (let step = first; step < first + STEPS; step++) losses.push((await trainer.step({ step })).loss);
  return `${losses.join()} ${await stateDigest(trainer)}`;
}

async function halfSteps(trainer: GraphTrainer, stays: boolean, first = 0): Promise<string> {
  const losses: number[] = [];
  for (let step = first; step < first + STEPS; step++) {
    const before = await native.digest([trainer.parameters]);
    losses.push((await trainer.gradient({ step })).loss);
    assert.is(await native.digest([trainer.parameters]), before, "a gradient changes no parameter");
    await trainer.update({ step, last: !stays || step === first + STEPS - 1 });
  }
  return `${losses.join()} ${await stateDigest(trainer)}`;
}

test("gradient and update, one after the other, are a step", async () => {
  for (const optimizer of ["adamw", "sgd"]) {
    const whole = await make("cpu", { optimizer });
    const expected = await wholeSteps(whole);
    for (const device of ["cpu", "cuda"]) {
      for (const stays of [false, true]) {
        const halves = await make(device, { optimizer });
        assert.is(await halfSteps(halves, stays), expected, `${optimizer} on ${device}`);
        halves.close();
      }
    }
    whole.close();
  }
});

test("whole steps and halves take turns, with parameters and gradients that others write to", async () => {
  const [whole, turns] = [await make("cpu"), await make("cuda")];
  for (const [round, halved] of [false, true, true, false, true].entries()) {
    const expected = await wholeSteps(whole, round * STEPS);
    const run = halved ? halfSteps(turns, true, round * STEPS) : wholeSteps(turns, round * STEPS);
    assert.is(await run, expected, `round ${round}`);
    for (const trainer of [whole, turns]) {
      trainer.parameters.set(trainer.parameters.map((value) => value / 2));
      trainer.parametersChanged();
    }
  }
  for (const trainer of [whole, turns]) trainer.close();
});

test("update takes the gradients as they are then", async () => {
  const [cpu, device, zero] = [await make("cpu"), await make("cuda"), await make("cpu")];
  for (const step of [0, 1]) {
    for (const trainer of [cpu, device]) {
      await trainer.gradient({ step });
      trainer.gradients.set(trainer.gradients.map((value) => value * 2 + 1));
      await trainer.update({ step });
    }
    await zero.gradient({ step });
    await zero.update({ step });
  }
  assert.is(await stateDigest(device), await stateDigest(cpu));
  assert.is.not(await native.digest([zero.parameters]), await native.digest([cpu.parameters]));
  for (const trainer of [cpu, device, zero]) trainer.close();
});

test("a half after a step that was not the last of its row is refused, and the other way round", async () => {
  const trainer = await make("cuda");
  await trainer.step({ step: 0, last: false });
  assert.match(
    (await failure(trainer.gradient({ step: 1 }))).message,
    /gradient\(\) follows step\(\) with last: false/,
  );
  assert.match(
    (await failure(trainer.update({ step: 1 }))).message,
    /update\(\) follows step\(\) with last: false/,
  );
  await trainer.step({ step: 1 });
  await trainer.gradient({ step: 2 });
  await trainer.update({ step: 2, last: false });
  assert.match(
    (await failure(trainer.step({ step: 3 }))).message,
    /step\(\) follows update\(\) with last: false/,
  );
  trainer.close();
  for (const call of [trainer.gradient({ step: 3 }), trainer.update({ step: 3 })])
    assert.is((await failure(call)).code, "ERR_CLOSED");
});

test("the digits' networks have the same bits on the GPU", async () => {
  for (const [create, shape] of [
    [mlpFactory(), { hidden: [5] }],
    [cnnFactory(), { channels: [2, 3] }],
  ] as const) {
    const digests: string[] = [];
    for (const device of ["cpu", "cuda"]) {
      const context = { seed: 6, shard: 1, shards: 2, threads: 1, device };
      const trainer = await create({ ...context, options: { ...shape, batch: 2 } });
      await trainer.step({ step: 0 });
      await trainer.gradient?.({ step: 1 });
      await trainer.update?.({ step: 1 });
      digests.push(await native.digest([trainer.parameters]));
      trainer.close();
    }
    assert.is(digests[1], digests[0]);
  }
});

test.run();
