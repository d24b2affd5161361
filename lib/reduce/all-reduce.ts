/** Collectives over the members of a view: links them, runs the native plan, and names the peers that failed. */
import { type Clock, systemClock } from "../base/clock.js";
import { asGradmeshError, GradmeshError } from "../base/errors.js";
import type { BulkLinks, LinkView } from "../group/links.js";
import type {
  AllReduceOptions,
  BroadcastOptions,
  CallOptions,
  OwnerState,
  ReduceReport,
  Reducer,
  ReducingOptions,
} from "./calls.js";
import type { Endpoint } from "./endpoint.js";
import { createMixingDescriber } from "./mixing.js";
import { PlanCache, type PlanRequest, plainRequest } from "./plan.js";
import { dtypeOf, elementsOf, type Tensor } from "./tensor.js";

export type * from "./calls.js";

export interface ReducerOptions {
  endpoint: Pick<Endpoint, "run">;
  links: Pick<BulkLinks, "ensure">;
  clock?: Clock;
  plans?: PlanCache;
  describeMixing?: ReturnType<typeof createMixingDescriber>;
}

/** What differs between the calls. Ranks, weights, islands and held ranges are by rank of the view. */
interface GroupCall {
  /** Ranks of the view that take part, in the order of the schedule. */
  group: readonly number[];
  plan: Pick<PlanRequest, "collective"> & Partial<PlanRequest>;
  key?: { seed: number; step: number } | undefined;
  input: Tensor;
  output: Tensor;
  owner?: OwnerState | undefined;
}

function toReport(report: Float64Array): ReduceReport {
  const [bytesSent = 0, bytesFraming = 0, bytesReceived = 0, seconds = 0, , steps = 0] = report;
  return { bytesSent, bytesFraming, bytesReceived, seconds, steps };
}

const unkeyed = { seed: 0, step: 0 };
const LOST_RANK = 4;
const REPORT_LENGTH = 6;
const nothing = new Float32Array(0);

/** The native failure with what had been sent by then, naming the lost peer instead of its rank within the group. */
function nameLost(
  error: unknown,
  report: Float64Array,
  view: LinkView,
  group: readonly number[],
): GradmeshError {
  const failure = asGradmeshError(error);
  const bytesSent = report[0]! + report[1]!;
  const peerId = view.members[group[report[LOST_RANK]!] ?? -1]?.peerId;
  const message = peerId === undefined ? failure.message : `peer ${peerId}: ${failure.message}`;
  const detail = peerId === undefined ? { bytesSent } : { bytesSent, peers: [peerId] };
  return new GradmeshError(failure.code, message, { cause: failure, detail });
}

const invalid = (why: string) => new GradmeshError("ERR_INVALID_ARGUMENT", why);

/** The rank of a peer in the view. @throws ERR_INVALID_ARGUMENT. */
function rankOf(view: LinkView, peerId: string): number {
  const rank = view.members.findIndex((member) => member.peerId === peerId);
  if (rank < 0) throw invalid(`${peerId} is not a member of epoch ${view.epoch}`);
  return rank;
}

function groupOf({ view, rank, members, root }: BroadcastOptions): number[] {
  const named = members?.map((peerId) => rankOf(view, peerId));
  const group = everyRank(view).filter((other) => named?.includes(other) ?? true);
  if (!group.includes(rank) || !group.includes(rankOf(view, root)))
    throw invalid("the members of a broadcast must hold this peer and the root");
  return group;
}

const everyRank = (view: LinkView) => view.members.map((_, rank) => rank);

/** @throws ERR_INVALID_ARGUMENT unless the order has every rank of the view once. */
function orderOf(view: LinkView, order?: readonly number[]): readonly number[] {
  const ranks = everyRank(view);
  if (order === undefined) return ranks;
  if (order.length === ranks.length && ranks.every((rank) => order.includes(rank))) return order;
  throw invalid(`order is ${order.join(", ")}; allowed: every rank from 0 to ${ranks.length - 1} once`);
}

