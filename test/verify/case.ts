/** Tiny trainers, an honest worker's recorded unit, and the other end's view of it, for the tests of verification. */
import { native } from "../../lib/native/load.js";
import { cnnFactory, mlpFactory } from "../../lib/trainer/digits.js";
import { gptFactory, tinyGpt } from "../../lib/trainer/gpt.js";
import type { GraphTrainer } from "../../lib/trainer/graph-trainer.js";
import type { Trainer } from "../../lib/trainer/trainer.js";
import type { RevealedUnit } from "../../lib/verify/replay.js";
import { type Unit, UnitRecorder } from "../../lib/verify/unit.js";

const schedule = { warmupSteps: 3, totalSteps: 40 };
const text = { validationBatches: 1, ...schedule };
const gpt = { layers: 1, width: 16, heads: 2, context: 8, batch: 2, ...text };
const gptTrainer = gptFactory();
const models = {
  gpt: { create: gptTrainer, options: gpt },
  sgd: { create: gptTrainer, options: { ...gpt, optimizer: "sgd", learningRate: 0.5, clip: 0.3 } },
  tinyGpt: { create: gptTrainer, options: { ...tinyGpt, ...text } },
  mlp: { create: mlpFactory(), options: { hidden: [5], batch: 4, ...schedule } },
  cnn: { create: cnnFactory(), options: { channels: [2, 3], batch: 2, ...schedule } },
};
export type ModelName = keyof typeof models;

/** The shard of the worker; `changes` are options that a cheat sets otherwise. */
export function makeTrainer(model: ModelName, changes: object = {}, device = "cpu"): Promise<GraphTrainer> {
  const { create, options } = models[model];
  const context = { seed: 6, shard: 1, shards: 2, options: { ...options, ...changes }, threads: 1, device };
  return create(context) as Promise<GraphTrainer>;
}

export const STEPS = 10;
export const FIRST = 20;
/** What a beacon would draw. */
export const drawOf = (step: number) => 1_000_003 * (step + 1);

/** What a contribution is in these tests: the parameters themselves. */
export const contributionOf = ({ parameters }: Pick<Trainer, "parameters">) => native.digest([parameters]);

/** Steps of a worker; `step` may cheat. */
export async function recordUnit(
  trainer: Trainer,
  step: (step: number) => Promise<unknown> = (number) => trainer.step({ step: number, draw: drawOf(number) }),
  recorder = new UnitRecorder(trainer, STEPS),
): Promise<UnitRecorder> {
  await recorder.begin(FIRST, drawOf);
  for (let number = FIRST; number < FIRST + STEPS; number++) {
    await step(number);
    await recorder.stepped(number);
  }
  await recorder.close(await contributionOf(trainer));
  return recorder;
}

export const revealed = ({ root }: Unit): RevealedUnit => ({ root, steps: STEPS, first: FIRST, drawOf });
