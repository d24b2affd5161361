/** Several strategies of one run, side by side: how long their common round is, and which of them go together. */
import { GradmeshError } from "../base/errors.js";
import type { Fault } from "./checks.js";
import type { Recipe } from "./recipe.js";

/** Of which a run takes one strategy at most, and why. */
const single: readonly { readonly is: (recipe: Recipe) => boolean; readonly why: string }[] = [
  { is: ({ source }) => source === "gradient", why: "sends gradients, and a step takes one mean of them" },
  {
    is: ({ source }) => source === "delta" || source === "deltaAndAnchor",
    why: "sends pseudo-gradients, and the parameters follow one anchor",
  },
  { is: ({ local }) => local.kind !== "none", why: "changes each step's gradient" },
];

/** What averages parameters in place, after a step that set them to an anchor, would leave them apart from it. */
function orderFaults(recipes: readonly Recipe[]): Fault[] {
  const anchored = recipes.findIndex(({ outer }) => !["inner", "replace", "sign"].includes(outer.kind));
  if (anchored < 0) return [];
  return recipes.flatMap(({ outer, strategy }, index) => {
    const problem =
      `"${strategy}" averages the parameters that strategy ${anchored}, "${recipes[anchored]!.strategy}", sets to its ` +
      "anchor, and strategies act in the list's order; put it first";
    return outer.kind === "replace" && index > anchored ? [{ key: `${index}`, problem }] : [];
  });
}

/** What keeps these recipes from running side by side; keys begin with the index in the list. */
export function listFaults(recipes: readonly Recipe[]): Fault[] {
  const longest = Math.max(...recipes.map(({ commit }) => commit.steps));
  const uneven = recipes.flatMap(({ commit: { steps }, strategy }, index) =>
    longest % steps === 0
      ? []
      : [
          {
            key: `${index}`,
            problem:
              `"${strategy}" commits every ${steps} inner steps, and the longest round has ${longest}; ` +
              `allowed: a divisor of ${longest}`,
          },
        ],
  );
  const twice = single.flatMap(({ is, why }) =>
    recipes.flatMap((recipe, index) => {
      const first = recipes.findIndex(is);
      if (!is(recipe) || first === index) return [];
      const problem = `"${recipe.strategy}" ${why}; strategy ${first}, "${recipes[first]!.strategy}", does so already`;
      return [{ key: `${index}`, problem }];
    }),
  );
  const apart = [...uneven, ...twice];
  return apart.length > 0 ? apart : orderFaults(recipes);
}

/** Inner steps of a run's round: the longest commit interval, of which all others are divisors. @throws ERR_CONFIG. */
export function roundSteps(strategies: readonly { readonly recipe: Recipe }[]): number {
  const recipes = strategies.map(({ recipe }) => recipe);
  const faults = listFaults(recipes);
  if (faults.length > 0)
    throw new GradmeshError(
      "ERR_CONFIG",
      faults.map(({ key, problem }) => `strategy.${key}: ${problem}`).join("\n"),
    );
  return Math.max(...recipes.map(({ commit }) => commit.steps));
}
