/** The tensors that codecs are judged on: pseudo-gradients and a gradient of a GPT in training, and a Gaussian. */
import { philox } from "../lib/base/random.js";
import type { TensorSlot } from "../lib/tensor/layout.js";
import { createTrainer } from "../lib/trainer/gpt.js";
import type { GraphTrainer } from "../lib/trainer/graph-trainer.js";

/** The model and the steps; see `standard` for the usual ones. */
export interface Protocol {
  readonly model: Readonly<Record<string, number>>;
  /** Steps on the whole text before the workers part. */
  readonly warmupSteps: number;
  /** AdamW steps of each worker: what a pseudo-gradient sums up. */
  readonly innerSteps: number;
  readonly workers: number;
  readonly threads: number;
}

/** The shape and settings behind the figures it is compared with, on the demo's text. */
export const standard: Protocol = {
  model: {
    layers: 2,
    width: 64,
    heads: 4,
    context: 64,
    batch: 8,
    learningRate: 6e-3,
    warmupSteps: 30,
    totalSteps: 600,
  },
  warmupSteps: 100,
  innerSteps: 99,
  workers: 64,
  threads: 2,
};

/** A look whether all works, for CI. */
export const quick: Protocol = {
  model: {
    layers: 1,
    width: 32,
    heads: 2,
    context: 16,
    batch: 2,
    learningRate: 6e-3,
    warmupSteps: 2,
    totalSteps: 50,
  },
  warmupSteps: 4,
  innerSteps: 4,
  workers: 4,
  threads: 1,
};

export interface Tensors {
  /** What lies where in each tensor. */
  readonly slots: readonly TensorSlot[];
  /** One a worker, from the same parameters: parameters before less parameters after. */
  readonly pseudoGradients: readonly Float32Array[];
  /** Of one batch, before clipping. */
  readonly gradient: Float32Array;
  readonly gaussian: Float32Array;
}

const SEED = 1;

async function train(trainer: GraphTrainer, first: number, steps: number): Promise<void> {
  for (let step = first; step < first + steps; step++) await trainer.step({ step });
}

/** Standard normal deviates by Box and Muller: unlike the trainer's, with a normal's tails. */
function gaussian(elements: number): Float32Array {
  const uniform = (element: number) => (philox(SEED, 2 ** 21, element) + 0.5) / 2 ** 32;
  return Float32Array.from(
    { length: elements },
    (_, i) => Math.sqrt(-2 * Math.log(uniform(2 * i))) * Math.cos(2 * Math.PI * uniform(2 * i + 1)),
  );
}

/** Trains the model, and each worker on a shard of its own from where that ended. */
export async function makeTensors(protocol: Protocol): Promise<Tensors> {
  const { model: options, warmupSteps, innerSteps, workers, threads } = protocol;
  const start = await createTrainer({ seed: SEED, shard: 0, shards: 1, options, threads });
  await train(start, 0, warmupSteps);
  const pseudoGradients: Float32Array[] = [];
  let gradient = new Float32Array();
  for (let shard = 0; shard < workers; shard++) {
    const trainer = await createTrainer({ seed: SEED, shard, shards: workers, options, threads });
    trainer.parameters.set(start.parameters);
    for (const [at, { data }] of trainer.innerState.entries()) data.set(start.innerState[at]!.data);
    await train(trainer, warmupSteps, 1);
    if (shard === 0) gradient = trainer.gradients.slice();
    await train(trainer, warmupSteps + 1, innerSteps - 1);
    pseudoGradients.push(start.parameters.map((before, i) => before - trainer.parameters[i]!));
    trainer.close();
  }
  const { slots, elements } = start.layout;
  start.close();
  return { slots, pseudoGradients, gradient, gaussian: gaussian(elements) };
}
