/** An all-reduce of a view: which collective, over which order of the ranks, and what is kept of an attempt that failed. */
import { asGradmeshError } from "../base/errors.js";
import type { AllReduceCall } from "../engine/communicator.js";
import type { LiveView } from "../group/member.js";
import type { AllReduceOptions, CallOptions, ReduceReport, Reducer } from "../reduce/calls.js";
import { type Choice, type ChoiceQuestion, chooseCollective, islandsOf } from "../reduce/choose.js";
import type { Endpoint } from "../reduce/endpoint.js";
import type { Range } from "../reduce/tensor.js";
import type { RunConfig } from "./config.js";
import type { EventSink } from "./events.js";
import { countPeers, cutParts, KEPT_WORDS, type Kept, type Part, packKept, unpackKept } from "./salvage.js";

export interface RoundReduceOptions {
  reducer: Pick<Reducer, "allReduce" | "allGather">;
  endpoint: Pick<Endpoint, "finished">;
  network: Pick<RunConfig["network"], "onLoss" | "segmentElements">;
  /** This peer's id. */
  self: string;
  emit: EventSink;
  choose?: (question: ChoiceQuestion) => Promise<Choice>;
}

/** The operations of one all-reduce: telling each other what is kept, and the all-reduce. */
export interface ReduceCalls {
  kept: CallOptions;
  reduce: CallOptions;
}

/** What of a result is kept, and the memory that it lies in. */
interface KeptResult extends Kept {
  readonly round: number;
  readonly output: Float32Array;
}

type Way = Pick<AllReduceOptions, "collective" | "order" | "islands">;

/** Elements of one piece of a small all-gather. */
export const SMALL_SEGMENT_ELEMENTS = 1024;

/**
 * Whether what a failed attempt finished may stand: it is in the round's result alone, and no owner of a chunk keeps
 * what it left out of it. The same answer on every member.
 */
const salvageable = ({ last, owner, collective }: AllReduceCall) =>
  last && owner === null && collective !== "gather";

export class RoundReduce {
  readonly #options: RoundReduceOptions;
  /** By slot, of the round's last attempt, while the memory of its result is untouched. */
  readonly #kept = new Map<number, KeptResult>();
  /** By what is reduced: the collective that was chosen last. */
  readonly #chosen = new Map<string, string>();
  /** The choices over one matrix of links. */
  #choices: { links: LiveView["links"]; ranks: number; made: Map<string, Promise<Choice>> } | null = null;

  constructor(options: RoundReduceOptions) {
    this.#options = options;
  }

  /** The round is over. */
  forget(): void {
    this.#kept.clear();
  }

  /** The mean of every member's `call.input` in `call.output`. @throws as Reducer.allReduce does. */
  async run(view: LiveView, calls: ReduceCalls, call: AllReduceCall): Promise<ReduceReport> {
    const salvaging = this.#options.network.onLoss === "salvage" && salvageable(call);
    // Whether a round was begun before is in the view, so that every member gathers, or none.
    const gathers = salvaging && view.again && view.members.length > 1;
    const told = gathers ? await this.#agree(view, calls.kept, call) : null;
    const held = told?.held ?? [];
    this.#kept.delete(call.slot);
    const { length: elements } = call.output;
    const peers = view.members.length;
    const whole = [{ begin: 0, elements, peers }];
    const attempt = { round: view.round, operation: calls.reduce.operation, output: call.output };
    try {
      const report = await this.#allReduce(view, calls.reduce, call, held);
      const { reused } = report;
      const parts = reused === undefined ? whole : countPeers(elements, peers, held, reused);
      if (reused !== undefined) this.#tellSalvaged(view, elements, parts, reused);
      // Another member may have failed all the same.
      if (salvaging) this.#kept.set(call.slot, { ...attempt, parts });
      return told === null ? report : addBytes(report, told.report);
    } catch (error) {
      // A failed attempt that kept something has parts of both; nothing of it counts again.
      if (salvaging && held.length === 0) this.#keep(call.slot, attempt, whole);
      throw error;
    }
  }

