/**
 * SPARTA (EXO Labs 2025, openreview stFPf3gzq1): every `interval` steps a small random share of the parameters
 * becomes its mean over all peers; gradients and optimizer states stay where they are. Which elements is drawn by the seed
 * that all share, so that it costs no bytes; or the shares of a partition take turns, so that 1 / share exchanges cover
 * every element once. With `overlapSteps` training goes on meanwhile, and a peer keeps what those steps changed. Alone, or
 * in a list before diloco, whose rounds may be longer then.
 *
 * Parameters themselves are averaged, so there is no sign to choose. Peers' parameters differ from each other by what was
 * not averaged lately. With share 1 it is averaging of all parameters.
 */
import { z } from "zod";
import { exchangeEvery, type StrategyDefinition } from "./define.js";
import { codecField, collectiveField, nameField, routeOf, wholeField } from "./fields.js";
import { plainRecipe } from "./recipe.js";

export const spartaOptions = z.strictObject({
  name: nameField("sparta", "a random share of the parameters is averaged (openreview stFPf3gzq1)"),
  share: z
    .number()
    .min(1e-6)
    .max(1)
    .default(0.005)
    .describe("of all elements, how many are averaged in an exchange; the paper's are 0.0005 to 0.005"),
  selector: z
    .enum(["random", "partition"])
    .default("random")
    .describe("which elements: drawn anew each time, or the parts of a partition in turn"),
  interval: wholeField(1, 1_000_000, 1, "inner steps from one exchange to the next"),
  overlapSteps: wholeField(
    0,
    1_000_000,
    0,
    "inner steps between sending elements and taking their mean, at most interval",
  ),
  commitEvery: wholeField(1, 1_000_000, 1, "exchanges between two commits"),
  codec: codecField("fp32", "how the chosen elements are coded on the wire"),
  collective: collectiveField(),
});

export function sparta(options: z.output<typeof spartaOptions>): StrategyDefinition {
  const { share, selector, interval, overlapSteps, commitEvery, codec } = options;
  const count = Math.round(1 / share);
  return {
    recipe: {
      ...plainRecipe,
      strategy: "sparta",
      trigger: exchangeEvery(interval, overlapSteps),
      source: "parameters",
      fragments: selector === "random" ? { kind: "random", share } : { kind: "partition", count },
      coding: { up: codec, down: null, ownerFeedback: null },
      route: routeOf(options),
      outer: { kind: "replace" },
      staleness: { kind: "overlap", steps: overlapSteps, mix: 0 },
      membership: { join: "parametersAndInner", late: "nothing" },
      commit: { steps: interval * commitEvery, equal: false },
    },
  };
}
