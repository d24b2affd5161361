/**
 * Data parallel training: the mean gradient of every step, coded by any codec, with error feedback (Karimireddy et al.
 * 2019, arXiv 1901.09847) or without; or as two factors by PowerSGD (Vogels et al. 2019, arXiv 1905.13727). The reference
 * that other strategies are compared with: with fp32 all peers' parameters and optimizers are the same bytes.
 */
import { z } from "zod";
import type { Fault } from "./checks.js";
import { exchangeEvery, type StrategyDefinition } from "./define.js";
import { codingFields, codingOf, nameField, numberField, routeOf, wholeField } from "./fields.js";
import { plainRecipe } from "./recipe.js";
import { aggregateField, gatheringOf } from "./robust.js";

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
  ...aggregateField(),
  commitSteps: wholeField(1, 1_000_000, 1, "steps in a round, after which peers compare what they have"),
});

export function ddp(options: z.output<typeof ddpOptions>): StrategyDefinition {
  const { powersgdRank: rank, commitSteps, feedbackDecay } = options;
  const auto = rank === null ? "none" : "sender";
  const feedback = options.feedback === "auto" ? auto : options.feedback;
  const { route, aggregate, faults } = gatheringOf(options, {
    route: rank === null ? routeOf(options) : { kind: "powersgd", rank },
    aggregate: plainRecipe.aggregate,
  });
  return {
    recipe: {
      ...plainRecipe,
      strategy: "ddp",
      trigger: exchangeEvery(1),
      source: "gradient",
      feedback: feedback === "none" ? { kind: "none" } : { kind: "sender", decay: feedbackDecay },
      coding: codingOf(options),
      route,
      aggregate,
      outer: { kind: "inner" },
      membership: { join: "parametersAndInner", late: "nothing" },
      commit: { steps: commitSteps, equal: true },
    },
    faults: [...faults, ...(rank === null ? [] : factorFaults(options, rank))],
  };
}

function factorFaults({ collective, aggregate }: z.output<typeof ddpOptions>, rank: number): Fault[] {
  const direct = `"${collective}": the factors go by "direct"; leave it, or set powersgdRank to null`;
  const mean = `${rank}: the factors' means are no contributions of anybody; set powersgdRank or aggregate to null`;
  return [
    ...(collective === "direct" ? [] : [{ key: "collective", problem: direct }]),
    ...(aggregate === null ? [] : [{ key: "powersgdRank", problem: mean }]),
  ];
}
