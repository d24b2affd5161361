/** The GPT as a trainer of one's own that takes its time to be made, as on a busy machine. */
import { createTrainer as createGpt } from "../../lib/trainer/gpt.js";
import type { Trainer, TrainerContext } from "../../lib/trainer/trainer.js";

interface SlowOptions {
  gpt: unknown;
  /** Until a trainer is made. */
  delayMs: number;
}

export async function createTrainer(context: TrainerContext): Promise<Trainer> {
  const { gpt, delayMs } = context.options as unknown as SlowOptions;
  await new Promise((resolve) => setTimeout(resolve, delayMs));
  return createGpt({ ...context, options: gpt });
}
