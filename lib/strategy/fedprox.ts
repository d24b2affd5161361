/**
 * FedProx (Li et al. 2018, arXiv 1812.06127): FedAvg whose peers are held to the shared parameters by mu / 2 times the
 * squared distance, which adds mu (parameters - anchor) to each step's gradient. With mu 0 it is FedAvg.
 */
import { z } from "zod";
import type { StrategyDefinition } from "./define.js";
import { fedavg, federatedFields, serverRateField } from "./fedavg.js";
import { nameField, numberField } from "./fields.js";

export const fedproxOptions = z.strictObject({
  name: nameField("fedprox", "fedavg with a pull to the shared parameters (arXiv 1812.06127)"),
  ...federatedFields,
  serverLearningRate: serverRateField(1),
  mu: numberField(0, 1000, 0.01, "how strongly a peer is held to the shared parameters"),
});

export function fedprox({ mu, ...options }: z.output<typeof fedproxOptions>): StrategyDefinition {
  const { recipe, ...rest } = fedavg(options);
  return { ...rest, recipe: { ...recipe, strategy: "fedprox", local: { kind: "proximal", mu } } };
}
