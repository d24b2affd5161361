/** The built-in trainer: a character GPT on text, AdamW or SGD with warm-up and linear decay; bit-exact everywhere. */
import { basename } from "node:path";
import { z } from "zod";
import { GradmeshError } from "../base/errors.js";
import { native } from "../native/load.js";
import { parseOptions } from "../strategy/options.js";
import type { TensorLayout } from "../tensor/layout.js";
import { type GptShape, gptModel } from "./gpt-model.js";
import { GraphTrainer, type TrainingData } from "./graph-trainer.js";
import { optimizerShape } from "./optimizer.js";
import { checkShard, INITIAL_STREAM } from "./shard.js";
import { readTexts, type TextData } from "./text-data.js";
import type { TrainerContext } from "./trainer.js";

const count = (fallback: number, most: number) => z.int().min(1).max(most).default(fallback);

/** The options of the run's config under `trainer`; the standard model has 0.82 M parameters. */
export const gptOptions = z.strictObject({
  /** A UTF-8 text file, or "moby-dick"; or a list of them, each a domain. */
  data: z.union([z.string().min(1), z.array(z.string().min(1)).min(1).max(64)]).default("moby-dick"),
  /** What a shard trains on: TextPartition says how. */
  partition: z
    .strictObject({ kind: z.enum(["contiguous", "iid", "domains"]) })
    .prefault({ kind: "contiguous" }),
  layers: count(4, 64),
  width: count(128, 8192),
  heads: count(4, 128),
  /** Characters the model sees. */
  context: count(64, 8192),
  /** Windows in a step. */
  batch: count(16, 4096),
  ...optimizerShape({ learningRate: 4e-3, warmupSteps: 50, totalSteps: 500, weightDecay: 0.1, clip: 1 }),
  /** Batches of validation windows in one evaluation, of each domain. */
  validationBatches: count(8, 65536),
});

export type GptOptions = z.output<typeof gptOptions>;

/** A model of 115 k parameters, on which methods are compared quickly. */
export const tinyGpt = { layers: 2, width: 64, heads: 4, context: 64, batch: 8 } as const;

/** Not GPT-2's 0.02, which suits its width 768: at width 128 this gave 2.29 nats after 200 steps, 0.02 gave 2.43. */
const DEVIATION = 0.06;

/** Normal weights, residual projections narrower by sqrt(2 layers); gains 1, biases 0. */
async function initialize(
  parameters: Float32Array,
  layout: TensorLayout,
  { layers }: Pick<GptShape, "layers">,
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

/** Windows of the text for one shard, over the bindings of gptModel(). */
function textBatches(
  { seed, shard, shards }: TrainerContext,
  options: GptOptions,
  text: TextData,
): TrainingData {
  const { batch, context, validationBatches } = options;
  const part = { partition: options.partition.kind, shard, shards };
  const rows = batch * context;
  const [tokens, targets] = [new Int32Array(rows), new Int32Array(rows)];
  const buffers = { buffers: { tokens, targets }, size: batch, rows };
  return {
    training: buffers,
    validation: buffers,
    validationBatches: text.paths.length * validationBatches,
    samples: text.samples(part),
    ...(text.paths.length > 1 ? { domains: text.paths.map((path) => basename(path)) } : {}),
    fillTraining: (step, draw = seed) =>
      text.trainingBatch(options, { seed: draw, step, ...part }, tokens, targets),
    fillValidation(index) {
      const domain = Math.floor(index / validationBatches);
      const of = { domain, index: index % validationBatches, batches: validationBatches };
      text.validationBatch(options, of, tokens, targets);
    },
  };
}

/**
 * A factory of GPT trainers, which share the texts that they read. It throws ERR_CONFIG for impossible options or an unfit
 * data file; ERR_INVALID_ARGUMENT for a shard that does not exist.
 */
export function gptFactory(): (context: TrainerContext) => Promise<GraphTrainer> {
  const texts = new Map<string, Promise<TextData>>();
  const read = (data: GptOptions["data"]) => {
    const names = typeof data === "string" ? [data] : data;
    const key = JSON.stringify(names);
    const text = texts.get(key) ?? readTexts(names);
    texts.set(key, text);
    return text;
  };
  return async (context) => {
    const options = parseOptions(gptOptions, context.options ?? {}, "trainer.options");
    checkShard(context);
    if (options.width % options.heads !== 0) {
      throw new GradmeshError(
        "ERR_CONFIG",
        `trainer.options.heads is ${options.heads}: it must divide width, which is ${options.width}`,
      );
    }
    const { shards, seed } = context;
    const text = await read(options.data);
    text.check({ partition: options.partition.kind, shards }, options.context);
    const trainer = new GraphTrainer(context, {
      model: gptModel({ ...options, vocabulary: text.vocabulary.length }),
      data: textBatches(context, options, text),
      options,
      identity: { trainer: "gpt", options: { ...options, data: text.digests } },
    });
    await initialize(trainer.parameters, trainer.layout, options, seed);
    return trainer;
  };
}

/** Makes one GPT trainer. */
export const createTrainer = (context: TrainerContext): Promise<GraphTrainer> => gptFactory()(context);
