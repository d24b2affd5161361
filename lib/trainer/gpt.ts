/** The built-in trainer: a character GPT on a text file, AdamW with warm-up and linear decay; bit-exact everywhere. */
import { z } from "zod";
import { canonicalDigest } from "../base/canonical-json.js";
import { GradmeshError } from "../base/errors.js";
import { native } from "../native/load.js";
import { parseOptions } from "../strategy/options.js";
import { graphDigest } from "../tensor/description.js";
import type { Graph, GraphTransfers } from "../tensor/graph.js";
import type { NamedTensor, TensorLayout } from "../tensor/layout.js";
import {
  evaluationGraph,
  type GptShape,
  gptLayout,
  type OptimizerSettings,
  trainingGraph,
} from "./gpt-model.js";
import { loadText, type TextData } from "./text-data.js";
import type { StepContext, StepResult, Trainer, TrainerContext } from "./trainer.js";

const count = (fallback: number, most: number) => z.int().min(1).max(most).default(fallback);

/** The options of the run's config under `trainer`; the standard model has 0.82 M parameters. */
export const gptOptions = z.strictObject({
  /** A UTF-8 text file, or "moby-dick". */
  data: z.string().min(1).default("moby-dick"),
  layers: count(4, 64),
  width: count(128, 8192),
  heads: count(4, 128),
  /** Characters the model sees. */
  context: count(64, 8192),
  /** Windows in a step. */
  batch: count(16, 4096),
  /** Peak of the schedule, after the warm-up. */
  learningRate: z.number().gt(0).max(1).default(4e-3),
  warmupSteps: z.int().min(0).default(50),
  /** The step at which the learning rate reaches 10 % of its peak, to stay there. */
  totalSteps: count(500, 2 ** 24),
  weightDecay: z.number().min(0).max(10).default(0.1),
  /** Largest Euclidean norm of the gradient; 0 does not clip. */
  clip: z.number().min(0).default(1),
  /** Batches of validation windows in one evaluation. */
  validationBatches: count(8, 65536),
});

export type GptOptions = z.output<typeof gptOptions>;

const BETA1 = 0.9;
const BETA2 = 0.95;
const EPSILON = 1e-8;
/** Not GPT-2's 0.02, which suits its width 768: at width 128 this gave 2.29 nats after 200 steps, 0.02 gave 2.43. */
const DEVIATION = 0.06;
/** The learning rate ends at this part of its peak. */
const FINAL_PART = 0.1;
/** Streams below are the data shards'; initial parameters draw from this one, each element at its own index. */
const INITIAL_STREAM = 2 ** 20;

/** Learning rate of a step (from 0): linear up over the warm-up, then linear down to 10 %; + - * / alone. */
export function learningRateAt(options: GptOptions, step: number): number {
  const { learningRate, warmupSteps, totalSteps } = options;
  if (step < warmupSteps) return (learningRate * (step + 1)) / warmupSteps;
  if (step >= totalSteps) return learningRate * FINAL_PART;
  return learningRate * (1 - ((1 - FINAL_PART) * (step - warmupSteps)) / (totalSteps - warmupSteps));
}

/** AdamW's settings: the betas and epsilon that train this model well, with the options' decay and clipping. */
export function optimizerSettings({
  weightDecay,
  clip,
}: Pick<GptOptions, "weightDecay" | "clip">): OptimizerSettings {
  return { beta1: BETA1, beta2: BETA2, epsilon: EPSILON, weightDecay, clip };
}

/** Normal weights, residual projections narrower by sqrt(2 layers); gains 1, biases 0. */
async function initialize(
  parameters: Float32Array,
  layout: TensorLayout,
  { layers }: GptShape,
  seed: number,
): Promise<void> {
  for (const { name, shape, offset } of layout.slots) {
    const view = layout.view(parameters, name);
    if (name.endsWith(".gain")) view.fill(1);
    if (shape.length < 2) continue;
    const residual = name.endsWith("projection.weight") || name.endsWith("down.weight");
    // Math.sqrt is correctly rounded by the standard, so it is the same on every machine.
    const deviation = residual ? DEVIATION / Math.sqrt(2 * layers) : DEVIATION;
    await native.randomNormal(seed, INITIAL_STREAM, offset, deviation, view);
  }
}

/** 1 where weight decay applies (matrices), else 0. */
function decayMask(layout: TensorLayout): Float32Array {
  const mask = new Float32Array(layout.elements);
  for (const { name, shape } of layout.slots) if (shape.length === 2) layout.view(mask, name).fill(1);
  return mask;
}

class GptTrainer implements Trainer {
  readonly layout: TensorLayout;
  readonly parameters: Float32Array;
  readonly innerState: readonly NamedTensor[];
  readonly fingerprint: string;
  /** Gradients of the last step, before clipping; float32 [n]. */
  readonly gradients: Float32Array;
  readonly #context: TrainerContext;
  readonly #options: GptOptions;
  readonly #text: TextData;
  readonly #training: Graph;
  readonly #evaluation: Graph;
  readonly #first: Float32Array;
  readonly #second: Float32Array;
  readonly #decay: Float32Array;
  readonly #tokens: Int32Array;
  readonly #targets: Int32Array;
  readonly #schedule = new Float32Array(2);
  readonly #loss = new Float32Array(1);
  readonly #clip = new Float32Array(2);
  /** On a GPU: the training graph's mirrors hold parameters, moments and mask as they are here, or newer. */
  #mirrored = false;

