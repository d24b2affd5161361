/**
 * DiLoCo (arXiv 2311.08105) at the fewest bytes for its loss: pseudo-gradients (delta = anchor - theta, which we descend)
 * go up in 1 or 2 bits of a rotated codec that is right in the mean (EDEN, arXiv 2108.08842), so that a sender owes nothing
 * and errors average out over the peers; sums are exact; the mean goes down in few bits of a contractive codec with error
 * feedback at the chunk's owner, since nothing averages its error. Finer codecs may come as training goes on (`bits`), by
 * rounds, or ahead of them once the coding's noise in the mean, which follows from how much contributions agree, is above
 * `noise`. Fragments may take turns and overlap with training as in Streaming DiLoCo (arXiv 2501.18512).
 *
 * Without later `bits`, with one fragment and no overlap it is DiLoCo with downCodec and ownerFeedback.
 */
import { z } from "zod";
import { recipeFaults } from "./checks.js";
import { type CodecStage, codecSchedule } from "./codec-schedule.js";
import { exchangeEvery, type StrategyDefinition } from "./define.js";
import {
  codecField,
  codingOf,
  innerStepsField,
  nameField,
  optionalCodecField,
  outerFields,
  outerOf,
} from "./fields.js";
import { plainRecipe, type Recipe } from "./recipe.js";
import { settleField, settling } from "./settle.js";
import { streamFields } from "./streaming-diloco.js";

const stage = z.tuple([
  z.int().min(1).max(1_000_000_000),
  codecField("eden:bits=2", "the codec up"),
  optionalCodecField("the codec down; null: as up"),
]);

export const frontierOptions = z.strictObject({
  name: nameField("frontier", "few unbiased bits up, few fed back ones down (arXiv 2108.08842, 2311.08105)"),
  innerSteps: innerStepsField(100),
  ...streamFields({ fragments: 1, overlapSteps: 0, mix: 0 }),
  ...outerFields(0.7, { from: 0.9, to: 0.9, rounds: 0 }),
  settleRounds: settleField(),
  codec: codecField("eden:bits=2", "how pseudo-gradients are coded on their way up: an unbiased codec"),
  downCodec: optionalCodecField(
    "how their mean is coded on its way down: a contractive codec; null: as up",
    "int4_block",
  ),
  bits: z
    .array(stage)
    .max(64)
    .default([])
    .describe("codecs of later rounds: [from round, up, down], ascending, finer ones later")
    .meta({ allowed: "a list of at most 64 entries, each [a round, a codec, a codec or null]", initial: [] }),
  noise: z
    .number()
    .gt(0)
    .max(1)
    .nullable()
    .default(null)
    .describe(
      "coding noise in the mean, of its squared norm, above which the next of `bits` comes early; null: never",
    ),
  ownerFeedback: z
    .number()
    .min(0)
    .max(1)
    .nullable()
    .default(1)
    .describe("decay of the error feedback of a chunk's owner on the mean's way down; null: none"),
});

/** A later stage is refused for what a recipe of it alone would be, under the stage's own keys. */
function stageFaults(recipe: Recipe, stages: readonly CodecStage[]) {
  const keys: Readonly<Record<string, number>> = { codec: 1, downCodec: 2 };
  return stages.flatMap(([, up, down], index) =>
    recipeFaults({ ...recipe, coding: { ...recipe.coding, up, down } }).flatMap(({ key, problem }) =>
      keys[key] === undefined ? [] : [{ key: `bits.${index}.${keys[key]}`, problem }],
    ),
  );
}

export function frontier(options: z.output<typeof frontierOptions>): StrategyDefinition {
  const { innerSteps, settleRounds, fragments, overlapSteps, mix, codec, downCodec, bits, noise } = options;
  const { up, down, faults } = codecSchedule({ first: [0, codec, downCodec], later: bits, noise });
  const recipe: Recipe = {
    ...plainRecipe,
    strategy: "frontier",
    trigger: exchangeEvery(innerSteps / fragments, overlapSteps),
    source: "delta",
    fragments: fragments === 1 ? { kind: "all" } : { kind: "layers", count: fragments },
    coding: codingOf(options),
    route: { kind: "allReduce", collective: "direct" },
    outer: { kind: "nesterov" },
    staleness: { kind: "overlap", steps: overlapSteps, mix },
    measure: noise === null ? null : "signal",
    commit: { steps: innerSteps, equal: true },
  };
  const outer = outerOf(options);
  return {
    recipe,
    ...settling(outer, settleRounds, innerSteps),
    up,
    down,
    faults: [...faults, ...stageFaults(recipe, bits), ...outer.faults],
  };
}
