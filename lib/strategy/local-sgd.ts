/**
 * Local SGD (Stich 2018, arXiv 1805.09767): H inner steps on each peer, then the mean parameters take the place of its own.
 * There is no anchor: of a peer too slow for a round, fedavg carries the work on, this does not.
 */
import { z } from "zod";
import { exchangeEvery, type StrategyDefinition } from "./define.js";
import { codingFields, codingOf, innerStepsField, nameField, routeOf } from "./fields.js";
import { plainRecipe } from "./recipe.js";
import { aggregateField, gatheringOf } from "./robust.js";

export const localSgdOptions = z.strictObject({
  name: nameField("local-sgd", "many inner steps, then the mean parameters (arXiv 1805.09767)"),
  innerSteps: innerStepsField(20),
  ...codingFields("fp32"),
  ...aggregateField(),
});

export function localSgd(options: z.output<typeof localSgdOptions>): StrategyDefinition {
  const { innerSteps } = options;
  const { route, aggregate, faults } = gatheringOf(options, {
    route: routeOf(options),
    aggregate: plainRecipe.aggregate,
  });
  return {
    recipe: {
      ...plainRecipe,
      strategy: "local-sgd",
      trigger: exchangeEvery(innerSteps),
      source: "parameters",
      coding: codingOf(options),
      route,
      aggregate,
      outer: { kind: "replace" },
      membership: { join: "parameters", late: "nothing" },
      commit: { steps: innerSteps, equal: true },
    },
    faults,
  };
}
