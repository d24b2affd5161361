/** What strategies share that average with neighbours in a graph: which graph, and how seldom all members meet. */
import { z } from "zod";
import { asGradmeshError } from "../base/errors.js";
import { mixingNeighbours } from "../reduce/topology.js";
import { codecField, wholeField } from "./fields.js";

/** Any graph is made of so few ranks; more are refused where a run has them and the graph cannot. */
const RANKS_MIN = 1;

function checkedGraph(spec: string, context: z.core.$RefinementCtx): string {
  try {
    mixingNeighbours(spec, RANKS_MIN, 0, 0);
    return spec;
  } catch (error) {
    context.addIssue({ code: "custom", message: asGradmeshError(error).message });
    return z.NEVER;
  }
}

export const gossipFields = (topology: string) => ({
  topology: z
    .string()
    .max(200)
    .transform(checkedGraph)
    .default(topology)
    .describe("with whom a peer averages, round after round: a graph of native/topology/graphs.def")
    .meta({
      allowed: 'a graph: ring, complete, one_peer_exponential, "regular:degree=4", small_world, pairs, ...',
      initial: topology,
    }),
  codec: codecField("fp32", "how what neighbours send each other is coded on the wire"),
  commitEvery: wholeField(
    1,
    1_000_000,
    1,
    "exchanges between two commits; neighbours wait for each other in an exchange, and all members only at a commit",
  ),
});
