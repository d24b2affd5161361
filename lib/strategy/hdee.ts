/**
 * HDEE (arXiv 2502.19385): an ensemble of experts, each trained on its own domain alone, that exchanges nothing; they are
 * one model where they are evaluated. Domains differ in difficulty, so experts may differ in size (MHe-IHo: `trainer`) or
 * in their numbers of steps (MHo-IHe: `steps`), at equal compute in total. MHo-IHo, all alike, is branch-train-merge.
 */
import { z } from "zod";
import type { Fault } from "./checks.js";
import { exchangeEvery, type StrategyDefinition } from "./define.js";
import { innerStepsField, nameField } from "./fields.js";
import { plainRecipe } from "./recipe.js";

/** As many as a run may have peers. */
const EXPERTS_MAX = 16;

const expert = z.strictObject({
  trainer: z.record(z.string(), z.unknown()).default({}),
  steps: z.int().min(1).max(1_000_000).nullable().default(null),
});

export const hdeeOptions = z.strictObject({
  name: nameField(
    "hdee",
    "experts by domain that exchange nothing, of different sizes or steps (arXiv 2502.19385)",
  ),
  innerSteps: innerStepsField(20),
  experts: z
    .array(expert)
    .min(1)
    .max(EXPERTS_MAX)
    .default([{ trainer: {}, steps: null }])
    .describe(
      "by shard, in turn: trainer options in place of the run's, and of a round's innerSteps how many it takes; null: all",
    )
    .meta({
      allowed: `a list of 1 to ${EXPERTS_MAX} objects, as in {"trainer": {"width": 64}, "steps": 10}`,
    }),
});

/** `steps` of `all` steps, evenly spread. */
function takes(step: number, steps: number, all: number): boolean {
  const within = step % all;
  return Math.floor(((within + 1) * steps) / all) > Math.floor((within * steps) / all);
}

export function hdee({ innerSteps, experts }: z.output<typeof hdeeOptions>): StrategyDefinition {
  const expertOf = (shard: number) => experts[shard % experts.length]!;
  const faults = experts.flatMap(({ steps }, index): Fault[] => {
    if (steps === null || steps <= innerSteps) return [];
    const problem = `${steps}; allowed: at most innerSteps, which is ${innerSteps}`;
    return [{ key: `experts.${index}.steps`, problem }];
  });
  const uneven = experts.some(({ steps }) => steps !== null && steps !== innerSteps);
  return {
    recipe: {
      ...plainRecipe,
      strategy: "hdee",
      trigger: exchangeEvery(innerSteps),
      source: "parameters",
      coding: { up: "fp32", down: null, ownerFeedback: null },
      route: { kind: "none" },
      outer: { kind: "replace" },
      membership: { join: "nothing", late: "nothing" },
      commit: { steps: innerSteps, equal: false },
    },
    faults,
    trainerOptions: (shard) => expertOf(shard).trainer,
    ...(uneven
      ? {
          trains: (step, { members }, rank) =>
            takes(step, expertOf(members[rank]?.shard ?? 0).steps ?? innerSteps, innerSteps),
        }
      : {}),
  };
}
