/** Numbers of a run's collectives: ascending with epoch, round and slot, the same on every member. */
import { SLOTS_PER_EXCHANGE } from "../engine/communicator.js";
import { planRound } from "../engine/timeline.js";
import type { LiveView } from "../group/member.js";
import type { Strategy } from "../strategy/strategy.js";

/** Numbers of one epoch. They stay below 2^53 for 2^21 epochs. */
const PER_EPOCH = 2 ** 32;
/** Broadcasts of the state to joining peers, at most. */
export const TRANSFERS_MAX = 64;
/** A collective has a number of its own, and one for telling what is kept of its last attempt. */
const NUMBERS_PER_SLOT = 2;
/** Rounds that are planned to see how many exchanges one has: the first begins nothing that an earlier one left. */
const ROUNDS_PLANNED = 2;

type Place = Pick<LiveView, "epoch" | "round">;

/** Names the collectives of every round of a run with these strategies. */
export class OperationNumbers {
  /** Collectives that a round may have. */
  readonly slots: number;
  readonly #perRound: number;

  /** @param roundSteps inner steps of a round. */
  constructor(strategies: readonly Strategy[], roundSteps: number) {
    const exchanges = Array.from(
      { length: ROUNDS_PLANNED },
      (_, round) => planRound(strategies, round * roundSteps, (round + 1) * roundSteps).exchanges,
    );
    this.slots = SLOTS_PER_EXCHANGE * Math.max(...exchanges);
    this.#perRound = TRANSFERS_MAX + NUMBERS_PER_SLOT * this.slots;
  }

  /** Rounds for which there are numbers. */
  get roundsMax(): number {
    return Math.floor(PER_EPOCH / this.#perRound);
  }

  #first({ epoch, round }: Place): number {
    return epoch * PER_EPOCH + round * this.#perRound;
  }

  /** Of the broadcast of one tensor, `index` below TRANSFERS_MAX. */
  transfer(place: Place, index: number): number {
    return this.#first(place) + index;
  }

  /** Of telling each other what is kept of the last attempt of the collective in this slot, from 0. */
  kept(place: Place, slot: number): number {
    return this.#first(place) + TRANSFERS_MAX + NUMBERS_PER_SLOT * slot;
  }

  collective(place: Place, slot: number): number {
    return this.kept(place, slot) + 1;
  }
}
