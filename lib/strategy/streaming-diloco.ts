/**
 * Streaming DiLoCo (Douillard et al. 2025, arXiv 2501.18512, algorithm 2): the model in P fragments of strided layers, one
 * after another every H / P inner steps, so that the peak of the bandwidth is 1 / P of DiLoCo's. A fragment is sent
 * `overlapSteps` (tau) before its turn ends, and training goes on meanwhile; then its parameters theta become
 * mix theta + (1 - mix) anchor. What is sent is the pseudo-gradient, delta = anchor - theta; the outer step descends it, of
 * each fragment on its own: b = m b + mean(delta), anchor = anchor - lr (mean(delta) + m b). With fragments 1, overlapSteps
 * 0 and mix 0 it is DiLoCo.
 *
 * Defaults are the paper's (H 30, tau 1, alpha 0.5, lr 0.4, 4 bits e3m0) but for the momentum, which warms up as DiLoCo's,
 * and P, which is 2, since small models have few layers (the paper's fragments are of three).
 */
import { z } from "zod";
import { exchangeEvery, type StrategyDefinition } from "./define.js";
import {
  codingFields,
  codingOf,
  decayField,
  innerStepsField,
  nameField,
  outerFields,
  outerOf,
  routeOf,
  wholeField,
} from "./fields.js";
import { plainRecipe } from "./recipe.js";
import { aggregateField, gatheringOf } from "./robust.js";

/** Fragments in turn, sent while training goes on. */
export const streamFields = (initial: { fragments: number; overlapSteps: number; mix: number }) => ({
  fragments: wholeField(
    1,
    1024,
    initial.fragments,
    "parts of whole layers, strided, that are sent in turn (P); innerSteps is a multiple of it",
  ),
  overlapSteps: wholeField(
    0,
    1_000_000,
    initial.overlapSteps,
    "inner steps between sending a fragment and its outer step (tau), at most innerSteps / fragments",
  ),
  mix: decayField(initial.mix, "what a peer keeps of its own parameters when an outer step comes (alpha)"),
});

export const streamingDilocoOptions = z.strictObject({
  name: nameField("streaming-diloco", "fragments in turn, sent while training goes on (arXiv 2501.18512)"),
  innerSteps: innerStepsField(30),
  ...streamFields({ fragments: 2, overlapSteps: 1, mix: 0.5 }),
  ...outerFields(0.4, { from: 0.5, to: 0.9, rounds: 10 }),
  ...codingFields("e3m0"),
  ...aggregateField(),
});

export function streamingDiloco(options: z.output<typeof streamingDilocoOptions>): StrategyDefinition {
  const { innerSteps, fragments, overlapSteps, mix } = options;
  const outer = outerOf(options);
  const { route, aggregate, faults } = gatheringOf(options, {
    route: routeOf(options),
    aggregate: plainRecipe.aggregate,
  });
  return {
    recipe: {
      ...plainRecipe,
      strategy: "streaming-diloco",
      trigger: exchangeEvery(innerSteps / fragments, overlapSteps),
      source: "delta",
      fragments: fragments === 1 ? { kind: "all" } : { kind: "layers", count: fragments },
      coding: codingOf(options),
      route,
      aggregate,
      outer: { kind: "nesterov" },
      staleness: { kind: "overlap", steps: overlapSteps, mix },
      commit: { steps: innerSteps, equal: true },
    },
    ...outer,
    faults: [...outer.faults, ...faults],
  };
}
