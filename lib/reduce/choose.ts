/**
 * Chooses the all-reduce for measured links by its predicted time (native/collective/advise.h). The same question gives
 * the same choice on every machine, so ranks that ask with the same matrix agree.
 */
import type { ViewLinks } from "../group/messages.js";
import { openCodec } from "../native/codec.js";
import { native } from "../native/load.js";
import type { AllReduceCollective } from "./calls.js";
import { type Reduction, reductions } from "./plan.js";
import { type Dtype, dtypes } from "./tensor.js";
import { findIslands, type LinkMatrix } from "./topology.js";

export interface ChoiceQuestion {
  ranks: number;
  elements: number;
  codec: string;
  segmentElements: number;
  /** Between the ranks; null while nothing was measured. */
  links: ViewLinks | null;
  /** By default fp32 and the mean. */
  dtype?: Dtype;
  reduction?: Reduction;
  weights?: readonly number[];
}

/** What one collective would take. */
export interface Prediction {
  collective: AllReduceCollective;
  /** Null where a link that it needs carries nothing. */
  seconds: number | null;
  latencySeconds: number;
  transferSeconds: number | null;
  /** Of the rank that sends most, framing included. */
  bytesSentMax: number;
  /** What the transfer waits for, in words. */
  limit: string;
  /** Why it may not be used; empty where it may. */
  refused: string;
}

export interface Choice {
  collective: AllReduceCollective;
  /** Of a ring: the ranks in its order. */
  order?: readonly number[];
  /** Of a hierarchical one: the rank that leads each rank's island. */
  islands?: readonly number[];
  /** Of every collective; empty where there was nothing to choose from. */
  candidates: readonly Prediction[];
  /** Why, in words: a line for the choice, and one for each candidate. */
  explain(): string;
}

/** What native code answers. */
interface Advice {
  collective: AllReduceCollective;
  explain: string;
  order: number[];
  islands: number[];
  candidates: Prediction[];
}

function matrixOf(links: ViewLinks | null, ranks: number): LinkMatrix {
  return {
    ranks,
    bandwidth: Float64Array.from(links?.bytesPerSecond ?? []),
    latency: Float64Array.from(links?.seconds ?? []),
  };
}

/** Pairs of different ranks whose link was measured, each way. */
function measuredPairs({ ranks, bandwidth }: LinkMatrix): number {
  return bandwidth.filter((rate, at) => rate > 0 && Math.floor(at / ranks) !== at % ranks).length;
}

/** Each rank's leader: of the islands that the links show, or of one island where they are not all measured. */
export function islandsOf(links: ViewLinks | null, ranks: number): number[] {
  const matrix = matrixOf(links, ranks);
  const leaders = new Array<number>(ranks).fill(0);
  if (ranks < 2 || measuredPairs(matrix) < ranks * (ranks - 1)) return leaders;
  for (const { members, leader } of findIslands(matrix).islands)
    for (const member of members) leaders[member] = leader;
  return leaders;
}

function only(collective: AllReduceCollective, why: string): Choice {
  return { collective, candidates: [], explain: () => `${collective}: ${why}` };
}

/**
 * The quickest all-reduce over these links; direct while they are not all measured.
 * @throws ERR_INVALID_ARGUMENT naming the field, its value and what is allowed.
 */
export async function chooseCollective(question: ChoiceQuestion): Promise<Choice> {
  const { ranks, elements, codec, segmentElements, links } = question;
  const { dtype = "fp32", reduction = "mean", weights = [] } = question;
  if (ranks < 3) return only("direct", `for ${ranks} ranks it has the fewest steps and sends the least`);
  const matrix = matrixOf(links, ranks);
  const [measured, due] = [measuredPairs(matrix), ranks * (ranks - 1)];
  if (measured < due) return only("direct", `${measured} of ${due} links are measured yet`);
  const json = await native.collectiveChoose(
    ranks,
    elements,
    openCodec(codec).id,
    segmentElements,
    dtypes.indexOf(dtype),
    reductions.indexOf(reduction),
    Float64Array.from(weights),
    matrix.bandwidth,
    matrix.latency,
  );
  const { collective, explain, order, islands, candidates } = JSON.parse(json) as Advice;
  return {
    collective,
    ...(collective === "ring" ? { order } : {}),
    ...(collective === "hierarchical" ? { islands } : {}),
    candidates,
    explain: () => explain,
  };
}
