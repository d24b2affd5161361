/** What is evaluated: one model where peers agree, the mean of gossiping ones, the ensemble of experts; and where arms start. */
import { test } from "uvu";
import * as assert from "uvu/assert";
import { runArm } from "../../lib/gym/arm.js";
import { takeRounds } from "../../lib/gym/lockstep.js";
import { EngineMaker } from "../../lib/gym/maker.js";
import { pretrain } from "../../lib/gym/pretrain.js";
import { tinyArm, tinyTrainer } from "./arms.js";

test("gossiping peers are worth their mean model, which is not worse than most single ones", async () => {
  const plan = tinyArm({ steps: 60, config: { strategy: { name: "noloco", innerSteps: 10 } } });
  const { result } = await runArm(plan);
  const { loss, single } = result.rows.at(-1)!.validation!;
  assert.ok(single !== undefined && single.least < single.greatest, "peers differ");
  assert.ok(loss <= single.greatest, `${loss} of the mean, ${single.least} to ${single.greatest} of one`);
});

test("experts are worth their ensemble: at most log(experts) per domain worse than the best one", async () => {
  const strategy = { name: "hdee", innerSteps: 10, experts: [{ steps: 10 }, { steps: 5 }] };
  const { result } = await runArm(tinyArm({ peers: 2, steps: 60, config: { strategy } }));
  const { loss, single } = result.rows.at(-1)!.validation!;
  const tokens = 2 * 2 * 16;
  assert.ok(loss <= single!.least + Math.log(2) / tokens + 1e-6, `${loss}, ${single!.least}`);
  assert.is(result.rows.at(-1)!.bytes.payload, 0);
});

test("arms that start from a pre-trained state go on from its loss, data and learning rate", async () => {
  const plan = tinyArm({ pretrainSteps: 30 });
  const initial = await pretrain(plan);
  assert.is(initial.steps, 30);
  const { result, state } = await runArm(plan, { initial });
  assert.ok(result.start!.validation.loss < 4, `${result.start!.validation.loss}`);
  assert.is(state.steps, 60);
  const again = await runArm(plan, { initial });
  assert.equal(again.result, result, "the initial state is not worn out");
});

test("one peer that starts from a state goes on as if it had never stopped", async () => {
  const steady = tinyArm({ peers: 1, steps: 40, config: { strategy: { name: "ddp" } } });
  const { state: whole } = await runArm(steady);
  const half = tinyArm({ peers: 1, steps: 20, config: { strategy: { name: "ddp" } } });
  const { state: first } = await runArm(half);
  const { state: second } = await runArm(half, { initial: first });
  assert.ok(
    Buffer.compare(new Uint8Array(whole.parameters.buffer), new Uint8Array(second.parameters.buffer)) === 0,
  );
});

test("another model's state is refused by name", async () => {
  const initial = await pretrain(tinyArm({ pretrainSteps: 1 }));
  const options = { ...tinyTrainer.options, width: 32 };
  const outcome = await Promise.allSettled([
    runArm(tinyArm({ config: { trainer: { module: "gpt", options } } }), { initial }),
  ]);
  assert.match(String((outcome[0] as PromiseRejectedResult).reason), 'elements of "parameters"');
});

test("engines in lockstep, without a clock, get the digests of the gym", async () => {
  const plan = tinyArm();
  const { result } = await runArm(plan);
  const { config, shards } = plan;
  const maker = await EngineMaker.create({ config, shards, folder: ".", initial: null });
  const engines = await Promise.all(Array.from({ length: shards }, (_, shard) => maker.engine(shard)));
  const digests: string[] = [];
  await takeRounds(engines, plan.rounds, { seed: config.seed }, async () => {
    digests.push(await engines[3]!.digest());
  });
  assert.equal(
    digests,
    result.rows.map(({ digest }) => digest),
  );
  for (const engine of engines) await engine.close();
});

test.run();
