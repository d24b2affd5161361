/** Inner optimizers of the built-in trainers, and the schedule of their learning rate: warm-up, then linear decay. */
import { z } from "zod";
import type { GraphBuilder } from "../tensor/builder.js";
import type { GraphBinding } from "../tensor/description.js";
import { axpby, clipScale, copy, scaleBy } from "../tensor/elements.js";
import type { GraphBuffers } from "../tensor/graph.js";
import type { NamedTensor, TensorLayout } from "../tensor/layout.js";
import { adamw } from "../tensor/optimizers.js";

interface Defaults {
  readonly learningRate: number;
  readonly warmupSteps: number;
  readonly totalSteps: number;
  readonly weightDecay: number;
  readonly clip: number;
}

/** The options that every built-in trainer has for its optimizer, with the trainer's own defaults. */
export const optimizerShape = (defaults: Defaults) => ({
  /** AdamW (arXiv 1711.05101), or plain stochastic gradient descent: p = p - learning rate x gradient. */
  optimizer: z.enum(["adamw", "sgd"]).default("adamw"),
  /** Peak of the schedule, after the warm-up. */
  learningRate: z.number().gt(0).max(1).default(defaults.learningRate),
  warmupSteps: z.int().min(0).default(defaults.warmupSteps),
  /** The step at which the learning rate reaches 10 % of its peak, to stay there. */
  totalSteps: z
    .int()
    .min(1)
    .max(2 ** 24)
    .default(defaults.totalSteps),
  /** AdamW's, on matrices. Plain SGD has none. */
  weightDecay: z.number().min(0).max(10).default(defaults.weightDecay),
  /** Largest Euclidean norm of the gradient; 0 does not clip. */
  clip: z.number().min(0).default(defaults.clip),
});

export type OptimizerOptions = z.output<z.ZodObject<ReturnType<typeof optimizerShape>>>;

/** What of the options a graph depends on. */
export type OptimizerSettings =
  | {
      readonly optimizer: "adamw";
      readonly beta1: number;
      readonly beta2: number;
      readonly epsilon: number;
      readonly weightDecay: number;
      /** Largest Euclidean norm of the whole gradient; 0 does not clip. */
      readonly clip: number;
    }
  | { readonly optimizer: "sgd"; readonly clip: number };

const BETA1 = 0.9;
const BETA2 = 0.95;
const EPSILON = 1e-8;
/** The learning rate ends at this part of its peak. */
const FINAL_PART = 0.1;

/** AdamW's betas and epsilon are those that train the GPT well; decay and clipping are the options'. */
export function optimizerSettings({
  optimizer,
  weightDecay,
  clip,
}: Pick<OptimizerOptions, "optimizer" | "weightDecay" | "clip">): OptimizerSettings {
  if (optimizer === "sgd") return { optimizer, clip };
  return { optimizer, beta1: BETA1, beta2: BETA2, epsilon: EPSILON, weightDecay, clip };
}

/** Learning rate of a step (from 0): linear up over the warm-up, then linear down to 10 %; + - * / alone. */
export function learningRateAt(
  options: Pick<OptimizerOptions, "learningRate" | "warmupSteps" | "totalSteps">,
  step: number,
): number {
  const { learningRate, warmupSteps, totalSteps } = options;
  if (step < warmupSteps) return (learningRate * (step + 1)) / warmupSteps;
  if (step >= totalSteps) return learningRate * FINAL_PART;
  return learningRate * (1 - ((1 - FINAL_PART) * (step - warmupSteps)) / (totalSteps - warmupSteps));
}

/**
 * Appends clipping and the optimizer's step on whole buckets [n]. Declares the bindings schedule [2], clip [factor, norm]
 * and, of AdamW, first, second and decay (each [n]).
 */
export function appendOptimizer(
  graph: GraphBuilder,
  parameters: GraphBinding,
  gradients: GraphBinding,
  settings: OptimizerSettings,
): void {
  const elements = parameters.elements;
  const whole = (binding: GraphBinding) => graph.view(binding, [elements]);
  const clipBinding = graph.binding("clip", 2);
  const clip = graph.view(clipBinding, [2]);
  const schedule = graph.view(graph.binding("schedule", 2), [2]);
  clipScale(graph, whole(gradients), settings.clip, clip);
  if (settings.optimizer === "sgd") {
    // No state, and so nothing that a restore could miss: the step is p = 1 p + (-learning rate) (clip g).
    const clipped = scaleBy(graph, whole(gradients), graph.view(clipBinding, [1]));
    copy(graph, axpby(graph, clipped, whole(parameters), schedule), whole(parameters));
    return;
  }
  const bucket = (name: string) => whole(graph.binding(name, elements));
  adamw(
    graph,
    { gradients: whole(gradients), clip, schedule, decay: bucket("decay") },
    { parameters: whole(parameters), first: bucket("first"), second: bucket("second") },
    settings,
  );
}

/** 1 where weight decay applies (matrices), else 0. */
function decayMask(layout: TensorLayout): Float32Array {
  const mask = new Float32Array(layout.elements);
  for (const { name, shape } of layout.slots) if (shape.length === 2) layout.view(mask, name).fill(1);
  return mask;
}

/** The buffers of one trainer's optimizer, by the bindings of appendOptimizer(). */
export class InnerOptimizer {
  /** What a checkpoint keeps of it; of plain SGD nothing. */
  readonly state: readonly NamedTensor[];
  /** Moments, as bound: on a GPU they may stay there between the steps of a round. */
  readonly moments: GraphBuffers;
  /** What is written once and then only read. */
  readonly constants: GraphBuffers;
  readonly schedule = new Float32Array(2);
  readonly clip = new Float32Array(2);
  readonly #options: OptimizerOptions;

  constructor(layout: TensorLayout, options: OptimizerOptions) {
    this.#options = options;
    const names = options.optimizer === "adamw" ? ["first", "second"] : [];
    const buckets = names.map((name) => [name, new Float32Array(layout.elements)] as const);
    this.moments = Object.fromEntries(buckets);
    this.constants = options.optimizer === "adamw" ? { decay: decayMask(layout) } : {};
    const shape = [layout.elements];
    this.state = buckets.map(([name, data]) => ({ name: `${options.optimizer}.${name}`, shape, data }));
  }

  /** Writes the schedule of a step, from 0: AdamW's, or the coefficients of SGD's gradient and parameters. */
  setStep(step: number): void {
    const rate = learningRateAt(this.#options, step);
    if (this.#options.optimizer === "adamw") this.schedule.set([rate, step + 1]);
    else this.schedule.set([-rate, 1]);
  }
}
