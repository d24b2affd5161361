/**
 * The end of a run: its last outer steps are plain averages. What momentum adds in a round is right where later rounds
 * follow; after the last one nothing does, and the mean of the peers is better than a step past it (measured: bench --
 * convergence).
 */
import { wholeField } from "./fields.js";
import type { Moment, Schedule } from "./schedule.js";

export const settleField = () =>
  wholeField(
    0,
    1_000_000,
    0,
    "of the run's last rounds, how many end with the plain mean: outer learning rate 1, no momentum",
  );

interface OuterSchedules {
  readonly learningRate: Schedule<number>;
  readonly momentum: Schedule<number>;
}

/** The schedules with the last `settleRounds` rounds of `roundSteps` inner steps settled. */
export function settling(
  { learningRate, momentum }: OuterSchedules,
  settleRounds: number,
  roundSteps: number,
): OuterSchedules {
  // Where nobody knows the run's length, as when a round is only planned, it has no end.
  const settled = ({ round, view }: Moment) =>
    view.steps !== undefined && (round + settleRounds) * roundSteps >= view.steps;
  return {
    learningRate: (moment) => (settled(moment) ? 1 : learningRate(moment)),
    momentum: (moment) => (settled(moment) ? 0 : momentum(moment)),
  };
}
