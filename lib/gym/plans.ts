/** The plans of all ranks of one collective, made once and used by every round that is like an earlier one. */
import type { AllReduceCall, GatherAllCall, GatherWordsCall, MixCall } from "../engine/communicator.js";
import type { ViewLinks } from "../group/messages.js";
import { native } from "../native/load.js";
import type { ReduceReport } from "../reduce/calls.js";
import { type Choice, chooseCollective, islandsOf } from "../reduce/choose.js";
import { Plan, type PlanRequest, plainRequest } from "../reduce/plan.js";

/** What a member asks of its group. */
export type GroupCall =
  | ({ readonly kind: "allReduce" } & AllReduceCall)
  | ({ readonly kind: "mix" } & MixCall)
  | ({ readonly kind: "gatherWords" } & GatherWordsCall)
  /** input and output are wires in their places, as packWires makes them. */
  | ({ readonly kind: "gatherWires" } & GatherAllCall);

/** A plan without its rank, which the ranks of a set have one each. */
export type SharedRequest = Omit<PlanRequest, "rank">;

/** Of a frame: header and GCM tag, as on encrypted links (native/transport/frame.h). */
const FRAME_BYTES = 48;
/** What every two ranks tell each other beside the data: what they think the operation is, and its end. */
const AGREEMENT_BYTES = 84 + 2 * FRAME_BYTES;

interface Schedule {
  readonly steps: readonly {
    readonly kind: string;
    readonly sources: readonly { readonly bytes: number }[];
    readonly target?: { readonly bytes: number };
  }[];
}

/** What a rank sends and receives by its schedule, the same as on the network. */
function reportOf({ steps }: Schedule, ranks: number): ReduceReport {
  const sends = steps.filter(({ kind }) => kind === "send");
  const receives = steps.filter(({ kind }) => kind === "recv");
  return {
    bytesSent: sends.reduce(
      (sum, { sources }) => sum + sources.reduce((all, { bytes }) => all + bytes, 0),
      0,
    ),
    bytesFraming: sends.length * FRAME_BYTES + (ranks - 1) * AGREEMENT_BYTES,
    bytesReceived: receives.reduce((sum, { target }) => sum + (target?.bytes ?? 0), 0),
    seconds: 0,
    steps: steps.length,
  };
}

export class PlanSet {
  readonly request: SharedRequest;
  /** The rank of the view in each place of the schedule. */
  readonly order: readonly number[];
  /** By place. */
  readonly plans: readonly Plan[];
  /** What each rank sends and receives, by rank. */
  readonly reports: readonly ReduceReport[];

  /** @throws ERR_INVALID_ARGUMENT naming the field, its value and what is allowed. */
  constructor(request: SharedRequest, order: readonly number[]) {
    this.request = request;
    this.order = order;
    this.plans = order.map((_, rank) => new Plan({ ...request, rank }));
    const reports = new Array<ReduceReport>(order.length);
    for (const [place, rank] of order.entries()) {
      const schedule = native.planSchedule(this.plans[place]!.handle);
      reports[rank] = reportOf(JSON.parse(schedule) as Schedule, order.length);
    }
    this.reports = reports;
  }

  free(): void {
    for (const plan of this.plans) plan.free();
  }
}

/** Elements that travel at a time in what members tell each other; the run's own number. */
export const WORDS_SEGMENT_ELEMENTS = 1024;
/** Sets of plans that are kept; a strategy has one for each fragment, weight and round of its graph. */
const SETS_MAX = 64;

/** Sets of plans by what was asked; the one that was not used for longest is freed. Not for use after close(). */
export class PlanSets {
  readonly #sets = new Map<string, PlanSet>();

  get(request: SharedRequest, order: readonly number[]): PlanSet {
    const key = JSON.stringify([request, order]);
    const set = this.#sets.get(key) ?? new PlanSet(request, order);
    this.#sets.delete(key);
    this.#sets.set(key, set);
    if (this.#sets.size > SETS_MAX) this.#drop(this.#sets.keys().next().value!);
    return set;
  }

  #drop(key: string): void {
    this.#sets.get(key)?.free();
    this.#sets.delete(key);
  }

  close(): void {
    for (const key of [...this.#sets.keys()]) this.#drop(key);
  }
}

export interface GroupShape {
  readonly ranks: number;
  readonly segmentElements: number;
  /** Between the ranks, for "auto" and for islands; null: not measured. */
  readonly links: ViewLinks | null;
}

const inOrder = (ranks: number) => Array.from({ length: ranks }, (_, rank) => rank);

async function reduction(sets: PlanSets, call: AllReduceCall, shape: GroupShape): Promise<PlanSet> {
  const { codec, down, owner, weights } = call;
  const { ranks, segmentElements, links } = shape;
  const elements = call.input.length;
  const request = {
    ...plainRequest,
    ranks,
    elements,
    codec,
    segmentElements,
    down,
    ownerDecay: owner?.decay ?? null,
    ...(weights === null ? {} : { reduction: "weighted_mean" as const }),
  };
  const weighted = weights === null ? {} : ({ reduction: "weighted_mean", weights } as const);
  if (call.collective === "gather")
    return sets.get({ ...request, collective: "gather_mean", weights: weights ?? [] }, inOrder(ranks));
  const choice: Pick<Choice, "collective" | "order" | "islands"> =
    call.collective === "auto"
      ? await chooseCollective({ ranks, elements, codec, segmentElements, links, ...weighted })
      : { collective: call.collective };
  const { collective, order = inOrder(ranks) } = choice;
  const islands = collective === "hierarchical" ? (choice.islands ?? islandsOf(links, ranks)) : [];
  return sets.get(
    { ...request, collective, weights: order.flatMap((rank) => weights?.[rank] ?? []), islands },
    order,
  );
}

/** The plans of what a member asks for, which is the same on all members. @throws as PlanSet does. */
export async function plansOf(sets: PlanSets, call: GroupCall, shape: GroupShape): Promise<PlanSet> {
  const { ranks, segmentElements } = shape;
  const plain = { ...plainRequest, ranks, segmentElements };
  switch (call.kind) {
    case "allReduce":
      return reduction(sets, call, shape);
    case "mix": {
      const { codec, topology, topologyRound: round, input } = call;
      return sets.get(
        { ...plain, collective: "mix", codec, topology, round, elements: input.length },
        inOrder(ranks),
      );
    }
    case "gatherWires":
      return sets.get(
        { ...plain, collective: "all_gather", codec: "fp32", elements: call.output.length },
        inOrder(ranks),
      );
    case "gatherWords": {
      const words = { codec: "fp32", elements: call.output.length, segmentElements: WORDS_SEGMENT_ELEMENTS };
      return sets.get({ ...plain, ...words, collective: "all_gather" }, inOrder(ranks));
    }
  }
}
