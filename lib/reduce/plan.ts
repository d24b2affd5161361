/** Plans: one rank's schedule of a collective, checked and written once by native code and run any number of times. */
import { GradmeshError } from "../base/errors.js";
import { type CollectiveName, collectives } from "../native/abi.gen.js";
import { openCodec } from "../native/codec.js";
import { native } from "../native/load.js";
import { type Dtype, dtypes, type Range } from "./tensor.js";

/** By the ids of native/collective/schedule.h. */
export const reductions = ["mean", "sum", "weighted_mean", "max"] as const;
export type Reduction = (typeof reductions)[number];

/** Everything that a schedule depends on; all but `rank` the same on every rank. */
export interface PlanRequest {
  readonly collective: CollectiveName;
  readonly ranks: number;
  readonly rank: number;
  /** Of a broadcast or a reduction to one rank; else 0. */
  readonly root: number;
  readonly elements: number;
  /** A codec's specification. */
  readonly codec: string;
  /** Of direct: that of the mean on its way down; null: as up. */
  readonly down: string | null;
  /** Of direct: the decay, from 0 to 1, of the error feedback at a chunk's owner; it takes a contractive codec down. */
  readonly ownerDecay: number | null;
  readonly segmentElements: number;
  readonly dtype: Dtype;
  readonly reduction: Reduction;
  /** Of a weighted mean: one for each rank; else empty. */
  readonly weights: readonly number[];
  /** Of a mix: its graph's specification, as in "base:k=1", and the round of a time-varying one; else "" and 0. */
  readonly topology: string;
  readonly round: number;
  /** Of a hierarchical reduction: the rank that leads each rank's island; else empty. */
  readonly islands: readonly number[];
  /** By rank, what of the output is final there after a failed operation; empty where there was none. */
  readonly held: readonly (readonly Range[])[];
}

/** A request with what most collectives leave out. */
export const plainRequest = {
  root: 0,
  down: null,
  ownerDecay: null,
  dtype: "fp32",
  reduction: "mean",
  weights: [],
  topology: "",
  round: 0,
  islands: [],
  held: [],
} as const satisfies Partial<PlanRequest>;

export interface PlanCost {
  latencySteps: number;
  /** Payload of one rank, without frame headers. */
  bytesSent: number;
}

/** What native code takes for none. */
const NO_CODEC = -1;
const NO_DECAY = -1;

export class Plan {
  readonly request: PlanRequest;
  #handle: number | undefined;

  /** @throws ERR_INVALID_ARGUMENT naming the field, its value and what is allowed. */
  constructor(request: PlanRequest) {
    this.request = request;
    const { ownerDecay } = request;
    if (ownerDecay !== null && !(ownerDecay >= 0))
      throw new GradmeshError(
        "ERR_INVALID_ARGUMENT",
        `ownerDecay is ${ownerDecay}; allowed: from 0 to 1, or null for none`,
      );
    const held = request.held.flatMap((ranges, rank) =>
      ranges.flatMap(({ begin, elements }) => [rank, begin, elements]),
    );
    this.#handle = native.planCreate(
      collectives[request.collective].id,
      request.ranks,
      request.rank,
      request.root,
      request.elements,
      openCodec(request.codec).id,
      request.down === null ? NO_CODEC : openCodec(request.down).id,
      request.ownerDecay ?? NO_DECAY,
      request.segmentElements,
      dtypes.indexOf(request.dtype),
      reductions.indexOf(request.reduction),
      Float64Array.from(request.weights),
      request.topology,
      request.round,
      Int32Array.from(request.islands),
      Float64Array.from(held),
    );
  }

  /** What native calls take. @throws ERR_CLOSED. */
  get handle(): number {
    if (this.#handle === undefined) throw new GradmeshError("ERR_CLOSED", "the plan is freed");
    return this.#handle;
  }

  get cost(): PlanCost {
    return JSON.parse(native.planCost(this.handle)) as PlanCost;
  }

  /** What of the result a plan with `held` takes over from the failed operation, in whole blocks of the codec. */
  get reused(): Range[] {
    const parts = JSON.parse(native.planContributors(this.handle, 0)) as [number, number, number][];
    return parts.flatMap(([begin, elements, ranks]) => (ranks === 0 ? [{ begin, elements }] : []));
  }

  /** What runs goes on. */
  free(): void {
    if (this.#handle !== undefined) native.planFree(this.#handle);
    this.#handle = undefined;
  }
}

/** The plans that were used last, so that a round like the one before writes no schedule anew. */
export class PlanCache {
  readonly #plans = new Map<string, Plan>();
  readonly #create: (request: PlanRequest) => Plan;
  readonly #plansMax: number;

  /** @param plansMax the one that was not used for longest is freed beyond it. */
  constructor(create: (request: PlanRequest) => Plan = (request) => new Plan(request), plansMax = 16) {
    this.#create = create;
    this.#plansMax = plansMax;
  }

  /** @throws as Plan does. */
  get(request: PlanRequest): Plan {
    const key = JSON.stringify(request);
    const plan = this.#plans.get(key) ?? this.#create(request);
    // Maps iterate in the order of insertion: the first is the one that was used least recently.
    this.#plans.delete(key);
    this.#plans.set(key, plan);
    if (this.#plans.size > this.#plansMax) this.#drop(this.#plans.keys().next().value!);
    return plan;
  }

  #drop(key: string): void {
    this.#plans.get(key)?.free();
    this.#plans.delete(key);
  }

  /** Frees all of them. */
  clear(): void {
    for (const key of [...this.#plans.keys()]) this.#drop(key);
  }
}

/** What a collective costs one rank. @throws as Plan does. */
export function planCost(request: PlanRequest): PlanCost {
  const plan = new Plan(request);
  try {
    return plan.cost;
  } finally {
    plan.free();
  }
}
