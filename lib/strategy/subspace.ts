/**
 * Outer exchange in a subspace, the low-rank one of DiLoCoX (arXiv 2506.21263) with directions that all share: a peer sends
 * its pseudo-gradient (delta = anchor - theta, which we descend) as projections on `rank` directions of a row, drawn anew
 * each round by the run's seed, one factor of PowerSGD's two (arXiv 1905.13727). As all project on the same directions,
 * projections add up: the owner's mean loses nothing more, and goes down as it is. Bytes are rank / columns of fp32's, both
 * ways. What a projection leaves out goes into the next one, at the sender: with rank = columns nothing is left.
 *
 * The rows are of the flattened parameters, `columns` elements each.
 */
import { z } from "zod";
import { asGradmeshError } from "../base/errors.js";
import { openCodec } from "../native/codec.js";
import type { Fault } from "./checks.js";
import { exchangeEvery, type StrategyDefinition } from "./define.js";
import { innerStepsField, nameField, numberField, outerFields, outerOf, wholeField } from "./fields.js";
import { plainRecipe } from "./recipe.js";

/** Rows that a block of the codec has, so that blocks stay small; the projection is of each row alone. */
const ROWS = 64;

export const subspaceOptions = z.strictObject({
  name: nameField("subspace", "DiLoCo in few directions, the same for all (arXiv 2506.21263)"),
  innerSteps: innerStepsField(20),
  rank: wholeField(1, 64, 8, "directions that are sent of each row; at most columns"),
  columns: wholeField(2, 4096, 64, "elements of a row"),
  feedbackDecay: numberField(0, 1, 0.95, "what of the fed back error stays from round to round"),
  ...outerFields(0.7, { from: 0, to: 0, rounds: 0 }),
});

function codecOf({ rank, columns }: z.output<typeof subspaceOptions>): {
  codec: string;
  faults: readonly Fault[];
} {
  try {
    const spec = `lowrank:rows=${ROWS},columns=${columns},rank=${rank},basis=shared`;
    return { codec: openCodec(spec).spec, faults: [] };
  } catch (error) {
    const problem = `${rank}, with columns ${columns}: ${asGradmeshError(error).message}`;
    return { codec: "fp32", faults: [{ key: "rank", problem }] };
  }
}

export function subspace(options: z.output<typeof subspaceOptions>): StrategyDefinition {
  const { innerSteps, feedbackDecay } = options;
  const { codec, faults } = codecOf(options);
  const outer = outerOf(options);
  return {
    recipe: {
      ...plainRecipe,
      strategy: "subspace",
      trigger: exchangeEvery(innerSteps),
      source: "delta",
      feedback: { kind: "sender", decay: feedbackDecay },
      coding: { up: codec, down: null, ownerFeedback: null },
      route: { kind: "allReduce", collective: "direct" },
      outer: { kind: "nesterov" },
      commit: { steps: innerSteps, equal: true },
    },
    ...outer,
    faults: [...faults, ...outer.faults],
  };
}
