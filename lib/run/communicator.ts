/** A run's communicator: collectives over the bulk links of one live view, counted, numbered, and ended with the view. */
import { asGradmeshError, GradmeshError } from "../base/errors.js";
import type {
  AllReduceCall,
  Communicator,
  GatherAllCall,
  Gathered,
  GatherWordsCall,
  MixCall,
} from "../engine/communicator.js";
import type { LiveView } from "../group/member.js";
import type { CallOptions, ReduceReport, Reducer } from "../reduce/calls.js";
import { expectFiniteRows, packWires, rowsOf, unpackWires } from "../reduce/gather-wires.js";
import type { StrategyView } from "../strategy/strategy.js";
import type { RunConfig } from "./config.js";
import type { OperationNumbers } from "./operations.js";
import { type RoundReduce, SMALL_SEGMENT_ELEMENTS } from "./round-reduce.js";

export interface CommunicatorOptions {
  readonly live: LiveView;
  /** What strategies see of it. */
  readonly view: StrategyView;
  readonly rank: number;
  readonly reducer: Pick<Reducer, "mix" | "allGather">;
  readonly reducing: RoundReduce;
  readonly numbers: OperationNumbers;
  readonly network: Pick<RunConfig["network"], "roundLimitMs" | "segmentElements">;
  /** As Communicator.inspect; absent: nothing is looked at. */
  readonly inspect?: (gathered: Gathered) => Promise<void>;
  /** Called before a collective begins, with its number; and after it ended, with the steps it took. */
  readonly began?: (operation: number) => void;
  readonly ended?: (steps: number) => void;
}

/** Bytes and seconds of all collectives of one view so far, those that failed included. */
export interface Traffic {
  /** Payload and framing. */
  bytesSent: number;
  /** Native time of those that gave a result. */
  seconds: number;
}

export class LiveCommunicator implements Communicator {
  readonly view: StrategyView;
  readonly rank: number;
  readonly traffic: Traffic = { bytesSent: 0, seconds: 0 };
  readonly #options: CommunicatorOptions;
  /** Ends the other collectives where one has failed: the round is begun again, or this peer is lost to it. */
  readonly #stop = new AbortController();
  readonly #signal: AbortSignal;
  /** Every collective begun, however it ends. */
  readonly #begun: Promise<unknown>[] = [];
  #failure: GradmeshError | null = null;

  constructor(options: CommunicatorOptions) {
    this.#options = options;
    this.view = options.view;
    this.rank = options.rank;
    this.#signal = AbortSignal.any([options.live.signal, this.#stop.signal]);
  }

  /** Why the network failed first, if it did. */
  get failure(): GradmeshError | null {
    return this.#failure;
  }

  /** Ends what is under way, for the reason; resolves once nothing is. */
  async end(reason: GradmeshError): Promise<void> {
    this.#stop.abort(reason);
    await Promise.allSettled(this.#begun);
  }

  allReduce(call: AllReduceCall): Promise<ReduceReport> {
    const { live, reducing, numbers } = this.#options;
    const kept = this.#callOptions(numbers.kept(live, call.slot));
    return this.#run(call.slot, (reduce) => reducing.run(live, { kept, reduce }, call));
  }

  mix({ slot, codec, key, input, output, topology, topologyRound }: MixCall): Promise<ReduceReport> {
    const coded = { codec, key, input, output, topology, round: topologyRound };
    return this.#run(slot, (options) => this.#options.reducer.mix({ ...options, ...coded }));
  }

  gatherWords({ slot, input, output }: GatherWordsCall): Promise<ReduceReport> {
    const own = new Float32Array(output.length);
    own.set(input, input.length * this.rank);
    const words = { segmentElements: SMALL_SEGMENT_ELEMENTS, codec: "fp32", input: own, output };
    return this.#run(slot, (options) => this.#options.reducer.allGather({ ...options, ...words }));
  }

  gatherAll(call: GatherAllCall): Promise<ReduceReport> {
    return this.#run(call.slot, async (options) => {
      const peerIds = this.view.members.map(({ peerId }) => peerId);
      const { own, all } = await packWires(call, this.rank, peerIds.length);
      const wires = { codec: "fp32", input: own, output: all };
      const report = await this.#options.reducer.allGather({ ...options, ...wires });
      await unpackWires(call, all);
      await expectFiniteRows(rowsOf(call.output, call.input.length), peerIds);
      return report;
    });
  }

  /** What it throws counts as the network's failure: the members vote on whom the round goes on without. */
  async inspect(gathered: Gathered): Promise<void> {
    try {
      await this.#options.inspect?.(gathered);
    } catch (cause) {
      throw this.#fail(asGradmeshError(cause));
    }
  }

  /** The members' votes decide whether all are done; a peer may wait for slower ones as long as a round may take. */
  #callOptions(operation: number): CallOptions {
    const { live, network } = this.#options;
    return {
      view: live,
      rank: this.rank,
      operation,
      segmentElements: network.segmentElements,
      limitMs: network.roundLimitMs,
      agree: false,
      signal: this.#signal,
    };
  }

  #run(slot: number, collective: (options: CallOptions) => Promise<ReduceReport>): Promise<ReduceReport> {
    const outcome = this.#begin(slot, collective);
    this.#begun.push(outcome);
    return outcome;
  }

  async #begin(
    slot: number,
    collective: (options: CallOptions) => Promise<ReduceReport>,
  ): Promise<ReduceReport> {
    const { live, numbers, began, ended } = this.#options;
    if (slot >= numbers.slots)
      throw new GradmeshError(
        "ERR_INTERNAL",
        `collective ${slot} of a round; allowed: below ${numbers.slots}`,
      );
    const operation = numbers.collective(live, slot);
    began?.(operation);
    let steps = 0;
    try {
      const report = await collective(this.#callOptions(operation));
      this.traffic.bytesSent += report.bytesSent + report.bytesFraming;
      this.traffic.seconds += report.seconds;
      steps = report.steps;
      return report;
    } catch (cause) {
      const error = asGradmeshError(cause);
      this.traffic.bytesSent += error.detail.bytesSent ?? 0;
      throw this.#fail(error);
    } finally {
      ended?.(steps);
    }
  }

  /** Ends the round's other collectives. */
  #fail(error: GradmeshError): GradmeshError {
    // Those that end because the rest of the round did tell nothing new.
    if (!this.#stop.signal.aborted) this.#failure = error;
    this.#stop.abort(error);
    return error;
  }
}
