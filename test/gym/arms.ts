/** Small arms for the gym's tests: a tiny GPT, so that a round takes milliseconds. */
import { type ArmPlan, planOne } from "../../lib/gym/arms.js";

export const tinyTrainer = {
  module: "gpt",
  options: {
    layers: 1,
    width: 16,
    heads: 2,
    context: 16,
    batch: 2,
    warmupSteps: 5,
    totalSteps: 50,
    validationBatches: 2,
  },
};

/** An arm of DiLoCo with five inner steps a round, four peers and six rounds, but for what is given. */
export function tinyArm(arm: Record<string, unknown> = {}): ArmPlan {
  const { config, ...rest } = arm;
  return planOne({
    name: "arm",
    peers: 4,
    steps: 30,
    ...rest,
    config: { trainer: tinyTrainer, strategy: { name: "diloco", innerSteps: 5 }, ...(config as object) },
  });
}
