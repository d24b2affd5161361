/**
 * Data parallel training: the mean gradient of every step, coded by any codec, with error feedback (Karimireddy et al.
 * 2019, arXiv 1901.09847) or without; or as two factors by PowerSGD (Vogels et al. 2019, arXiv 1905.13727). The reference
 * that other strategies are compared with: with fp32 all peers' parameters and optimizers are the same bytes.
 */
import { z } from "zod";
import { exchangeEvery, type StrategyDefinition } from "./define.js";
import { codingFields, codingOf, nameField, numberField, routeOf, wholeField } from "./fields.js";
import { plainRecipe } from "./recipe.js";

export const ddpOptions = z.strictObject({
  name: nameField("ddp", "all-reduce of gradients at every step; PowerSGD (arXiv 1905.13727)"),
  ...codingFields("fp32"),
  feedback: z
    .enum(["auto", "none", "sender"])
    .default("auto")
    .describe(
      "of what coding leaves out; sender: it goes into the next gradient; auto: so with powersgdRank alone",
    ),
  feedbackDecay: numberField(0, 1, 1, "what of the fed back error stays, from one step to the next"),
  powersgdRank: z
    .int()
    .min(1)
    .max(64)
    .nullable()
    .default(null)
    .describe("gradients of matrices travel as two factors of this rank; null: whole"),
  commitSteps: wholeField(1, 1_000_000, 1, "steps in a round, after which peers compare what they have"),
});

export function ddp(options: z.output<typeof ddpOptions>): StrategyDefinition {
  const { powersgdRank: rank, commitSteps, collective, feedbackDecay } = options;
  const auto = rank === null ? "none" : "sender";
  const feedback = options.feedback === "auto" ? auto : options.feedback;
  const problem = `"${collective}": the factors go by "direct"; leave it, or set powersgdRank to null`;
  return {
    recipe: {
      ...plainRecipe,
      strategy: "ddp",
      trigger: exchangeEvery(1),
      source: "gradient",
      feedback: feedback === "none" ? { kind: "none" } : { kind: "sender", decay: feedbackDecay },
      coding: codingOf(options),
      route: rank === null ? routeOf(options) : { kind: "powersgd", rank },
      outer: { kind: "inner" },
      membership: { join: "parametersAndInner", late: "nothing" },
      commit: { steps: commitSteps, equal: true },
    },
    faults: rank === null || collective === "direct" ? [] : [{ key: "collective", problem }],
  };
}
