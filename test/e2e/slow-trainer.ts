/** The GPT as a trainer of one's own that takes its time, as on a busy machine. */
import { existsSync } from "node:fs";
import { createTrainer as createGpt } from "../../lib/trainer/gpt.js";
import type { StepContext, Trainer, TrainerContext } from "../../lib/trainer/trainer.js";

interface SlowOptions {
  gpt: unknown;
  /** Until a trainer is made. */
  delayMs: number;
  /** Path of a file: as long as it is there no step is taken. */
  gate: string;
}

const sleep = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

export async function createTrainer(context: TrainerContext): Promise<Trainer> {
  const { gpt, delayMs, gate } = context.options as unknown as SlowOptions;
  await sleep(delayMs);
  const trainer = await createGpt({ ...context, options: gpt });
  const step = trainer.step.bind(trainer);
  return Object.assign(trainer, {
    step: async (at: StepContext) => {
      while (existsSync(gate)) await sleep(10);
      return step(at);
    },
  });
}
