/** Pre-training: one worker on all of the data, whose state many arms then start from (the papers' protocol). */
import { existsSync } from "node:fs";
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { writeFileAtomic } from "../base/atomic-file.js";
import { canonicalDigest } from "../base/canonical-json.js";
import { encodeSafetensors, readSafetensors } from "../checkpoint/safetensors.js";
import type { NamedTensor } from "../tensor/layout.js";
import type { Trainer } from "../trainer/trainer.js";
import type { ArmPlan } from "./arms.js";
import { EngineMaker } from "./maker.js";
import { copyState, type TrainerState } from "./trainer-state.js";

export interface PretrainOptions {
  /** What a relative trainer module is relative to. Default: the working folder. */
  readonly folder?: string;
  /** After each step, with how many were taken. */
  readonly onStep?: (steps: number) => void;
  readonly signal?: AbortSignal;
}

/** All that the pre-trained state depends on: arms with the same key share it. */
export function pretrainKey({ config, pretrainSteps }: ArmPlan): string {
  const { module, options } = config.trainer;
  return canonicalDigest({ seed: config.seed, module, options, pretrainSteps }).slice(0, 16);
}

/** A trainer of the arm's config, but for all of the data. */
async function wholeTrainer({ config }: ArmPlan, folder: string): Promise<Trainer> {
  const maker = await EngineMaker.create({ config, shards: 1, folder, initial: null });
  return maker.commonTrainer();
}

/** @throws as the trainer does; the signal's reason. */
export async function pretrain(plan: ArmPlan, options: PretrainOptions = {}): Promise<TrainerState> {
  const { folder = process.cwd(), onStep = () => {}, signal } = options;
  const trainer = await wholeTrainer(plan, folder);
  try {
    for (let step = 0; step < plan.pretrainSteps; step += 1) {
      signal?.throwIfAborted();
      await trainer.step({ step, last: step + 1 === plan.pretrainSteps });
      onStep(step + 1);
    }
    return copyState(trainer, plan.pretrainSteps);
  } finally {
    trainer.close();
  }
}

export const pretrainedPath = (folder: string, plan: ArmPlan): string =>
  join(folder, "pretrained", `${pretrainKey(plan)}.safetensors`);

const tensorsOf = (parameters: Float32Array, inner: readonly NamedTensor[]): NamedTensor[] => [
  { name: "parameters", shape: [parameters.length], data: parameters },
  ...inner.map(({ name, shape, data }) => ({ name: `inner/${name}`, shape, data })),
];

export async function savePretrained(folder: string, plan: ArmPlan, state: TrainerState): Promise<void> {
  await mkdir(join(folder, "pretrained"), { recursive: true });
  const { steps, parameters, inner } = state;
  const metadata = { format: "gradmesh", steps: String(steps) };
  await writeFileAtomic(
    pretrainedPath(folder, plan),
    encodeSafetensors(tensorsOf(parameters, inner), metadata),
  );
}

/** The state that savePretrained wrote, or null. @throws ERR_CHECKPOINT for a file of another model. */
export async function loadPretrained(
  folder: string,
  plan: ArmPlan,
  base: string,
): Promise<TrainerState | null> {
  const path = pretrainedPath(folder, plan);
  if (!existsSync(path)) return null;
  const trainer = await wholeTrainer(plan, base);
  try {
    const state = copyState(trainer, plan.pretrainSteps);
    await readSafetensors(path, tensorsOf(state.parameters, state.inner));
    return state;
  } finally {
    trainer.close();
  }
}
