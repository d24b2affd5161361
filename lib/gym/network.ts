/** The links between virtual peers: what a collective takes on them, by the native simulation of its schedules. */
import type { ViewLinks } from "../group/messages.js";
import { simulateCollective } from "../reduce/local.js";
import { MICROSECONDS } from "./clock.js";
import type { PlanSet } from "./plans.js";
import { bytesPerSecond, delaySeconds, type PeerProfile } from "./profile.js";

/** Of a peer's processor for each frame that it sends, and for each byte that it codes or adds (2 GB/s). */
const FRAME_SECONDS = 5e-6;
const CODING_SECONDS_PER_BYTE = 0.5e-9;
/** Outcomes that are kept; peers that begin alike take alike long. */
const OUTCOMES_MAX = 256;

/** The links among some peers, by their place. */
export class VirtualNetwork {
  readonly #uplink: Float64Array;
  readonly #downlink: Float64Array;
  readonly #delay: Float64Array;
  readonly #outcomes = new Map<PlanSet, Map<string, readonly number[]>>();

  constructor(profiles: readonly PeerProfile[]) {
    this.#uplink = Float64Array.from(profiles, ({ upMbit }) => bytesPerSecond(upMbit));
    this.#downlink = Float64Array.from(profiles, ({ downMbit }) => bytesPerSecond(downMbit));
    this.#delay = Float64Array.from(
      profiles.flatMap((from, at) =>
        profiles.map((to, other) => (at === other ? 0 : delaySeconds(from, to))),
      ),
    );
  }

  /** As peers would measure them. */
  get links(): ViewLinks {
    const peers = this.#uplink.length;
    const rate = (from: number, to: number) => Math.min(this.#uplink[from]!, this.#downlink[to]!);
    const pairs = Array.from(
      { length: peers * peers },
      (_, at) => [Math.floor(at / peers), at % peers] as const,
    );
    return {
      bytesPerSecond: pairs.map(([from, to]) => (from === to ? 0 : rate(from, to))),
      seconds: [...this.#delay],
    };
  }

  /**
   * When each rank is done with a collective, in microseconds, if rank i can begin at ready[i]. A pure function of the
   * differences between the times.
   */
  async finishTimes(set: PlanSet, ready: readonly number[]): Promise<number[]> {
    const first = Math.min(...ready);
    const late = ready.map((time) => time - first);
    const known = this.#outcomes.get(set) ?? new Map<string, readonly number[]>();
    this.#outcomes.set(set, known);
    const key = late.join();
    const took = known.get(key) ?? (await this.#simulate(set, late));
    if (known.size >= OUTCOMES_MAX) known.clear();
    known.set(key, took);
    return took.map((microseconds) => first + microseconds);
  }

  async #simulate({ plans, order }: PlanSet, late: readonly number[]): Promise<number[]> {
    const ranks = order.length;
    const place = <Item extends number>(items: Float64Array | readonly Item[]) =>
      Float64Array.from(order, (rank) => items[rank]!);
    const delay = new Float64Array(ranks * ranks);
    for (const [at, from] of order.entries())
      for (const [to, rank] of order.entries()) delay[at * ranks + to] = this.#delay[from * ranks + rank]!;
    const ready = place(late.map((microseconds) => microseconds / MICROSECONDS));
    const finish = await simulateCollective(plans[0]!, ready, {
      uplink: place(this.#uplink),
      downlink: place(this.#downlink),
      delay,
      frameSeconds: FRAME_SECONDS,
      codingSecondsPerByte: CODING_SECONDS_PER_BYTE,
    });
    const took = new Array<number>(ranks).fill(0);
    for (const [at, rank] of order.entries())
      took[rank] = Math.max(late[rank]!, Math.ceil(finish[at]! * MICROSECONDS));
    return took;
  }
}
