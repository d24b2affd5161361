/**
 * NoLoCo (Kolehmainen et al. 2025, arXiv 2506.10911): no collective over all peers at all. Every H steps random pairs tell
 * each other their pseudo-gradients, delta = anchor - theta, and their anchors, and take a modified Nesterov step whose
 * third term pulls the anchors together: m = alpha m + beta mean(delta) + gamma (anchor - mean(anchor)), anchor =
 * anchor - m, theta = anchor. The signs are those of the authors' code, turned around, since they ascend and we descend
 * (equation 2 of the paper has the sign of beta wrong). Defaults are theirs. The final model is the mean of all peers'.
 */
import { z } from "zod";
import { exchangeEvery, type StrategyDefinition } from "./define.js";
import { decayField, innerStepsField, nameField, numberField } from "./fields.js";
import { gossipFields } from "./gossip.js";
import { plainRecipe } from "./recipe.js";

export const nolocoOptions = z.strictObject({
  name: nameField(
    "noloco",
    "random pairs and a Nesterov step that pulls anchors together (arXiv 2506.10911)",
  ),
  innerSteps: innerStepsField(50),
  ...gossipFields("pairs"),
  alpha: decayField(0.5, "momentum of the outer step"),
  beta: numberField(0, 10, 0.7, "weight of the neighbours' mean pseudo-gradient"),
  gamma: numberField(0, 2, 0.7, "pull of a peer's anchor towards its neighbours' mean"),
});

export function noloco(options: z.output<typeof nolocoOptions>): StrategyDefinition {
  const { innerSteps, topology, codec, commitEvery, alpha, beta, gamma } = options;
  return {
    recipe: {
      ...plainRecipe,
      strategy: "noloco",
      trigger: exchangeEvery(innerSteps),
      source: "deltaAndAnchor",
      coding: { up: codec, down: null, ownerFeedback: null },
      route: { kind: "mix", topology },
      outer: { kind: "noloco", alpha, beta, gamma },
      commit: { steps: innerSteps * commitEvery, equal: false },
    },
  };
}
