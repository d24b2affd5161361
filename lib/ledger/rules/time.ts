/**
 * Times to come. A deadline is over for an event at that very time: deadlines come first, in order, each as of its own time
 * and not of the record that made it known; so time that passes in two records comes to the same as in one.
 */
import type { Effect } from "./effect.js";
import type { LedgerState, Timer } from "./state.js";

/** What happens at a timer of each kind. */
export type Alarms = {
  readonly [Kind in Timer["kind"]]: (
    state: LedgerState,
    timer: Extract<Timer, { kind: Kind }>,
    effects: Effect[],
  ) => void;
};

/** After those of the same time, so that equal times come in the order in which they were set. */
export function setTimer(state: LedgerState, timer: Timer): void {
  let place = state.timers.length;
  while (place > 0 && state.timers[place - 1]!.at > timer.at) place -= 1;
  state.timers.splice(place, 0, timer);
}

/** Whether anything happens by then. */
export function isDue(state: LedgerState, time: number): boolean {
  return state.timers.length > 0 && state.timers[0]!.at <= time;
}

/** Lets time pass up to and with `time`. */
export function passTime(state: LedgerState, time: number, alarms: Alarms, effects: Effect[]): void {
  while (isDue(state, time)) {
    const timer = state.timers.shift()!;
    switch (timer.kind) {
      case "phase":
        alarms.phase(state, timer, effects);
        break;
      case "contest":
        alarms.contest(state, timer, effects);
        break;
      case "lock":
        alarms.lock(state, timer, effects);
        break;
      case "move":
        alarms.move(state, timer, effects);
        break;
    }
  }
}
