/** Mixing graphs, ring orders and islands, as the native room `topology` finds them. */
import { native } from "../native/load.js";

/** How a mixing graph contracts the disagreement of its ranks. */
export interface MixingDescription {
  /** Canonical: the graph's name, then the options that differ from their defaults. */
  readonly spec: string;
  readonly ranks: number;
  /** After so many rounds they repeat; 0 where each is drawn anew. */
  readonly period: number;
  /** What the worst disagreement shrinks to, at most, in `contractionRounds` rounds. */
  readonly contraction: number;
  readonly contractionRounds: number;
  /** 1 - contraction per round; of one symmetric mixing matrix, its spectral gap. */
  readonly gap: number;
  /** Every rank has the mean of all after `contractionRounds` rounds. */
  readonly exact: boolean;
  /** That one rank sends in a round. */
  readonly messagesMax: number;
  /** By round: |x - mean| / |x_0 - mean|, the root of the mean square over 16 normal starts. */
  readonly errors: readonly number[];
  /** By round: the same of the worst start, for the first 256 rounds of at most 128 ranks. */
  readonly worst: readonly number[];
}

/** With whom one rank mixes in one round: x becomes self x + the sum of weight x_rank. */
export interface Neighbours {
  readonly self: number;
  readonly in: readonly (readonly [rank: number, weight: number])[];
  readonly out: readonly number[];
}

/** What was measured between every two ranks, row-major with the sender first; the diagonal is not read. */
export interface LinkMatrix {
  readonly ranks: number;
  /** Bytes per second; 0 where there is no way. */
  readonly bandwidth: Float64Array;
  /** One-way seconds, at most 60. */
  readonly latency: Float64Array;
}

export interface RingOrder {
  /** Begins with rank 0; each sends to the next, the last to the first. */
  readonly order: readonly number[];
  /** Bytes per second. */
  readonly slowestHop: number;
  /** Seconds, of all hops. */
  readonly totalLatency: number;
  /** Found by trying everything, as for few ranks. */
  readonly exact: boolean;
  /** Proven: no ring has a faster slowest hop, and with this one none has less total latency. */
  readonly bound: number;
  readonly latencyBound: number;
}

export interface Islands {
  /** Seconds: ranks that are so near are in one island, and whoever is near to one of them. */
  readonly threshold: number;
  readonly islands: readonly { readonly members: readonly number[]; readonly leader: number }[];
}

/**
 * What `rounds` rounds of the graph `spec` do, as in "regular:degree=4,seed=7"; ranks up to 1024, rounds up to 32768.
 * @throws ERR_INVALID_ARGUMENT naming the graph, option, ranks or rounds, the value, and what is allowed.
 */
export async function describeMixing(
  spec: string,
  ranks: number,
  rounds: number,
): Promise<MixingDescription> {
  return JSON.parse(await native.topologyDescribe(spec, ranks, rounds)) as MixingDescription;
}

/** @throws ERR_INVALID_ARGUMENT like `describeMixing`. */
export function mixingNeighbours(spec: string, ranks: number, round: number, rank: number): Neighbours {
  return JSON.parse(native.topologyNeighbours(spec, ranks, round, rank)) as Neighbours;
}

/**
 * The ring whose slowest hop is the fastest possible, then of the least total latency; 2 to 256 ranks.
 * @throws ERR_INVALID_ARGUMENT naming the entry, its value, and what is allowed.
 */
export async function ringOrder(links: LinkMatrix): Promise<RingOrder> {
  return JSON.parse(await native.topologyRingOrder(links.bandwidth, links.latency, links.ranks)) as RingOrder;
}

/**
 * Ranks that are near to each other, and who speaks for them; `threshold` in seconds, 0 finds one
 * (native/topology/islands.h says how).
 * @throws ERR_INVALID_ARGUMENT like `ringOrder`.
 */
export function findIslands(links: LinkMatrix, threshold = 0): Islands {
  return JSON.parse(
    native.topologyIslands(links.bandwidth, links.latency, links.ranks, threshold),
  ) as Islands;
}
