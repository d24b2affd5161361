/**
 * Asynchronous local SGD (Liu et al. 2024, arXiv 2401.09135) as a plan by known speeds, the same on every peer. A step of
 * the fastest peer is a tick, a round has `innerSteps` of them. Either slower peers take fewer steps of a round and all
 * contribute to it (DyLU, section 4.2), or each takes `innerSteps` steps however long that is, contributes in the round in
 * which it is done, and goes on from the anchor then. Pseudo-gradients are delta = base - theta, where base is the anchor
 * from which a peer began; we descend them by delayed Nesterov (algorithm 3, c = 0): a contribution moves the anchor by
 * plain SGD, x -= lr sum(delta) / n, and once n have come since the last time, b = m b + their sum / n, x -= lr m b.
 *
 * Where all speeds are equal it is DiLoCo, and so are the defaults.
 */
import { z } from "zod";
import { exchangeEvery, type StrategyDefinition } from "./define.js";
import {
  codingFields,
  codingOf,
  innerStepsField,
  nameField,
  outerFields,
  outerOf,
  routeOf,
} from "./fields.js";
import { plainRecipe } from "./recipe.js";
import type { Schedule } from "./schedule.js";
import type { StrategyView } from "./strategy.js";

/** Slower ones than the fastest by more would take no step of most rounds. */
const SPEEDS_RATIO_MAX = 1024;

export const asyncDilocoOptions = z.strictObject({
  name: nameField("async-diloco", "slow peers do less or come later; delayed Nesterov (arXiv 2401.09135)"),
  innerSteps: innerStepsField(20),
  speeds: z
    .array(
      z
        .number()
        .min(1 / SPEEDS_RATIO_MAX)
        .max(1),
    )
    .max(65_536)
    .default([])
    .describe("by shard, steps in the time in which the fastest takes one; of shards beyond the list 1"),
  dylu: z
    .boolean()
    .default(true)
    .describe("slow peers take fewer steps of each round; false: all their steps, and contribute less often"),
  ...outerFields(0.7, { from: 0.5, to: 0.9, rounds: 10 }),
  ...codingFields("int8_block"),
});

type Options = z.output<typeof asyncDilocoOptions>;

/** By rank, relative to the fastest member. */
function speedsOf({ members }: StrategyView, { speeds }: Options): number[] {
  const own = members.map(({ shard }) => speeds[shard] ?? 1);
  const fastest = Math.max(...own);
  return own.map((speed) => speed / fastest);
}

/** Ratios of decimal fractions, such as 0.03 / 0.33, are off by their last bits: so near a whole number they are it. */
const NEARLY_WHOLE = 1e-9;

/** Rounds that a peer needs for a round's steps. */
const periodOf = (speed: number) => Math.ceil(1 / speed - NEARLY_WHOLE);

/** Whether a peer takes this tick of its round: its steps of a round, at least one, evenly and at the end of the round. */
function takesTick(tick: number, speed: number, innerSteps: number): boolean {
  const steps = Math.max(1, Math.floor(innerSteps * speed + NEARLY_WHOLE));
  return Math.floor(((tick + 1) * steps) / innerSteps) > Math.floor((tick * steps) / innerSteps);
}

function trainsOf(options: Options): NonNullable<StrategyDefinition["trains"]> {
  const { dylu, innerSteps } = options;
  return (step, view, rank) => {
    const speed = speedsOf(view, options)[rank] ?? 1;
    return dylu ? takesTick(step % innerSteps, speed, innerSteps) : (step + 1) % periodOf(speed) === 0;
  };
}

/** 1 of those who are done in this round; null where all are. */
function weightsOf(options: Options): Schedule<readonly number[] | null> {
  return ({ round, view }) => {
    const weights = speedsOf(view, options).map((speed) => ((round + 1) % periodOf(speed) === 0 ? 1 : 0));
    return weights.every((weight) => weight === 1) ? null : weights;
  };
}

export function asyncDiloco(options: Options): StrategyDefinition {
  const { innerSteps, speeds, dylu } = options;
  const even = speeds.every((speed) => speed === 1);
  return {
    recipe: {
      ...plainRecipe,
      strategy: "async-diloco",
      trigger: exchangeEvery(innerSteps),
      source: "delta",
      coding: codingOf(options),
      route: routeOf(options),
      outer: { kind: "delayedNesterov" },
      commit: { steps: innerSteps, equal: true },
    },
    ...outerOf(options),
    ...(even ? {} : { trains: trainsOf(options) }),
    ...(even || dylu ? {} : { weights: weightsOf(options) }),
  };
}
