/** What each collective of a group asks for, and what it gives back. Ranks and peer ids are those of the view. */
import type { LinkView } from "../group/links.js";
import type { Mixing } from "./mixing.js";
import type { Reduction } from "./plan.js";
import type { Range, Tensor } from "./tensor.js";

export interface ReduceReport {
  /** Payload that this peer sent. */
  bytesSent: number;
  /** Headers and trailers around it. */
  bytesFraming: number;
  bytesReceived: number;
  /** Of the collective alone, without linking. */
  seconds: number;
  /** Steps of the schedule that were done. */
  steps: number;
  /** Of an all-reduce with `held`: the ranges that were not reduced again. */
  reused?: readonly Range[];
}

export interface CallOptions {
  view: LinkView;
  /** This peer's place in view.members. */
  rank: number;
  /**
   * Names this collective: the same number on every member, and above all earlier ones of the run, failed or not.
   * Several with numbers of their own may be under way at once, up to 16.
   */
  operation: number;
  /** Elements that travel at a time, so that coding, sending and receiving overlap. */
  segmentElements: number;
  /** For linking and the collective together. */
  limitMs: number;
  /**
   * Succeed only when every rank is done (the default); false spares a one-way delay, for callers who vote on the
   * outcome anyway.
   */
  agree?: boolean;
  signal?: AbortSignal;
}

export interface CodedOptions extends CallOptions {
  /** A codec's specification, as in "int4_block:scale=fp32"; the dtype's own name sends the elements as they are. */
  codec: string;
  /** Key the codec's random numbers, if it has any; the same on every member. By default 0. */
  key?: { seed: number; step: number };
  /** This peer's contribution, on the host or in a GPU's memory; stays as it is. */
  input: Tensor;
  /** As long as the input, and of its dtype. Its content after an error means nothing, but what `finished` names. */
  output: Tensor;
}

export interface ReducingOptions extends CodedOptions {
  /** By default the mean. max takes only the dtype's own codec. */
  reduction?: Reduction;
  /** Of a weighted mean: one for each rank, finite, not negative, not all 0. */
  weights?: readonly number[];
}

/** The collectives that end with the same reduction on every rank. */
export const allReduceCollectives = ["ring", "direct", "halving_doubling", "hierarchical"] as const;
export type AllReduceCollective = (typeof allReduceCollectives)[number];

/** Error feedback of the chunk that a rank owns in a direct all-reduce: what its coding left out goes into the next one. */
export interface OwnerState {
  /** float32 [n]: what was left out so far. Only the own chunk is read. */
  readonly state: Float32Array;
  /**
   * float32 [n]: of the own chunk, what the state is to be once the round is committed; other elements stay as they are.
   * Its content after an error means nothing.
   */
  readonly next: Float32Array;
  /** From 0 to 1: what of the state goes into the mean; the same on every member. */
  readonly decay: number;
}

export interface AllReduceOptions extends ReducingOptions {
  /**
   * gather_mean: every rank's coded tensor to every other, and the mean of all of them there; nothing is coded twice. It
   * takes means only. In it and in direct, ranks with weight 0 send nothing up.
   */
  collective: AllReduceCollective | "gather_mean";
  /** Of direct: the codec of the mean on its way down. By default as up. */
  down?: string;
  /** Of direct; takes a contractive codec on the way down, and no `held`. */
  owner?: OwnerState;
  /**
   * The ranks in the order in which the schedule goes through them, for a ring that suits the links. A sum's order
   * follows it, so it must be the same on every member. By default ascending.
   */
  order?: readonly number[];
  /** Of a hierarchical one: the rank that leads each rank's island. */
  islands?: readonly number[];
  /** After a failure, by rank: what `finished` named there; the rest alone is reduced again. Salvage. */
  held?: readonly (readonly Range[])[];
}

export interface BroadcastOptions extends CallOptions {
  /** The peers that take part, of the view's members, root and this peer included; all of them by default. */
  members?: readonly string[];
  /** The peer whose bytes the others get. */
  root: string;
  /** Straight from the root to each (the default), or down a binomial tree. */
  collective?: "broadcast" | "tree_broadcast";
  /** On the root: what it sends, which stays as it is. Elsewhere only its length counts. */
  input: Tensor;
  /** The root's elements, bit for bit. */
  output: Tensor;
}

export interface MixOptions extends CodedOptions {
  /** A graph of native/topology/graphs.def, as in "base:k=1" or "regular:degree=4,seed=7". */
  topology: string;
  /** The round of a time-varying graph, from 0; the same on every member. */
  round: number;
}

export interface Reducer {
  /**
   * The reduction of every member's input, the same bytes on all of them.
   * @throws ERR_PEER_LOST or ERR_UNREACHABLE with detail.peers, the peer ids that failed; ERR_TIMEOUT, ERR_ABORTED,
   * ERR_MISMATCH, ERR_PROTOCOL, ERR_INVALID_ARGUMENT. Inputs are intact.
   */
  allReduce(options: AllReduceOptions): Promise<ReduceReport>;
  /** The reduction to one peer alone, up a tree; other outputs mean nothing. @throws as allReduce does. */
  reduce(options: Omit<ReducingOptions, "codec" | "key"> & { root: string }): Promise<ReduceReport>;
  /** The reduction of each rank's chunk (chunkRange) to that rank; the rest of its output means nothing. */
  reduceScatter(options: ReducingOptions): Promise<ReduceReport>;
  /** Each rank's chunk (chunkRange) of its input to every rank's output. @throws as allReduce does. */
  allGather(options: CodedOptions): Promise<ReduceReport>;
  /** The root's elements, uncoded, on every named member. @throws as allReduce does. */
  broadcast(options: BroadcastOptions): Promise<ReduceReport>;
  /** Resolves once every member has called it. @throws as allReduce does. */
  barrier(options: CallOptions): Promise<ReduceReport>;
  /** One round of averaging with the neighbours in a graph: results differ between ranks. @throws as allReduce does. */
  mix(options: MixOptions): Promise<ReduceReport & { mixing: Mixing }>;
  /** Frees what is kept between calls. */
  close(): void;
}
