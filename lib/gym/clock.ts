/**
 * A virtual peer's time. It computes and sends at the same time: its exchanges go through its network card one after
 * another, in the order in which they began, while its inner steps go on until they need a result.
 */
import { GradmeshError } from "../base/errors.js";
import { type CommunicatorClock, SLOTS_PER_EXCHANGE } from "../engine/communicator.js";

/** Virtual time is in whole microseconds, so that sums of it have no rounding. */
export const MICROSECONDS = 1e6;

export const toMicroseconds = (seconds: number): number => Math.round(seconds * MICROSECONDS);

/** As a snapshot keeps it. */
export interface ClockState {
  /** When the peer came. */
  readonly since: number;
  readonly now: number;
  readonly worked: number;
  readonly cardFree: number;
}

const midnight: ClockState = { since: 0, now: 0, worked: 0, cardFree: 0 };

/** The exchange that a slot is of, counted from 0. */
export const exchangeOf = (slot: number): number => Math.floor(slot / SLOTS_PER_EXCHANGE);
/** An exchange's later collectives follow its first. */
export const isFirst = (slot: number): boolean => slot % SLOTS_PER_EXCHANGE === 0;

export class PeerClock implements CommunicatorClock {
  readonly #stepMicroseconds: number;
  #slowness = 1;
  #since: number;
  #now: number;
  #worked: number;
  #cardFree: number;
  /** By exchange: when its next collective can begin, and in the end when it is done. */
  #times = new Map<number, number>();
  #joined = new Set<number>();

  constructor(secondsPerStep: number, { since, now, worked, cardFree } = midnight) {
    this.#stepMicroseconds = secondsPerStep * MICROSECONDS;
    this.#since = since;
    this.#now = now;
    this.#worked = worked;
    this.#cardFree = cardFree;
  }

  /** Microseconds: everything that this peer has done is over by then. */
  get now(): number {
    return this.#now;
  }

  /** Microseconds of inner steps, those in vain included. */
  get worked(): number {
    return this.#worked;
  }

  /** Microseconds since the peer came. */
  get lived(): number {
    return this.#now - this.#since;
  }

  get state(): ClockState {
    return { since: this.#since, now: this.#now, worked: this.#worked, cardFree: this.#cardFree };
  }

  /** The peer comes now; what it did in an earlier life does not count. */
  come(now: number): void {
    this.set(now);
    this.#since = now;
    this.#worked = 0;
  }

  /** A new attempt at a round, or a new round: exchanges count from 0 again. */
  begin(slowness: number): void {
    this.#slowness = slowness;
    this.#times = new Map();
    this.#joined = new Set();
  }

  computed(steps = 1): void {
    const took = Math.round(steps * this.#stepMicroseconds * this.#slowness);
    this.#now += took;
    this.#worked += took;
  }

  began(slot: number): void {
    this.#times.set(exchangeOf(slot), this.#now);
  }

  /** When the collective of this slot can begin here: the first of an exchange waits for the card. */
  ready(slot: number): number {
    const time = this.#times.get(exchangeOf(slot)) ?? this.#now;
    return isFirst(slot) ? Math.max(time, this.#cardFree) : time;
  }

  /**
   * The collective of this slot is done here. Later collectives of an exchange are small beside its first, or alone: they
   * do not hold the card.
   */
  finished(slot: number, finish: number): void {
    if (isFirst(slot)) this.#cardFree = finish;
    this.#times.set(exchangeOf(slot), finish);
  }

  joined(slot: number): void {
    this.#joined.add(exchangeOf(slot));
    this.waitUntil(this.#times.get(exchangeOf(slot)) ?? this.#now);
  }

  /** Whether an exchange's result was used in this attempt. */
  hasJoined(exchange: number): boolean {
    return this.#joined.has(exchange);
  }

  /** Idle until then, where that is later. */
  waitUntil(microseconds: number): void {
    this.#now = Math.max(this.#now, microseconds);
  }

  /** What was under way is void, what was done after that time in vain. @throws ERR_INTERNAL for what is no time. */
  set(microseconds: number): void {
    if (!Number.isSafeInteger(microseconds) || microseconds < 0)
      throw new GradmeshError("ERR_INTERNAL", `a virtual clock cannot be set to ${microseconds}`);
    this.#now = microseconds;
    this.#cardFree = microseconds;
  }
}