  /** Every member's parts of the round's last failed attempt, the same list on all of them. */
  async #agree(
    view: LiveView,
    options: CallOptions,
    { slot, output }: AllReduceCall,
  ): Promise<{ held: Part[][]; report: ReduceReport }> {
    const kept = this.#kept.get(slot);
    const own = kept?.round === view.round && kept.output.length === output.length ? kept : null;
    if (own !== null && own.output !== output) output.set(own.output);
    const words = KEPT_WORDS * view.members.length;
    const input = new Float32Array(words);
    input.set(packKept(own), KEPT_WORDS * options.rank);
    const gathered = new Float32Array(words);
    const small = { ...options, segmentElements: SMALL_SEGMENT_ELEMENTS };
    const report = await this.#options.reducer.allGather({
      ...small,
      codec: "fp32",
      input,
      output: gathered,
    });
    const { parts } = unpackKept(gathered);
    return { held: parts.some((each) => each.length > 0) ? parts : [], report };
  }

  #keep(slot: number, attempt: Omit<KeptResult, "parts">, whole: readonly Part[]): void {
    try {
      const parts = cutParts(whole, this.#options.endpoint.finished(attempt.operation));
      this.#kept.set(slot, { ...attempt, parts });
    } catch (error) {
      // An attempt that never began holds nothing.
      if (asGradmeshError(error).code === "ERR_INTERNAL") throw error;
    }
  }

  #tellSalvaged({ epoch, round }: LiveView, elements: number, parts: Part[], reused: readonly Range[]): void {
    const { self, emit } = this.#options;
    const kept = reused.reduce((sum, range) => sum + range.elements, 0);
    emit({ type: "salvaged", peer: self, epoch, round, elements, kept, parts });
  }

  async #allReduce(
    view: LiveView,
    options: CallOptions,
    call: AllReduceCall,
    held: Part[][],
  ): Promise<ReduceReport> {
    const { codec, key, input, output, down, owner, weights } = call;
    const way = await this.#way(view, call);
    return this.#options.reducer.allReduce({
      ...options,
      ...way,
      codec,
      key,
      input,
      output,
      held,
      ...(down === null ? {} : { down }),
      ...(owner === null ? {} : { owner }),
      ...(weights === null ? {} : { reduction: "weighted_mean", weights }),
    });
  }

  /** The call's collective, or the quickest over the links as the view brings them, the same on every member. */
  async #way(view: LiveView, call: AllReduceCall): Promise<Way> {
    const { collective, down, owner } = call;
    const ranks = view.members.length;
    if (collective === "hierarchical") return { collective, islands: islandsOf(view.links, ranks) };
    if (collective === "gather") return { collective: "gather_mean" };
    if (collective !== "auto") return { collective };
    // Only there has a chunk an owner that codes its mean anew.
    if (down !== null || owner !== null) return { collective: "direct" };
    return this.#choose(view, call);
  }

  async #choose({ links, members, round }: LiveView, call: AllReduceCall): Promise<Way> {
    const { network, self, emit, choose = chooseCollective } = this.#options;
    const ranks = members.length;
    const { codec, weights, output } = call;
    const what = `${output.length} ${codec} ${weights?.join() ?? ""}`;
    if (this.#choices?.links !== links || this.#choices.ranks !== ranks)
      this.#choices = { links, ranks, made: new Map() };
    const { made } = this.#choices;
    const question = {
      ranks,
      elements: output.length,
      codec,
      segmentElements: network.segmentElements,
      links,
    };
    const weighted = weights === null ? {} : ({ reduction: "weighted_mean", weights } as const);
    const choice = made.get(what) ?? choose({ ...question, ...weighted });
    made.set(what, choice);
    const { collective, order, islands, explain } = await choice;
    if (this.#chosen.get(what) !== collective)
      emit({ type: "chosen", peer: self, round, collective, reason: explain() });
    this.#chosen.set(what, collective);
    return {
      collective,
      ...(order === undefined ? {} : { order }),
      ...(islands === undefined ? {} : { islands }),
    };
  }
}

/** What another collective of the same call cost counts too. */
function addBytes(report: ReduceReport, other: ReduceReport): ReduceReport {
  return {
    ...report,
    bytesSent: report.bytesSent + other.bytesSent,
    bytesFraming: report.bytesFraming + other.bytesFraming,
    bytesReceived: report.bytesReceived + other.bytesReceived,
  };
}
