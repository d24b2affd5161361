/**
 * A communicator in memory for tests of exchanges: n members meet at each slot, and when the last one has come, all
 * members' schedules run in this process with the bytes that a network would carry.
 */

import type {
  AllReduceCall,
  Communicator,
  GatherAllCall,
  GatherWordsCall,
  MixCall,
} from "../../lib/engine/communicator.js";
import { openCodec } from "../../lib/native/codec.js";
import { native } from "../../lib/native/load.js";
import type { ReduceReport } from "../../lib/reduce/calls.js";
import { runLocal } from "../../lib/reduce/local.js";
import { Plan, type PlanRequest, plainRequest } from "../../lib/reduce/plan.js";
import type { StrategyView } from "../../lib/strategy/strategy.js";

type Calls =
  | { readonly kind: "allReduce"; readonly calls: readonly AllReduceCall[] }
  | { readonly kind: "mix"; readonly calls: readonly MixCall[] }
  | { readonly kind: "gatherWords"; readonly calls: readonly GatherWordsCall[] }
  | { readonly kind: "gatherAll"; readonly calls: readonly GatherAllCall[] };

interface Meeting {
  readonly kind: Calls["kind"];
  readonly calls: (AllReduceCall | MixCall | GatherWordsCall | GatherAllCall)[];
  readonly done: PromiseWithResolvers<void>;
  here: number;
}

const report: ReduceReport = { bytesSent: 0, bytesFraming: 0, bytesReceived: 0, seconds: 0, steps: 0 };

/** What everybody decodes of one member's contribution. */
export async function decoded(
  codecSpec: string,
  { seed, step }: { seed: number; step: number },
  rank: number,
  input: Float32Array,
): Promise<Float32Array> {
  const { id } = openCodec(codecSpec);
  const wire = new Uint8Array(native.codecBytes(id, input.length));
  const output = new Float32Array(input.length);
  await native.codecEncode(id, seed, step, rank, 0, input, wire);
  await native.codecDecode(id, seed, step, rank, 0, wire, output);
  return output;
}

/** Few, so that tensors of tests have several segments. */
const SEGMENT_BLOCKS = 2;

interface Run {
  readonly request: Partial<PlanRequest> & Pick<PlanRequest, "collective" | "codec">;
  readonly key: { readonly seed: number; readonly step: number };
  readonly inputs: readonly Float32Array[];
  readonly outputs: readonly Float32Array[];
  readonly states?: readonly Float32Array[];
  readonly nexts?: readonly Float32Array[];
}

/** All ranks' schedules, as they would run over a network. */
async function run({ request, inputs, ...rest }: Run): Promise<void> {
  const blocks = [request.codec, request.down ?? request.codec].map((spec) => openCodec(spec).blockElements);
  const segmentElements = SEGMENT_BLOCKS * Math.max(...blocks);
  const [ranks, elements] = [inputs.length, inputs[0]!.length];
  const plans = inputs.map(
    (_, rank) => new Plan({ ...plainRequest, segmentElements, ...request, ranks, rank, elements }),
  );
  try {
    await runLocal({ plans, inputs, ...rest });
  } finally {
    for (const plan of plans) plan.free();
  }
}

async function allReduce(calls: readonly AllReduceCall[]): Promise<void> {
  const { collective, codec, down, key, weights, owner } = calls[0]!;
  const tensors = {
    key,
    inputs: calls.map(({ input }) => input),
    outputs: calls.map(({ output }) => output),
  };
  const weighted =
    weights === null ? { weights: [] } : ({ weights: [...weights], reduction: "weighted_mean" } as const);
  if (collective === "gather")
    return run({ request: { collective: "gather_mean", codec, ...weighted }, ...tensors });
  return run({
    request: {
      collective: collective === "auto" ? "direct" : collective,
      codec,
      down,
      ownerDecay: owner?.decay ?? null,
      ...weighted,
    },
    ...tensors,
    ...(owner === null
      ? {}
      : { states: calls.map((call) => call.owner!.state), nexts: calls.map((call) => call.owner!.next) }),
  });
}

async function mix(calls: readonly MixCall[]): Promise<void> {
  const { topology, topologyRound: round, codec, key } = calls[0]!;
  await run({
    request: { collective: "mix", codec, topology, round },
    key,
    inputs: calls.map(({ input }) => input),
    outputs: calls.map(({ output }) => output),
  });
}

function gatherWords(calls: readonly GatherWordsCall[]): void {
  for (const { output } of calls)
    for (const [rank, { input }] of calls.entries()) output.set(input, rank * input.length);
}

async function gatherAll(calls: readonly GatherAllCall[]): Promise<void> {
  for (const [rank, { codec, key, input }] of calls.entries()) {
    const row = await decoded(codec, key, rank, input);
    for (const { output } of calls) output.set(row, rank * row.length);
  }
}

/** So many members that only see each other. */
export function createGroup(members: number, seed = 1): Communicator[] {
  const meetings = new Map<number, Meeting>();
  const view: StrategyView = {
    epoch: 1,
    members: Array.from({ length: members }, (_, rank) => ({
      peerId: `peer${rank}`,
      shard: rank,
      samples: 1,
    })),
    seed,
    measures: {},
  };
  async function meet(kind: Calls["kind"], rank: number, call: Meeting["calls"][number]) {
    const known = meetings.get(call.slot);
    const meeting = known ?? { kind, calls: [], done: Promise.withResolvers<void>(), here: 0 };
    if (meeting.kind !== kind) throw new Error(`slot ${call.slot} is a ${meeting.kind} and a ${kind}`);
    meetings.set(call.slot, meeting);
    meeting.calls[rank] = call;
    meeting.here += 1;
    if (meeting.here === members) {
      meetings.delete(call.slot);
      await compute(meeting as Calls).then(meeting.done.resolve, meeting.done.reject);
    }
    await meeting.done.promise;
    return report;
  }
  return view.members.map((_, rank) => ({
    view,
    rank,
    allReduce: (call) => meet("allReduce", rank, call),
    mix: (call) => meet("mix", rank, call),
    gatherWords: (call) => meet("gatherWords", rank, call),
    gatherAll: (call) => meet("gatherAll", rank, call),
  }));
}

async function compute({ kind, calls }: Calls): Promise<void> {
  if (kind === "allReduce") return allReduce(calls);
  if (kind === "mix") return mix(calls);
  if (kind === "gatherAll") return gatherAll(calls);
  return gatherWords(calls);
}

/** Codecs that feedback takes, one of each way of coding. */
export const contractiveCodecs = [
  "topk:block=256,k=16",
  "topk:block=256,k=13,values=sign",
  "topk:block=256,k=16,values=int8",
  "sign1:block=256",
  "dct_topk:rows=16,columns=64,k=100",
  "eden:block=256,bits=2,scale=least",
  "lowrank:rows=32,columns=48,rank=3",
  "int4_block",
  "nf4",
];
