/**
 * SparseLoCo (Sarfi et al. 2025, arXiv 2508.15706, algorithm 1): every H steps a peer adds its pseudo-gradient to what it
 * still owes, e = decay e + delta with delta = anchor - theta, sends the k largest of each 4096 elements of e in few bits,
 * and what it sent leaves e. The anchor descends the mean of what all sent: anchor = anchor - lr mean. There is no outer
 * momentum: the error feedback plays its part.
 *
 * As in the paper every peer gets every other peer's wire (`way` gather), so that bytes grow with the peers. `way` direct
 * sums at a chunk's owner, who sends the mean on by `downCodec` with error feedback of its own: then they do not.
 * Values are 2 bits as in the paper, here a sign and which of two magnitudes of the block (native/codec/two_means.h),
 * which lose a third of what signs alone do; a block has 120 bytes with them, 108 with signs. A top-k needs coverage:
 * rounds times density of 10 at least (measured), which the default has from 640 rounds on.
 */
import { z } from "zod";
import { exchangeEvery, type StrategyDefinition } from "./define.js";
import { codecField, codingFields, codingOf, innerStepsField, nameField, numberField } from "./fields.js";
import { plainRecipe } from "./recipe.js";
import { aggregateField, gatheringOf } from "./robust.js";

const { downCodec, ownerFeedback } = codingFields("fp32");

export const sparselocoOptions = z.strictObject({
  name: nameField("sparseloco", "error feedback and the k largest of each block (arXiv 2508.15706)"),
  innerSteps: innerStepsField(30),
  codec: codecField("topk:values=int2", "what is sent of the fed back error: a contractive codec"),
  feedbackDecay: numberField(0, 1, 0.95, "what of the fed back error stays from round to round (beta)"),
  outerLearningRate: numberField(0, 10, 1, "step size on the mean of what all sent (alpha)"),
  clip: z
    .boolean()
    .default(false)
    .describe("whether a contribution is scaled down to the median one's norm, as Templar does"),
  way: z
    .enum(["gather", "direct"])
    .default("gather")
    .describe(
      "every wire to every peer, as in the paper; or sums at chunks' owners, whose bytes do not grow with the peers",
    ),
  downCodec,
  ownerFeedback,
  ...aggregateField(),
});

export function sparseloco(options: z.output<typeof sparselocoOptions>): StrategyDefinition {
  const { innerSteps, feedbackDecay, outerLearningRate, clip, way } = options;
  const { route, aggregate, faults } = gatheringOf(options, {
    route: way === "gather" ? { kind: "gather" } : { kind: "allReduce", collective: "direct" },
    aggregate: { kind: clip ? "medianNormClip" : "mean" },
  });
  const clipped =
    "true: a faulty peer does not clip itself; set clip to false, or aggregate to null (normClip clips all)";
  return {
    recipe: {
      ...plainRecipe,
      strategy: "sparseloco",
      trigger: exchangeEvery(innerSteps),
      source: "delta",
      feedback: { kind: "sender", decay: feedbackDecay },
      coding: codingOf(options),
      route,
      aggregate,
      outer: { kind: "sgd" },
      commit: { steps: innerSteps, equal: true },
    },
    learningRate: () => outerLearningRate,
    faults: [...faults, ...(clip && options.aggregate !== null ? [{ key: "clip", problem: clipped }] : [])],
  };
}
