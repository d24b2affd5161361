/** The all-reduce of a view: which collective, over which order of the ranks, and what is kept of an attempt that failed. */
import { asGradmeshError } from "../base/errors.js";
import type { LiveView } from "../group/member.js";
import type { AllReduceCollective, CallOptions, ReduceReport, Reducer } from "../reduce/calls.js";
import { type Choice, type ChoiceQuestion, chooseCollective, islandsOf } from "../reduce/choose.js";
import type { Endpoint } from "../reduce/endpoint.js";
import type { Range } from "../reduce/tensor.js";
import type { RunConfig } from "./config.js";
import type { EventSink } from "./events.js";
import type { Replica } from "./replica.js";
import { countPeers, cutParts, KEPT_WORDS, type Kept, type Part, packKept, unpackKept } from "./salvage.js";

export interface RoundReduceOptions {
  replica: Replica;
  reducer: Reducer;
  endpoint: Pick<Endpoint, "finished">;
  network: RunConfig["network"];
  /** This peer's id. */
  self: string;
  emit: EventSink;
  choose?: (question: ChoiceQuestion) => Promise<Choice>;
}

/** The operations of one view's all-reduce: telling each other what is kept, and the all-reduce. */
export interface ReduceCalls {
  kept: CallOptions;
  reduce: CallOptions;
}

/** Elements of one piece of the all-gather of what is kept: it is small. */
const KEPT_SEGMENT_ELEMENTS = 1024;

export class RoundReduce {
  readonly #options: RoundReduceOptions;
  /** Of the round's last attempt, while the memory of its result is untouched. */
  #kept: (Kept & { round: number }) | null = null;
  #chosen: AllReduceCollective | null = null;

  constructor(options: RoundReduceOptions) {
    this.#options = options;
  }

  /** The memory of the result is used for something else, or the round is over. */
  forget(): void {
    this.#kept = null;
  }

  /** The mean of every member's `replica.delta` in `replica.mean`. @throws as Reducer.allReduce does. */
  async run(view: LiveView, calls: ReduceCalls): Promise<ReduceReport> {
    const { replica, network } = this.#options;
    const salvaging = network.onLoss === "salvage";
    // Whether a round was begun before is in the view, so that every member gathers, or none.
    const gathers = salvaging && view.again && view.members.length > 1;
    const held = gathers ? await this.#agree(view, calls.kept) : [];
    this.#kept = null;
    const peers = view.members.length;
    const whole = [{ begin: 0, elements: replica.parameters, peers }];
    const { operation } = calls.reduce;
    try {
      const report = await this.#allReduce(view, calls.reduce, held);
      const { reused } = report;
      const parts = reused === undefined ? whole : countPeers(replica.parameters, peers, held, reused);
      if (reused !== undefined) this.#tellSalvaged(view, parts, reused);
      // Another member may have failed all the same.
      this.#kept = { round: view.round, operation, parts };
      return report;
    } catch (error) {
      // A failed attempt that kept something has parts of both; nothing of it counts again.
      if (salvaging && held.length === 0) this.#keep(view.round, operation, whole);
      throw error;
    }
  }

  /** Every member's parts of the round's last failed attempt, the same list on all of them. */
  async #agree(view: LiveView, call: CallOptions): Promise<Part[][]> {
    const own = this.#kept?.round === view.round ? this.#kept : null;
    const words = KEPT_WORDS * view.members.length;
    const input = new Float32Array(words);
    input.set(packKept(own), KEPT_WORDS * call.rank);
    const output = new Float32Array(words);
    const segmentElements = KEPT_SEGMENT_ELEMENTS;
    await this.#options.reducer.allGather({ ...call, segmentElements, codec: "fp32", input, output });
    const { parts } = unpackKept(output);
    return parts.some((each) => each.length > 0) ? parts : [];
  }

  #keep(round: number, operation: number, whole: readonly Part[]): void {
    try {
      const parts = cutParts(whole, this.#options.endpoint.finished(operation));
      this.#kept = { round, operation, parts };
    } catch (error) {
      // An attempt that never began holds nothing.
      if (asGradmeshError(error).code === "ERR_INTERNAL") throw error;
    }
  }

  #tellSalvaged({ epoch, round }: LiveView, parts: Part[], reused: readonly Range[]): void {
    const { replica, self, emit } = this.#options;
    const kept = reused.reduce((sum, { elements }) => sum + elements, 0);
    emit({ type: "salvaged", peer: self, epoch, round, elements: replica.parameters, kept, parts });
  }

  async #allReduce(view: LiveView, call: CallOptions, held: Part[][]): Promise<ReduceReport> {
    const { replica, reducer } = this.#options;
    const { codec } = replica.strategy.recipe;
    const { collective, order, islands } = await this.#collective(view, codec);
    return reducer.allReduce({
      ...call,
      collective,
      codec,
      key: { seed: replica.random.seed, step: view.round },
      input: replica.delta,
      output: replica.mean,
      held,
      ...(order === undefined ? {} : { order }),
      ...(islands === undefined ? {} : { islands }),
    });
  }

  /** The recipe's collective, or the quickest over the links as the view brings them, the same on every member. */
  async #collective(
    { links, members, round }: LiveView,
    codec: string,
  ): Promise<Pick<Choice, "collective" | "order" | "islands">> {
    const { replica, network, self, emit, choose = chooseCollective } = this.#options;
    const { collective } = replica.strategy.recipe;
    const ranks = members.length;
    if (collective === "hierarchical") return { collective, islands: islandsOf(links, ranks) };
    if (collective !== "auto") return { collective };
    const { segmentElements } = network;
    const choice = await choose({ ranks, elements: replica.parameters, codec, segmentElements, links });
    if (choice.collective !== this.#chosen)
      emit({ type: "chosen", peer: self, round, collective: choice.collective, reason: choice.explain() });
    this.#chosen = choice.collective;
    return choice;
  }
}
