/**
 * DiLoCo with eager updates (Kale et al. 2025, arXiv 2502.12996, algorithm 2), experimental: the all-reduce of a round's
 * pseudo-gradients (delta = anchor - theta, which we descend) takes the whole next round, and a peer m of M does not wait
 * for it: its outer step takes the mean of the round before with its own part exchanged for the newest,
 * mean(delta(r - 1)) + (delta_m(r) - delta_m(r - 1)) / M. Without the correction it is the naive delay, mean(delta(r - 1)).
 * In the first round what is one round old is zero. Anchors differ between peers, by about delta_m / M.
 *
 * Here it did not reproduce: after pre-training, H 50, it ends far behind DiLoCo (2.41 with momentum 0.9, 1.58 with 0.5,
 * against 1.40), since the step is past what a delay of one of 40 rounds allows; it is better than the naive delay. So the
 * momentum stays at 0.5. H is the paper's 30.
 */
import { z } from "zod";
import { exchangeEvery, type StrategyDefinition } from "./define.js";
import {
  codingFields,
  codingOf,
  innerStepsField,
  nameField,
  outerFields,
  outerOf,
  routeOf,
} from "./fields.js";
import { plainRecipe } from "./recipe.js";

export const eagerDilocoOptions = z.strictObject({
  name: nameField("eager-diloco", "experimental: nobody waits for an outer step (arXiv 2502.12996)"),
  innerSteps: innerStepsField(30),
  correction: z
    .boolean()
    .default(true)
    .describe(
      "whether a peer's own part of the delayed mean is exchanged for its newest; false: naive delay",
    ),
  ...outerFields(0.7, { from: 0.5, to: 0.5, rounds: 0 }),
  ...codingFields("int8_block"),
});

export function eagerDiloco(options: z.output<typeof eagerDilocoOptions>): StrategyDefinition {
  const { innerSteps, correction } = options;
  return {
    recipe: {
      ...plainRecipe,
      strategy: "eager-diloco",
      trigger: exchangeEvery(innerSteps),
      source: "delta",
      coding: codingOf(options),
      route: routeOf(options),
      outer: { kind: "nesterov" },
      staleness: { kind: correction ? "eager" : "delayed" },
      // What a late peer sent is a round old, and what it would send is on its way with the next.
      membership: { join: "anchor", late: "nothing" },
      // A corrected mean is a peer's own, and so is its anchor.
      commit: { steps: innerSteps, equal: !correction },
    },
    ...outerOf(options),
  };
}