/** The plan of the call: what it has by rank of the view is put in the order of the schedule. */
function requestOf({ rank, segmentElements }: CallOptions, call: GroupCall): PlanRequest {
  const { group, plan, output } = call;
  const { weights = [], islands = [], held = [], root = group[0]! } = plan;
  const dtype = dtypeOf(output);
  const inOrder = <Item>(items: readonly Item[], what: string): Item[] => {
    if (items.length === 0) return [];
    if (group.some((member) => items[member] === undefined))
      throw invalid(`${what} has ${items.length} entries; allowed: one for each rank`);
    return group.map((member) => items[member]!);
  };
  return {
    ...plainRequest,
    codec: dtype,
    ...plan,
    ranks: group.length,
    rank: group.indexOf(rank),
    root: group.indexOf(root),
    elements: elementsOf(output),
    segmentElements,
    dtype,
    weights: inOrder(weights, "weights"),
    islands: inOrder(islands, "islands").map((leader) => group.indexOf(leader)),
    held: inOrder(held, "held").map((ranges) => ranges.map(({ begin, elements }) => ({ begin, elements }))),
  };
}

const reducing = ({ codec, reduction = "mean", weights = [] }: ReducingOptions) => ({
  codec,
  reduction,
  weights,
});

/** The collectives of one peer; plans are kept between calls. */
export function createReducer(options: ReducerOptions): Reducer {
  const { endpoint, links, clock = systemClock, plans = new PlanCache() } = options;
  const describe = options.describeMixing ?? createMixingDescriber();

  async function run(options: CallOptions, call: GroupCall): Promise<ReduceReport> {
    const { view, rank, operation, limitMs, agree = true, signal } = options;
    const { group, key = unkeyed, input, output, owner } = call;
    const start = clock.now();
    const all = await links.ensure(view, rank, limitMs, signal);
    const left = Math.max(1, Math.ceil(limitMs - (clock.now() - start)));
    const report = new Float64Array(REPORT_LENGTH);
    report[LOST_RANK] = -1;
    const plan = plans.get(requestOf(options, call));
    const nativeCall = {
      plan,
      links: Int32Array.from(group, (member) => all[member]!),
      operation,
      ...key,
      limitMs: left,
      agree,
      input,
      output,
      ...(owner === undefined ? {} : { state: owner.state, next: owner.next }),
      report,
    };
    try {
      await endpoint.run(nativeCall, signal);
    } catch (error) {
      throw nameLost(error, report, view, group);
    }
    const salvaged = plan.request.held.some((ranges) => ranges.length > 0);
    return { ...toReport(report), ...(salvaged ? { reused: plan.reused } : {}) };
  }

  /** A collective of every rank of the view. */
  const whole = (
    options: CallOptions & Pick<GroupCall, "input" | "output" | "key" | "owner">,
    plan: GroupCall["plan"],
    order?: readonly number[],
  ) => {
    const { view, input, output, key, owner } = options;
    return run(options, { group: orderOf(view, order), plan, key, input, output, owner });
  };

  return {
    async allReduce(options: AllReduceOptions) {
      const { collective, order, islands = [], held = [], down = null, owner } = options;
      const way = { collective, down, ownerDecay: owner?.decay ?? null, islands, held };
      return whole(options, { ...way, ...reducing(options) }, order);
    },
    async reduce(options) {
      const { view, root, reduction = "mean", weights = [] } = options;
      const plan = { collective: "tree_reduce", root: rankOf(view, root), reduction, weights } as const;
      return whole(options, plan);
    },
    reduceScatter: async (options) => whole(options, { collective: "reduce_scatter", ...reducing(options) }),
    allGather: async (options) => whole(options, { collective: "all_gather", codec: options.codec }),
    async broadcast(options) {
      const { view, root, collective = "broadcast", input, output } = options;
      const group = groupOf(options);
      return run(options, { group, plan: { collective, root: rankOf(view, root) }, input, output });
    },
    barrier: async (options) =>
      whole({ ...options, input: nothing, output: nothing }, { collective: "barrier" }),
    async mix(options) {
      const { codec, topology, round, view } = options;
      const report = await whole(options, { collective: "mix", codec, topology, round });
      return { ...report, mixing: await describe(topology, view.members.length, round) };
    },
    close: () => plans.clear(),
  };
}
