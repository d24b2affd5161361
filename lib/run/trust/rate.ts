/** How often a peer may ask for something: a bucket of tokens that fills with time, as a pure function. */

export interface RateLimit {
  /** Questions that may come at once after a silence. */
  readonly burst: number;
  /** Time in which one more may be asked. */
  readonly intervalMs: number;
}

/** Times are of one clock. */
export interface RateState {
  /** When the bucket is full again. */
  readonly fullAt: number;
}

export const freshRate: RateState = { fullAt: Number.NEGATIVE_INFINITY };

/** Takes a token where there is one: waitMs 0; else nothing is taken, and one is there after waitMs. */
export function takeToken(
  { burst, intervalMs }: RateLimit,
  { fullAt }: RateState,
  now: number,
): { state: RateState; waitMs: number } {
  const next = Math.max(fullAt, now) + intervalMs;
  const waitMs = Math.max(0, next - now - burst * intervalMs);
  return waitMs > 0 ? { state: { fullAt }, waitMs } : { state: { fullAt: next }, waitMs: 0 };
}

/** The rates of many peers; those whose buckets are full again are forgotten once there are more than `peersMax`. */
export class Rates {
  readonly #limit: RateLimit;
  readonly #peersMax: number;
  readonly #states = new Map<string, RateState>();

  constructor(limit: RateLimit, peersMax: number) {
    this.#limit = limit;
    this.#peersMax = peersMax;
  }

  /** 0 where the peer may ask now; else after how many milliseconds. */
  take(peerId: string, now: number): number {
    const { state, waitMs } = takeToken(this.#limit, this.#states.get(peerId) ?? freshRate, now);
    this.#states.set(peerId, state);
    if (this.#states.size > this.#peersMax)
      for (const [peer, { fullAt }] of this.#states) if (fullAt <= now) this.#states.delete(peer);
    return waitMs;
  }
}
