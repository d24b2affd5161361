/** The GPT trainer: the same bytes on every backend and thread count, steps that are pure, and a loss that falls. */
import { writeFileSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { native } from "../../lib/native/load.js";
import { createTrainer, gptOptions } from "../../lib/trainer/gpt.js";
import type { GraphTrainer } from "../../lib/trainer/graph-trainer.js";
import { learningRateAt } from "../../lib/trainer/optimizer.js";

const test = suite("gpt trainer");
const seed = 41;
const options = { layers: 2, width: 48, heads: 3, context: 24, batch: 4, warmupSteps: 4, totalSteps: 60 };
const STEPS = 5;

const make = (threads = 1, shard = 0, more: object = {}): Promise<GraphTrainer> =>
  createTrainer({ seed, shard, shards: 4, options: { ...options, ...more }, threads });

const stateDigest = ({ parameters, innerState }: GraphTrainer) =>
  native.digest([parameters, ...innerState.map(({ data }) => data)]);

/** Runs steps [from, to); the bits of every loss, and the digest of parameters and inner state. */
async function train(trainer: GraphTrainer, from: number, to: number): Promise<string> {
  const losses: number[] = [];
  for (let step = from; step < to; step++) losses.push((await trainer.step({ step })).loss);
  return `${losses.join()} ${await stateDigest(trainer)}`;
}

test.after(() => native.backendForce("auto"));

test("losses and state have the same bits on every backend and with one or two threads", async () => {
  const { backends } = JSON.parse(native.capabilities()) as { backends: string[] };
  const results = new Map<string, string>();
  for (const backend of backends) {
    native.backendForce(backend);
    for (const threads of [1, 2]) {
      const trainer = await make(threads);
      const trained = await train(trainer, 0, STEPS);
      results.set(`${backend} with ${threads} threads`, `${trained} ${(await trainer.evaluate()).loss}`);
      trainer.close();
    }
  }
  native.backendForce("auto");
  console.log(`seed ${seed}: ${[...results.keys()].join(", ")}`);
  for (const [name, result] of results) assert.is(result, [...results.values()][0], name);
});

test("running the same steps twice gives the same bytes; another shard or seed does not", async () => {
  const [first, second, other] = [await make(), await make(), await make(1, 1)];
  assert.is(await native.digest([first.parameters]), await native.digest([other.parameters]));
  const trained = await train(first, 0, STEPS);
  assert.is(await train(second, 0, STEPS), trained);
  assert.is.not(await train(other, 0, STEPS), trained);
  for (const trainer of [first, second, other]) trainer.close();
});

test("parameters and inner state restored at step 3 go on with the same bytes", async () => {
  const whole = await make();
  await train(whole, 0, 3);
  const kept = [whole.parameters, ...whole.innerState.map(({ data }) => data)].map((data) => data.slice());
  const expected = await train(whole, 3, 6);
  const resumed = await make();
  // A trainer with a past of its own: nothing of it may be left after the restore.
  await train(resumed, 10, 12);
  await resumed.evaluate();
  for (const [i, { data }] of [{ data: resumed.parameters }, ...resumed.innerState].entries())
    data.set(kept[i]!);
  assert.is(await train(resumed, 3, 6), expected);
  for (const trainer of [whole, resumed]) trainer.close();
});

test("evaluation changes nothing and is the same on every shard", async () => {
  const [first, second] = [await make(), await make(1, 3)];
  const before = await stateDigest(first);
  const { loss } = await first.evaluate();
  assert.is(await stateDigest(first), before);
  assert.is((await second.evaluate()).loss, loss);
  assert.is((await first.evaluate()).loss, loss);
  assert.ok(Math.abs(loss - Math.log(83)) < 0.5, `an untrained model guesses: ${loss}`);
  for (const trainer of [first, second]) trainer.close();
});

test("the losses of single tokens have the evaluation's mean, by domain where there are several", async () => {
  const folder = await mkdtemp(join(tmpdir(), "gradmesh-domains-"));
  const paths = ["a".repeat(3000), "abcdefgh".repeat(500)].map((text, index) => {
    const path = join(folder, `domain${index}.txt`);
    writeFileSync(path, text);
    return path;
  });
  const trainer = await make(1, 1, { data: paths, partition: { kind: "domains" }, validationBatches: 2 });
  await train(trainer, 0, 10);
  const losses = await trainer.evaluateTokens();
  const { loss } = await trainer.evaluate();
  assert.equal(trainer.domains, ["domain0.txt", "domain1.txt"]);
  assert.is(losses.length, 2 * 2 * 4 * 24);
  const mean = (values: Float32Array) => values.reduce((sum, value) => sum + value, 0) / values.length;
  assert.ok(Math.abs(mean(losses) - loss) < 1e-6);
  const [first, second] = [losses.subarray(0, 192), losses.subarray(192)].map(mean);
  assert.ok(second! < first! - 0.3, `shard 1 trains on the second domain: ${first} and ${second}`);
  trainer.close();
  await rm(folder, { recursive: true, force: true });
});

test("the validation loss falls", async () => {
  const trainer = await make();
  const before = (await trainer.evaluate()).loss;
  await train(trainer, 0, 60);
  const after = (await trainer.evaluate()).loss;
  console.log(`seed ${seed}: validation loss ${before.toFixed(3)} -> ${after.toFixed(3)} in 60 steps`);
  assert.ok(after < before - 1, `validation loss ${before} -> ${after}`);
  trainer.close();
});

test("the fingerprint tells models, options and data apart, not shards, seeds or threads", async () => {
  const trainers = [
    await make(),
    await make(2, 3),
    await make(1, 0, { clip: 2 }),
    await make(1, 0, { layers: 1 }),
  ];
  const [first, same, ...others] = trainers.map(({ fingerprint }) => fingerprint);
  assert.is(first, same);
  assert.is(new Set([first, ...others]).size, 3);
  for (const trainer of trainers) trainer.close();
});

test("a closed trainer says so, and an aborted step rejects", async () => {
  const trainer = await make();
  const rejected = (promise: Promise<unknown>) =>
    promise.then(
      () => false,
      (error: Error) => error,
    );
  assert.ok(await rejected(trainer.step({ step: 0, signal: AbortSignal.abort() })));
  trainer.close();
  trainer.close();
  const error = (await rejected(trainer.step({ step: 0 }))) as { code?: string };
  assert.is(error.code, "ERR_CLOSED");
});

test("the learning rate warms up to its peak, then falls linearly to 10 % and stays", () => {
  const schedule = gptOptions.parse({ learningRate: 1, warmupSteps: 4, totalSteps: 14 });
  const rates = [0, 3, 4, 9, 14, 1000].map((step) => learningRateAt(schedule, step));
  const expected = [0.25, 1, 1, 0.55, 0.1, 0.1];
  for (const [i, rate] of rates.entries()) {
    assert.ok(Math.abs(rate - expected[i]!) < 1e-12, `rate ${i} is ${rate}`);
  }
});

test.run();
