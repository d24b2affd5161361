/** When the collectives of one attempt at a round are done, by the members' clocks and the links between them. */
import { SLOTS_PER_EXCHANGE } from "../engine/communicator.js";
import { isFirst, type PeerClock } from "./clock.js";
import type { GroupTiming } from "./group.js";
import type { VirtualNetwork } from "./network.js";
import type { PlanSet } from "./plans.js";

export class CollectiveTimes implements GroupTiming {
  readonly #clocks: readonly PeerClock[];
  readonly #network: VirtualNetwork;
  /** By slot: it was timed. Who comes first must not depend on which of them this process happens to do first. */
  readonly #done = new Map<number, PromiseWithResolvers<void>>();

  constructor(clocks: readonly PeerClock[], network: VirtualNetwork) {
    this.#clocks = clocks;
    this.#network = network;
  }

  #timed(slot: number): PromiseWithResolvers<void> {
    const known = this.#done.get(slot);
    if (known !== undefined) return known;
    const done = Promise.withResolvers<void>();
    // Nobody may wait for one that the attempt's end rejects.
    done.promise.catch(() => {});
    this.#done.set(slot, done);
    return done;
  }

  /** Exchanges come in the order in which they began, the collectives of one in their own order. */
  async reached(slot: number): Promise<void> {
    const before = isFirst(slot) ? slot - SLOTS_PER_EXCHANGE : slot - 1;
    if (before >= 0) await this.#timed(before).promise;
  }

  async timed(slot: number, set: PlanSet): Promise<void> {
    await this.reached(slot);
    const ready = this.#clocks.map((clock) => clock.ready(slot));
    const finish = await this.#network.finishTimes(set, ready);
    for (const [rank, clock] of this.#clocks.entries()) clock.finished(slot, finish[rank]!);
    this.#timed(slot).resolve();
  }

  /** The attempt is over: nobody waits any more. */
  end(reason: unknown): void {
    for (const { reject } of this.#done.values()) reject(reason);
  }
}
