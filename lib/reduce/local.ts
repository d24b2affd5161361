/**
 * Collectives whose ranks are all in this process: run on real data with the bytes that a network would carry, or only
 * timed on links that are given as numbers. For virtual peers.
 */
import { native } from "../native/load.js";
import type { Plan } from "./plan.js";
import { bytesOf, type HalfTensor } from "./tensor.js";

/** Ranks of one collective, by rank. */
export interface LocalCall {
  /** One of each rank, alike but for the rank: as `new Plan` or a PlanCache gives them. */
  readonly plans: readonly Plan[];
  /** Key the codecs' random numbers; the same as over a network. */
  readonly key: { readonly seed: number; readonly step: number };
  /** [n] each; they stay as they are, and ranks may share one. */
  readonly inputs: readonly (Float32Array | HalfTensor)[];
  /** [n] each, apart from each other and from all else. */
  readonly outputs: readonly (Float32Array | HalfTensor)[];
  /** Of plans with ownerDecay: float32 [n] each. Each rank reads its chunk of its state and writes that of its next. */
  readonly states?: readonly Float32Array[];
  readonly nexts?: readonly Float32Array[];
  /** That the ranks' work is spread over; by default 1. */
  readonly threads?: number;
}

const bytes = (tensors: readonly (Float32Array | HalfTensor)[]) => tensors.map(bytesOf);
const floatBytes = ({ buffer, byteOffset, byteLength }: Float32Array) =>
  new Uint8Array(buffer, byteOffset, byteLength);

/**
 * Runs every rank's plan. Outputs are the bytes that the collective gives over a network.
 * @returns payload bytes sent, by rank.
 * @throws ERR_INVALID_ARGUMENT naming the field, its value and what is allowed; ERR_CLOSED for a freed plan.
 */
export async function runLocal(call: LocalCall): Promise<Float64Array> {
  const { plans, key, inputs, outputs, states = [], nexts = [], threads = 1 } = call;
  const sent = new Float64Array(plans.length);
  await native.collectiveRunLocal(
    Float64Array.from(plans, ({ handle }) => handle),
    key.seed,
    key.step,
    bytes(inputs),
    bytes(outputs),
    states.map(floatBytes),
    nexts.map(floatBytes),
    sent,
    threads,
  );
  return sent;
}

/** Links as numbers; each list has an entry for each rank, or one for all. */
export interface SimulatedLinks {
  /** Bytes per second that a rank can send, and receive, on all its links together. */
  readonly uplink: Float64Array;
  readonly downlink: Float64Array;
  /** Seconds one way, [from][to] row-major. */
  readonly delay: Float64Array;
  /** What each frame costs its sender beside its bytes; by default 0. */
  readonly frameSeconds?: number;
  /** What coding takes for each float32 byte that it reads; by default 0. */
  readonly codingSecondsPerByte?: number;
}

/**
 * When each rank is done with a collective, in seconds, by rank; native/collective/simulate.h has the model.
 * @param plan of any rank.
 * @param ready when each rank begins it, in seconds of 0 or more.
 * @throws ERR_INVALID_ARGUMENT naming the field, its value and what is allowed.
 */
export async function simulateCollective(
  plan: Plan,
  ready: Float64Array,
  links: SimulatedLinks,
): Promise<Float64Array> {
  const { uplink, downlink, delay, frameSeconds = 0, codingSecondsPerByte = 0 } = links;
  const finish = new Float64Array(plan.request.ranks);
  const rates = [uplink, downlink, delay] as const;
  await native.collectiveSimulate(plan.handle, ready, ...rates, frameSeconds, codingSecondsPerByte, finish);
  return finish;
}