  constructor(context: TrainerContext, options: GptOptions, text: TextData, shape: GptShape) {
    this.#context = context;
    this.#options = options;
    this.#text = text;
    this.layout = gptLayout(shape);
    const bucket = () => new Float32Array(this.layout.elements);
    [this.parameters, this.gradients, this.#first, this.#second] = [bucket(), bucket(), bucket(), bucket()];
    this.#decay = decayMask(this.layout);
    const elements = [this.layout.elements];
    this.innerState = [
      { name: "adamw.first", shape: elements, data: this.#first },
      { name: "adamw.second", shape: elements, data: this.#second },
    ];
    this.#tokens = new Int32Array(shape.batch * shape.context);
    this.#targets = new Int32Array(shape.batch * shape.context);
    const { threads, device } = context;
    this.#training = trainingGraph(shape, optimizerSettings(options), threads, device);
    this.#evaluation = evaluationGraph(shape, threads, device);
    this.fingerprint = canonicalDigest({
      trainer: "gpt",
      options: { ...options, data: text.digest },
      graph: graphDigest(this.#training.description),
    });
  }

  /** What a step copies to and from a GPU: the state goes there once a round, and comes back after the last step. */
  #transfers(last: boolean): GraphTransfers {
    const input = this.#mirrored ? "kept" : "in";
    const state = last ? (this.#mirrored ? "out" : "both") : input;
    return {
      parameters: state,
      first: state,
      second: state,
      gradients: last ? "out" : "kept",
      decay: input,
      tokens: "in",
      targets: "in",
      schedule: "in",
      loss: "out",
      clip: "out",
    };
  }

  async step({ step, last = true, signal }: StepContext): Promise<StepResult> {
    const { seed, shard, shards } = this.#context;
    this.#text.trainingBatch(this.#options, { seed, shard, shards, step }, this.#tokens, this.#targets);
    this.#schedule[0] = learningRateAt(this.#options, step);
    this.#schedule[1] = step + 1;
    const transfers = this.#transfers(last);
    this.#mirrored = false;
    await this.#training.run(
      {
        parameters: this.parameters,
        gradients: this.gradients,
        first: this.#first,
        second: this.#second,
        decay: this.#decay,
        tokens: this.#tokens,
        targets: this.#targets,
        schedule: this.#schedule,
        loss: this.#loss,
        clip: this.#clip,
      },
      signal,
      transfers,
    );
    this.#mirrored = true;
    return { loss: this.#loss[0]!, tokens: this.#tokens.length };
  }

  async evaluate(signal?: AbortSignal): Promise<{ loss: number }> {
    const batches = this.#options.validationBatches;
    let sum = 0;
    for (let index = 0; index < batches; index++) {
      this.#text.validationBatch(this.#options, { index, batches }, this.#tokens, this.#targets);
      const { parameters } = this;
      await this.#evaluation.run(
        { parameters, tokens: this.#tokens, targets: this.#targets, loss: this.#loss },
        signal,
        { parameters: index === 0 ? "in" : "kept", tokens: "in", targets: "in", loss: "out" },
      );
      sum += this.#loss[0]!;
    }
    return { loss: sum / batches };
  }

  parametersChanged(): void {
    this.#mirrored = false;
  }

  /** Nanoseconds and runs of each operator of the training graph. */
  profile(): ReturnType<Graph["profile"]> {
    return this.#training.profile();
  }

  close(): void {
    this.#training.close();
    this.#evaluation.close();
  }
}

/**
 * Makes the GPT trainer. @throws ERR_CONFIG for impossible options or an unfit data file; ERR_INVALID_ARGUMENT for a
 * shard that does not exist.
 */
export async function createTrainer(context: TrainerContext): Promise<GptTrainer> {
  const options = parseOptions(gptOptions, context.options ?? {}, "trainer.options");
  const { shard, shards, seed } = context;
  if (!Number.isSafeInteger(seed) || seed < 0) {
    throw new GradmeshError(
      "ERR_INVALID_ARGUMENT",
      `trainer: seed is ${seed}, not an integer from 0 to 2^53 - 1`,
    );
  }
  if (options.width % options.heads !== 0) {
    throw new GradmeshError(
      "ERR_CONFIG",
      `trainer.options.heads is ${options.heads}: it must divide width, which is ${options.width}`,
    );
  }
  if (!(Number.isSafeInteger(shard) && shard >= 0 && shard < shards && shards < INITIAL_STREAM)) {
    throw new GradmeshError("ERR_INVALID_ARGUMENT", `trainer: shard is ${shard} of ${shards} shards`);
  }
  const text = await loadText(options.data, shards, options.context);
  const shape = { ...options, vocabulary: text.vocabulary.length };
  const trainer = new GptTrainer(context, options, text, shape);
  await initialize(trainer.parameters, trainer.layout, shape, seed);
  return trainer;
}

export type { GptTrainer };
