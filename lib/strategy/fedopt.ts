/** What FedAdam and FedYogi have in common: an adaptive server (Reddi et al. 2020, arXiv 2003.00295, algorithm 2). */

import type { StrategyDefinition } from "./define.js";
import { fedavg, federatedFields, serverRateField } from "./fedavg.js";
import { decayField, numberField } from "./fields.js";

export const adaptiveFields = {
  ...federatedFields,
  serverLearningRate: serverRateField(0.01),
  beta1: decayField(0.9, "what of the server's first moment stays"),
  beta2: decayField(0.99, "what of the server's second moment stays"),
  epsilon: numberField(1e-12, 1, 1e-3, "the server's degree of adaptivity (tau): small adapts more"),
};

type FedavgOptions = Parameters<typeof fedavg>[0];

export interface AdaptiveOptions extends FedavgOptions {
  readonly beta1: number;
  readonly beta2: number;
  readonly epsilon: number;
}

export function adaptiveServer(
  strategy: string,
  kind: "adam" | "yogi",
  { beta1, beta2, epsilon, ...options }: AdaptiveOptions,
): StrategyDefinition {
  const { recipe, ...rest } = fedavg(options);
  return { ...rest, recipe: { ...recipe, strategy, outer: { kind, beta1, beta2, epsilon } } };
}
