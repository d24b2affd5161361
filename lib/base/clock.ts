/** Time as an argument: whatever waits or measures takes a Clock, so that tests and the simulator own the time. */
import { setTimeout as delay } from "node:timers/promises";
import { GradmeshError } from "./errors.js";

export interface Clock {
  /** Milliseconds that never go backwards; their zero means nothing. For limits and durations. */
  now(): number;
  /** Milliseconds since 1970. Only for what people or other machines read; it may jump. */
  wall(): number;
  /** Resolves after so many milliseconds; rejects with the signal's reason when it aborts first. */
  sleep(milliseconds: number, signal?: AbortSignal): Promise<void>;
}

/** The machine's time. A pending sleep does not keep the process alive when `unref` is set. */
export function createSystemClock(options: { unref?: boolean } = {}): Clock {
  return {
    now: () => performance.now(),
    wall: () => Date.now(),
    async sleep(milliseconds, signal) {
      signal?.throwIfAborted();
      try {
        await delay(milliseconds, undefined, {
          ref: options.unref !== true,
          ...(signal === undefined ? {} : { signal }),
        });
      } catch (error) {
        signal?.throwIfAborted();
        throw error;
      }
    },
  };
}

export const systemClock: Clock = createSystemClock();

/** @param startedAt a time of performance.now(). */
export const secondsSince = (startedAt: number): number => (performance.now() - startedAt) / 1000;

export interface ManualClock extends Clock {
  /** Moves the time on and wakes, in the order of their times, the sleeps that end by then. */
  advance(milliseconds: number): void;
  /** Sleeps that have not ended. */
  readonly sleeping: number;
}

interface Sleeper {
  wakeAt: number;
  wake(): void;
}

/** A clock that stands still until it is told to advance; for tests and the simulator. */
export function createManualClock(start = 0): ManualClock {
  let time = start;
  let sleepers: Sleeper[] = [];
  return {
    now: () => time,
    wall: () => time,
    get sleeping() {
      return sleepers.length;
    },
    sleep(milliseconds, signal) {
      if (signal?.aborted) return Promise.reject(signal.reason);
      if (milliseconds <= 0) return Promise.resolve();
      const { promise, resolve, reject } = Promise.withResolvers<void>();
      const abort = () => {
        sleepers = sleepers.filter((other) => other !== sleeper);
        reject(signal?.reason);
      };
      const sleeper: Sleeper = {
        wakeAt: time + milliseconds,
        wake() {
          signal?.removeEventListener("abort", abort);
          resolve();
        },
      };
      signal?.addEventListener("abort", abort, { once: true });
      sleepers.push(sleeper);
      return promise;
    },
    advance(milliseconds) {
      time += milliseconds;
      const due = sleepers.filter((sleeper) => sleeper.wakeAt <= time).sort((a, b) => a.wakeAt - b.wakeAt);
      sleepers = sleepers.filter((sleeper) => sleeper.wakeAt > time);
      for (const sleeper of due) sleeper.wake();
    },
  };
}

/**
 * Runs work that must end within a limit: its signal aborts at the limit or with the caller's signal.
 * @throws ERR_TIMEOUT naming the work when the limit passes, the signal's reason when it aborts. Both are thrown
 * also where the work ignores its signal; its late result is then dropped.
 */
export async function withLimit<T>(
  clock: Clock,
  limitMs: number,
  what: string,
  signal: AbortSignal | undefined,
  work: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  signal?.throwIfAborted();
  const controller = new AbortController();
  const { promise: stopped, reject: stop } = Promise.withResolvers<never>();
  const end = (reason: unknown) => {
    controller.abort(reason);
    stop(reason);
  };
  const abort = () => end(signal?.reason);
  signal?.addEventListener("abort", abort, { once: true });
  const timer = new AbortController();
  clock.sleep(limitMs, timer.signal).then(
    () => end(new GradmeshError("ERR_TIMEOUT", `${what} took longer than ${limitMs} ms`)),
    () => {},
  );
  try {
    return await Promise.race([work(controller.signal), stopped]);
  } finally {
    timer.abort();
    signal?.removeEventListener("abort", abort);
    stopped.catch(() => {});
  }
}
