/**
 * DiLoCo (arXiv 2311.08105) over a sparse graph: instead of a mean over all, each peer averages parameters with its
 * neighbours (gossip, Xiao and Boyd 2004; one-peer exponential graphs, Ying et al., arXiv 2110.13363), and takes its outer
 * step from an anchor of its own: delta_i = anchor_i - sum_j W_ij theta_j, which we descend, b_i = m b_i + delta_i,
 * anchor_i = anchor_i - lr (delta_i + m b_i). Anchors agree as fast as the graph mixes: its spectral gap (`npx gradmesh
 * bench mixing`). With the graph "complete" it is DiLoCo.
 */
import { z } from "zod";
import { exchangeEvery, type StrategyDefinition } from "./define.js";
import { innerStepsField, nameField, outerFields, outerOf } from "./fields.js";
import { gossipFields } from "./gossip.js";
import { plainRecipe } from "./recipe.js";

export const sparseDilocoOptions = z.strictObject({
  name: nameField("sparse-diloco", "DiLoCo whose mean is over a graph's neighbours (arXiv 2110.13363)"),
  innerSteps: innerStepsField(20),
  ...gossipFields("one_peer_exponential"),
  ...outerFields(0.7, { from: 0.5, to: 0.9, rounds: 10 }),
});

export function sparseDiloco(options: z.output<typeof sparseDilocoOptions>): StrategyDefinition {
  const { innerSteps, topology, codec, commitEvery } = options;
  const { momentum, ...outer } = outerOf(options);
  return {
    recipe: {
      ...plainRecipe,
      strategy: "sparse-diloco",
      trigger: exchangeEvery(innerSteps),
      source: "parameters",
      coding: { up: codec, down: null, ownerFeedback: null },
      route: { kind: "mix", topology },
      outer: { kind: "nesterov" },
      commit: { steps: innerSteps * commitEvery, equal: false },
    },
    ...outer,
    // The warm-up counts outer steps, of which several may lie between two commits.
    momentum: (moment) => momentum({ ...moment, round: moment.exchange }),
  };
}
