/** Numbers that change with the rounds of a run, as pure functions: doubles by + - * / alone, so equal on every machine. */
import type { StrategyView } from "./strategy.js";

/** What a schedule is a function of. */
export interface Moment {
  /** Counts the recipe's exchanges, from 0. */
  readonly exchange: number;
  /** Of the recipe's own commits, from 0: exchanges of fragments within a round share it. */
  readonly round: number;
  readonly fragment: number;
  readonly view: StrategyView;
}

export type Schedule<Value> = (moment: Moment) => Value;

/** From `from` in round 0 linearly to `to` in round `rounds`, then `to`; with 0 rounds always `to`. */
export function warmup({ from, to, rounds }: { from: number; to: number; rounds: number }): Schedule<number> {
  return ({ round }) => (round >= rounds ? to : from + ((to - from) * round) / rounds);
}
