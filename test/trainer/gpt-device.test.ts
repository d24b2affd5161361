/** The GPT trainer on a GPU (emulated): the CPU's bytes, with the state staying there between the steps of a round. */
import "../emulated-device.js";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { GradmeshError } from "../../lib/base/errors.js";
import { native } from "../../lib/native/load.js";
import { createTrainer } from "../../lib/trainer/gpt.js";
import type { GraphTrainer } from "../../lib/trainer/graph-trainer.js";
import { failure } from "../failure.js";

const test = suite("gpt trainer on a device");
const options = {
  layers: 1,
  width: 16,
  heads: 2,
  context: 8,
  batch: 2,
  warmupSteps: 2,
  totalSteps: 20,
  validationBatches: 2,
};
const STEPS = 3;

const make = (device?: string): Promise<GraphTrainer> =>
  createTrainer({ seed: 5, shard: 0, shards: 2, options, threads: 1, device });

const stateDigest = ({ parameters, innerState }: GraphTrainer) =>
  native.digest([parameters, ...innerState.map(({ data }) => data)]);

/** A round's steps from `first` on; the losses, and the digest of what they have left here. */
async function round(trainer: GraphTrainer, first: number): Promise<string> {
  const losses: number[] = [];
  for (let step = first; step < first + STEPS; step++)
    losses.push((await trainer.step({ step, last: step === first + STEPS - 1 })).loss);
  return `${losses.join()} ${await stateDigest(trainer)}`;
}

/** What an outer step does: someone else writes to the parameters. */
function pull(trainer: GraphTrainer): void {
  for (let i = 0; i < trainer.parameters.length; i++) trainer.parameters[i]! *= 0.5;
  trainer.parametersChanged();
}

test("two rounds with an outer step between and a validation have the CPU's bits", async () => {
  const [cpu, device] = [await make(), await make("cuda")];
  assert.is(device.fingerprint, cpu.fingerprint);
  for (const first of [0, STEPS]) {
    assert.is(await round(device, first), await round(cpu, first));
    assert.is(await native.digest([device.gradients]), await native.digest([cpu.gradients]));
    pull(cpu);
    pull(device);
    assert.is((await device.evaluate()).loss, (await cpu.evaluate()).loss);
  }
  const { adamw } = device.profile();
  assert.is(adamw?.runs, 2 * STEPS);
  for (const trainer of [cpu, device]) trainer.close();
});

test("between the steps of a round nothing comes back; without a word on it, everything does", async () => {
  const [cpu, device] = [await make(), await make("cuda:0")];
  const initial = await stateDigest(device);
  await device.step({ step: 0, last: false });
  assert.is(await stateDigest(device), initial);
  await device.step({ step: 1 });
  for (const step of [0, 1]) await cpu.step({ step });
  assert.is(await stateDigest(device), await stateDigest(cpu));
  for (const trainer of [cpu, device]) trainer.close();
});

test("an aborted step leaves nothing on the device that a later one goes on from", async () => {
  const [cpu, device] = [await make(), await make("cuda")];
  await device.step({ step: 0, last: false });
  const aborted = await failure(
    device.step({ step: 1, signal: AbortSignal.abort(new GradmeshError("ERR_ABORTED", "enough")) }),
  );
  assert.is(aborted.code, "ERR_ABORTED");
  const kept = cpu.innerState.map(({ data }) => data.slice());
  device.parameters.set(cpu.parameters);
  for (const [index, { data }] of device.innerState.entries()) data.set(kept[index]!);
  device.parametersChanged();
  assert.is(await round(device, 0), await round(cpu, 0));
  for (const trainer of [cpu, device]) trainer.close();
});

test("a device that is not there is refused by name", async () => {
  const error = await failure(make("cuda:7"));
  assert.is(error.code, "ERR_INVALID_ARGUMENT");
  assert.match(error.message, /device is 7; this machine has 1, numbered from 0/);
});

test.run();
