/** What a round of mixing does to disagreement: its matrix, the graph's spectral gap and the expected consensus error. */
import { describeMixing, type MixingDescription, mixingNeighbours } from "./topology.js";

export interface Mixing {
  /** W of the round, [ranks][ranks] row-major: row i holds what rank i takes of each. */
  readonly matrix: Float64Array;
  /** The graph's: its gap, its contraction, and the consensus error by round. */
  readonly graph: MixingDescription;
  /** |x - mean| / |x_0 - mean| after this round, from normal starts at round 0; NaN beyond the described rounds. */
  readonly consensusError: number;
}

/** Rounds whose consensus error is described; a graph's analysis grows with them. */
const ROUNDS_DESCRIBED = 64;

export function mixingMatrix(topology: string, ranks: number, round: number): Float64Array {
  const matrix = new Float64Array(ranks * ranks);
  for (let rank = 0; rank < ranks; rank += 1) {
    const { self, in: neighbours } = mixingNeighbours(topology, ranks, round, rank);
    matrix[rank * ranks + rank] = self;
    for (const [other, weight] of neighbours) matrix[rank * ranks + other]! += weight;
  }
  return matrix;
}

/** Describes rounds of mixing; the description of the last graph is kept, as rounds of one graph follow each other. */
export function createMixingDescriber(): (topology: string, ranks: number, round: number) => Promise<Mixing> {
  let last: { key: string; graph: Promise<MixingDescription> } | null = null;
  return async (topology, ranks, round) => {
    const key = `${ranks} ${topology}`;
    if (last?.key !== key) last = { key, graph: describeMixing(topology, ranks, ROUNDS_DESCRIBED) };
    const graph = await last.graph;
    const matrix = mixingMatrix(topology, ranks, round);
    return { matrix, graph, consensusError: graph.errors[round] ?? Number.NaN };
  };
}
