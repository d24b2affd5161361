/**
 * A group of peers in one process: communicators whose collectives run the real schedules and codecs over all members'
 * tensors at once, with the bytes of the network. It needs no links and no clock; the gym gives it one.
 */
import { GradmeshError } from "../base/errors.js";
import type { Communicator, CommunicatorClock, GatherAllCall, Gathered } from "../engine/communicator.js";
import type { ViewLinks } from "../group/messages.js";
import type { ReduceReport } from "../reduce/calls.js";
import { expectFiniteRows, packWires, rowsOf, unpackWires } from "../reduce/gather-wires.js";
import type { StrategyView } from "../strategy/strategy.js";
import { checkAlike, runCalls } from "./calls.js";
import { type GroupCall, type PlanSet, PlanSets, plansOf } from "./plans.js";
import { Rendezvous } from "./rendezvous.js";

export interface GroupOptions {
  /** The members by rank. */
  readonly view: StrategyView;
  /** Elements that travel at a time; they change bytes only where they are no multiple of a codec's block. */
  readonly segmentElements?: number;
  /** Between the members, for the collective "auto"; null: not measured. */
  readonly links?: ViewLinks | null;
  /** Shared with other groups; else the group has its own until it is closed. */
  readonly plans?: PlanSets;
  /** By rank. */
  readonly clocks?: readonly CommunicatorClock[];
  readonly timing?: GroupTiming;
  /** What each member's communicator looks at with `inspect`. */
  readonly inspect?: (gathered: Gathered, rank: number) => Promise<void>;
}

/** What knows when collectives are done. */
export interface GroupTiming {
  /** Resolves once the clocks know when this one is. */
  timed(slot: number, set: PlanSet): Promise<void>;
  /** Resolves once the collectives that come before this one are timed. */
  reached(slot: number): Promise<void>;
}

/** A run's own number, by default. */
const SEGMENT_ELEMENTS = 65_536;

/** A collective that took place. */
export interface Held {
  readonly slot: number;
  /** By rank. */
  readonly reports: readonly ReduceReport[];
}

export class LocalGroup {
  /** By rank. */
  readonly communicators: readonly Communicator[];
  /** Collectives in the order in which they took place. */
  readonly held: Held[] = [];
  /** The collective that a lost member broke, as if it had taken place. */
  broken: Held | null = null;
  readonly #options: GroupOptions;
  readonly #plans: PlanSets;
  readonly #meetings: Rendezvous<GroupCall, ReduceReport>;
  /** By rank: from which slot on it is gone. */
  readonly #lost = new Map<number, number>();

  constructor(options: GroupOptions) {
    this.#options = options;
    this.#plans = options.plans ?? new PlanSets();
    const { members } = options.view;
    this.#meetings = new Rendezvous({
      members: members.length,
      hold: (slot, calls) => this.#hold(slot, calls),
      broken: (slot, calls) => this.#broken(slot, calls),
    });
    this.communicators = members.map((_, rank) => this.#communicator(rank));
  }

  #communicator(rank: number): Communicator {
    const { view, clocks, inspect } = this.#options;
    const clock = clocks?.[rank];
    const meet = (call: GroupCall) => this.#meet(rank, call);
    return {
      view,
      rank,
      allReduce: (call) => meet({ kind: "allReduce", ...call }),
      mix: (call) => meet({ kind: "mix", ...call }),
      gatherWords: (call) => meet({ kind: "gatherWords", ...call }),
      gatherAll: (call) => this.#gatherAll(rank, call),
      ...(inspect === undefined ? {} : { inspect: (gathered) => inspect(gathered, rank) }),
      ...(clock === undefined ? {} : { clock }),
    };
  }

  async #gatherAll(rank: number, call: GatherAllCall): Promise<ReduceReport> {
    const peerIds = this.#options.view.members.map(({ peerId }) => peerId);
    const { own, all } = await packWires(call, rank, peerIds.length);
    const report = await this.#meet(rank, { kind: "gatherWires", ...call, input: own, output: all });
    await unpackWires(call, all);
    await expectFiniteRows(rowsOf(call.output, call.input.length), peerIds);
    return report;
  }

  async #meet(rank: number, call: GroupCall): Promise<ReduceReport> {
    if (call.slot < (this.#lost.get(rank) ?? Number.POSITIVE_INFINITY))
      return this.#meetings.meet(rank, call.slot, call);
    throw new GradmeshError("ERR_ABORTED", `${this.#options.view.members[rank]!.peerId} is gone`);
  }

  #plansOf(call: GroupCall): Promise<PlanSet> {
    const { view, segmentElements = SEGMENT_ELEMENTS, links = null } = this.#options;
    return plansOf(this.#plans, call, { ranks: view.members.length, segmentElements, links });
  }

  async #hold(slot: number, calls: readonly GroupCall[]): Promise<readonly ReduceReport[]> {
    checkAlike(calls, this.#options.view.members);
    const set = await this.#plansOf(calls[0]!);
    await runCalls(set, calls);
    await this.#options.timing?.timed(slot, set);
    this.held.push({ slot, reports: set.reports });
    return set.reports;
  }

  async #broken(slot: number, calls: readonly (GroupCall | undefined)[]): Promise<GradmeshError> {
    await this.#options.timing?.reached(slot);
    const call = calls.find((one) => one !== undefined);
    if (call !== undefined) this.broken = { slot, reports: (await this.#plansOf(call)).reports };
    const peers = [...this.#lost.keys()].map((rank) => this.#options.view.members[rank]!.peerId);
    return new GradmeshError("ERR_PEER_LOST", `lost in slot ${slot}: ${peers.join(", ")}`, {
      detail: { peers },
    });
  }

  /**
   * A member is gone, or from this slot on: the first collective without it to which all others have come, or that slot's,
   * ends with ERR_PEER_LOST, and so does every other that is not over.
   */
  lose(rank: number, from: number | null = null): void {
    this.#lost.set(rank, from ?? 0);
    this.#meetings.leave(rank, from);
  }

  /** Ends every collective with this error. */
  fail(error: unknown): void {
    this.#meetings.fail(error);
  }

  /** Frees the plans, where they are its own. */
  close(): void {
    if (this.#options.plans === undefined) this.#plans.close();
  }
}
