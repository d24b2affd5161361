/** The GPT's parameters without its arithmetic: for a simulation that knows how long a step takes and moves real tensors. */
import { createTrainer as createGpt } from "../lib/trainer/gpt.js";
import type { StepResult, Trainer, TrainerContext } from "../lib/trainer/trainer.js";

/** A trainer whose steps change nothing and take no time. @throws as the GPT's factory does. */
export async function createTrainer(context: TrainerContext): Promise<Trainer> {
  const gpt = await createGpt(context);
  const nothing = async (): Promise<StepResult> => ({ loss: 0, tokens: 0 });
  return {
    layout: gpt.layout,
    parameters: gpt.parameters,
    innerState: gpt.innerState,
    fingerprint: `idle ${gpt.fingerprint}`,
    gradients: gpt.gradients,
    samples: gpt.samples,
    step: nothing,
    gradient: nothing,
    update: async () => {},
    evaluate: async () => ({ loss: 0 }),
    close: () => gpt.close(),
  };
}
