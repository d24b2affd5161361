/**
 * DeMo (Peng et al. 2024, arXiv 2411.19870, algorithm 1): each peer keeps a momentum of its own, m = decay m + gradient,
 * sends the k largest of the DCT coefficients of each tile of it, and what it sent leaves m. The mean of what all sent is
 * transformed back, and its sign is the step: x = x (1 - lr weightDecay) - lr sign(mean), so the inner optimizer is not
 * used, and the learning rate with its schedule is here. A gradient is descended as it is.
 *
 * Every peer gets every other peer's wire (gather): bytes up do not grow with the peers, bytes down do. Tiles are of 4096
 * elements, 64 x 64, of the flattened parameters; the authors' are of each matrix, which makes no difference in what counts:
 * the transform spreads a coefficient over all of its tile, so that the sign moves every weight (measured; a Hadamard
 * transform does as well, none does not). Indices take 12 bits, where the authors' code sends 64.
 */
import { z } from "zod";
import { exchangeEvery, type StrategyDefinition } from "./define.js";
import { codecField, nameField, numberField, wholeField } from "./fields.js";
import { plainRecipe } from "./recipe.js";
import type { Schedule } from "./schedule.js";

/** What DeMo and DisTrO differ in. */
export interface SignedMomentum {
  readonly codec: string;
  readonly decay: number;
}

export const signedMomentumFields = ({ codec, decay }: SignedMomentum) => ({
  codec: codecField(codec, "what is sent of the momentum: a contractive codec"),
  feedbackDecay: numberField(0, 1, decay, "what of the momentum stays from step to step (beta)"),
  learningRate: numberField(0, 1, 0.003, "size of a step by signs, after its warm-up"),
  warmupSteps: wholeField(0, 1_000_000_000, 0, "steps in which the learning rate rises from 0"),
  decayStart: wholeField(0, 1_000_000_000, 0, "the step from which on the learning rate falls"),
  decaySteps: wholeField(
    0,
    1_000_000_000,
    0,
    "steps in which it falls to finalLearningRate, by the same amount each; 0: it never falls",
  ),
  finalLearningRate: numberField(0, 1, 0, "the learning rate once it has fallen"),
  weightDecay: numberField(0, 10, 0, "what a step takes from each weight, times the learning rate"),
  commitSteps: wholeField(1, 1_000_000, 1, "steps in a round, after which peers compare what they have"),
});

const signedMomentumOptions = z.strictObject(signedMomentumFields({ codec: "dct_topk", decay: 0 }));

type SignedMomentumOptions = z.output<typeof signedMomentumOptions>;

/** A rise, a plateau and a fall, each linear: by + - * / alone. An exchange is a step here. */
function learningRateOf(options: SignedMomentumOptions): Schedule<number> {
  const { learningRate, warmupSteps, decayStart, decaySteps, finalLearningRate } = options;
  return ({ exchange }) => {
    if (exchange < warmupSteps) return (learningRate * (exchange + 1)) / warmupSteps;
    if (decaySteps === 0 || exchange < decayStart) return learningRate;
    const fallen = Math.min(1, (exchange - decayStart) / decaySteps);
    return learningRate + (finalLearningRate - learningRate) * fallen;
  };
}

/** A momentum whose sent part leaves it, and steps by the sign of what all sent. */
export function signedMomentum(strategy: string, options: SignedMomentumOptions): StrategyDefinition {
  const { codec, feedbackDecay, weightDecay, commitSteps, warmupSteps, decayStart, decaySteps } = options;
  const early = decaySteps > 0 && decayStart < warmupSteps;
  const problem = `${decayStart}; allowed: at least warmupSteps, which is ${warmupSteps}`;
  return {
    recipe: {
      ...plainRecipe,
      strategy,
      trigger: exchangeEvery(1),
      source: "gradient",
      feedback: { kind: "momentum", decay: feedbackDecay },
      coding: { up: codec, down: null, ownerFeedback: null },
      route: { kind: "gather" },
      outer: { kind: "sign", weightDecay },
      membership: { join: "parameters", late: "nothing" },
      commit: { steps: commitSteps, equal: true },
    },
    learningRate: learningRateOf(options),
    faults: early ? [{ key: "decayStart", problem }] : [],
  };
}

export const demoOptions = z.strictObject({
  name: nameField("demo", "momentum's largest DCT coefficients, steps by sign (arXiv 2411.19870)"),
  ...signedMomentumFields({ codec: "dct_topk:k=32", decay: 0.999 }),
});

export const demo = (options: z.output<typeof demoOptions>): StrategyDefinition =>
  signedMomentum("demo", options);
