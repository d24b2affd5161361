/**
 * DiLoCo (Douillard et al. 2023, arXiv 2311.08105): H inner steps on each peer, then an outer Nesterov step on the mean
 * pseudo-gradient. The momentum warms up, since in the first rounds the paper's 0.9 harms (measured); coded both ways it
 * is INTELLECT-1's (arXiv 2412.01152) and less.
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
import { aggregateField, gatheringOf } from "./robust.js";
import { settleField, settling } from "./settle.js";

export const dilocoOptions = z.strictObject({
  name: nameField("diloco", "many inner steps, then an outer Nesterov step (arXiv 2311.08105)"),
  innerSteps: innerStepsField(20),
  ...outerFields(0.7, { from: 0.5, to: 0.9, rounds: 10 }),
  settleRounds: settleField(),
  ...codingFields("int8_block"),
  ...aggregateField(),
});

export function diloco(options: z.output<typeof dilocoOptions>): StrategyDefinition {
  const { innerSteps } = options;
  const outer = outerOf(options);
  const { route, aggregate, faults } = gatheringOf(options, {
    route: routeOf(options),
    aggregate: plainRecipe.aggregate,
  });
  return {
    recipe: {
      ...plainRecipe,
      strategy: "diloco",
      trigger: exchangeEvery(innerSteps),
      source: "delta",
      coding: codingOf(options),
      route,
      aggregate,
      outer: { kind: "nesterov" },
      commit: { steps: innerSteps, equal: true },
    },
    faults: [...outer.faults, ...faults],
    ...settling(outer, options.settleRounds, innerSteps),
  };
}
