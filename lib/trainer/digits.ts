/** The built-in trainers "mlp" and "cnn": handwritten digits, the usual cases of federated learning and of vision. */
import { z } from "zod";
import { philox } from "../base/random.js";
import { native } from "../native/load.js";
import { parseOptions } from "../strategy/options.js";
import type { TensorLayout } from "../tensor/layout.js";
import { type DigitsData, type DigitsPartition, loadDigits, PIXELS } from "./digits-data.js";
import { cnnModel, mlpModel } from "./digits-model.js";
import { type Batch, GraphTrainer, type TrainingData } from "./graph-trainer.js";
import type { Model } from "./model.js";
import { type OptimizerOptions, optimizerShape } from "./optimizer.js";
import { checkShard, INITIAL_STREAM } from "./shard.js";
import type { TrainerContext, TrainerFactory } from "./trainer.js";

/** What a shard trains on: DigitsPartition says how. */
const partition = z
  .strictObject({
    kind: z.enum(["contiguous", "iid", "dirichlet"]),
    alpha: z.number().min(1e-3).max(1e6).optional(),
    sizeAlpha: z.number().min(1e-3).max(1e6).optional(),
  })
  .refine(({ kind, alpha }) => kind === "dirichlet" || alpha === undefined, {
    path: ["alpha"],
    error: 'only kind "dirichlet" takes it',
  })
  .refine(({ kind, sizeAlpha }) => kind === "dirichlet" || sizeAlpha === undefined, {
    path: ["sizeAlpha"],
    error: 'only kind "dirichlet" takes it',
  })
  .prefault({ kind: "contiguous" });

const common = {
  partition,
  /** Images in a step. */
  batch: z.int().min(1).max(4096).default(32),
};

/** Layers or channels of a network, from the input on. */
const widths = (most: number, initial: number[]) =>
  z.array(z.int().min(1).max(8192)).min(1).max(most).default(initial);

/** The standard MLP has 101,770 parameters. */
export const mlpOptions = z.strictObject({
  ...common,
  /** Widths of the hidden layers. */
  hidden: widths(64, [128]),
  ...optimizerShape({ learningRate: 2e-3, warmupSteps: 10, totalSteps: 300, weightDecay: 0.1, clip: 0 }),
});

/** The standard CNN has 20,490 parameters. */
export const cnnOptions = z.strictObject({
  ...common,
  /** Channels of the convolutions, each of which halves height and width. */
  channels: widths(5, [16, 32]),
  ...optimizerShape({ learningRate: 4e-3, warmupSteps: 10, totalSteps: 300, weightDecay: 0.1, clip: 0 }),
});

/** Divides the 1,000 held-out images. */
const VALIDATION_BATCH = 250;

/** Normal weights of deviation sqrt(2 / inputs) (arXiv 1502.01852); biases 0. */
async function initialize(parameters: Float32Array, layout: TensorLayout, seed: number): Promise<void> {
  for (const { name, shape, offset } of layout.slots) {
    if (shape.length < 2) continue;
    // Math.sqrt is correctly rounded by the standard, so it is the same on every machine.
    const deviation = Math.sqrt(2 / shape[0]!);
    await native.randomNormal(seed, INITIAL_STREAM, offset, deviation, layout.view(parameters, name));
  }
}

function emptyBatch(size: number): Batch & { readonly images: Float32Array; readonly classes: Int32Array } {
  const [images, classes] = [new Float32Array(size * PIXELS), new Int32Array(size)];
  return { images, classes, buffers: { images, labels: classes }, size, rows: size };
}

/** Images of a shard, drawn with replacement by the step number, over the bindings of the digits' models. */
function imageBatches(
  { seed, shard, shards }: TrainerContext,
  options: { readonly partition: DigitsPartition; readonly batch: number },
  digits: DigitsData,
): TrainingData {
  const own = digits.shard(options.partition, { shard, shards }, seed);
  const [training, validation] = [emptyBatch(options.batch), emptyBatch(VALIDATION_BATCH)];
  return {
    training,
    validation,
    validationBatches: digits.validationLabels.length / VALIDATION_BATCH,
    samples: options.partition.kind === "iid" ? Math.floor(own.length / shards) : own.length,
    fillTraining(step, draw = seed) {
      for (let row = 0; row < options.batch; row++) {
        const image = own[philox(draw, shard, step * options.batch + row) % own.length]!;
        digits.copyTraining(image, training.images, row);
        training.classes[row] = digits.labels[image]!;
      }
    },
    fillValidation(index) {
      const first = index * VALIDATION_BATCH;
      for (let row = 0; row < VALIDATION_BATCH; row++)
        digits.copyValidation(first + row, validation.images, row);
      validation.classes.set(digits.validationLabels.subarray(first, first + VALIDATION_BATCH));
    },
  };
}

interface DigitsOptions extends OptimizerOptions {
  readonly partition: DigitsPartition;
  readonly batch: number;
}

/** Trainers of one factory share the images. */
function digitsFactory<Schema extends z.ZodType<DigitsOptions>>(
  trainer: string,
  schema: Schema,
  modelOf: (options: z.output<Schema>) => Model,
): TrainerFactory {
  let loading: Promise<DigitsData> | null = null;
  return async (context) => {
    const options = parseOptions(schema, context.options ?? {}, "trainer.options");
    checkShard(context);
    loading ??= loadDigits();
    const digits = await loading;
    const model = modelOf(options);
    const made = new GraphTrainer(context, {
      model,
      data: imageBatches(context, options, digits),
      options,
      identity: { trainer, options, data: digits.digest },
    });
    await initialize(made.parameters, model.layout, context.seed);
    return made;
  };
}

/** A factory of multilayer perceptrons. It throws ERR_CONFIG for impossible options, or without the digits' package. */
export const mlpFactory = (): TrainerFactory =>
  digitsFactory("mlp", mlpOptions, ({ hidden }) => mlpModel(hidden));

/** A factory of small convolutional networks; the same. */
export const cnnFactory = (): TrainerFactory =>
  digitsFactory("cnn", cnnOptions, ({ channels }) => cnnModel(channels));
