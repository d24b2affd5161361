/** The GPT as a trainer of one's own that counts how many of it this process has open. */
import { createTrainer as createGpt } from "../../lib/trainer/gpt.js";
import type { Trainer, TrainerContext } from "../../lib/trainer/trainer.js";

/** Trainers that were made and not closed. */
export const open = new Set<Trainer>();

export async function createTrainer(context: TrainerContext): Promise<Trainer> {
  const trainer = await createGpt(context);
  open.add(trainer);
  const close = trainer.close.bind(trainer);
  return Object.assign(trainer, {
    close() {
      open.delete(trainer);
      close();
    },
  });
}
