/**
 * A strategy from data: its recipe's slots say when exchanges begin and are applied, schedules say with which numbers.
 * A file of a strategy holds its options' schema and a function from options to a definition; nothing else.
 */
import { GradmeshError } from "../base/errors.js";
import { type Fault, recipeFaults, recipeWarnings } from "./checks.js";
import { actionsCost } from "./cost.js";
import { fragmentCount } from "./fragments.js";
import type { Recipe, Trigger } from "./recipe.js";
import type { Moment, Schedule } from "./schedule.js";
import type { Action, ApplyAction, BeginAction, CommitAction, Strategy, StrategyView } from "./strategy.js";

/** What a strategy's options become. */
export interface StrategyDefinition extends Pick<Strategy, "trains" | "trainerOptions"> {
  readonly recipe: Recipe;
  /** Of the outer optimizer; by default 1. */
  readonly learningRate?: Schedule<number>;
  /** By default 0. */
  readonly momentum?: Schedule<number>;
  /** The codec up; by default recipe.coding.up. */
  readonly up?: Schedule<string>;
  /** The codec down; by default recipe.coding.down. */
  readonly down?: Schedule<string | null>;
  /** By rank; by default null, all the same. */
  readonly weights?: Schedule<readonly number[] | null>;
  /** What is wrong with the options beside what the recipe shows. */
  readonly faults?: readonly Fault[];
  readonly warnings?: (rounds: number) => readonly string[];
}

/** An exchange after every `period` steps whose result is applied then, begun `overlap` steps before. */
export function exchangeEvery(period: number, overlap = 0): Trigger {
  return { steps: period, offset: (period - overlap) % period };
}

/** Steps between the begin and the apply of an exchange. */
function flightSteps({ staleness, trigger }: Recipe): number {
  return staleness.kind === "overlap" ? staleness.steps : trigger.steps;
}

function momentOf(recipe: Recipe, exchange: number, view: StrategyView): Moment {
  const round = Math.floor((exchange * recipe.trigger.steps) / recipe.commit.steps);
  return { exchange, round, fragment: exchange % fragmentCount(recipe.fragments), view };
}

function beginOf(definition: StrategyDefinition, moment: Moment): BeginAction {
  const { recipe, up, down, weights } = definition;
  const { route, coding } = recipe;
  if (route.kind === "none")
    throw new GradmeshError("ERR_INTERNAL", "a strategy without a route begins nothing");
  return {
    kind: "begin",
    exchange: moment.exchange,
    fragment: moment.fragment,
    up: up?.(moment) ?? coding.up,
    down: down === undefined ? coding.down : down(moment),
    collective: route.kind === "allReduce" ? route.collective : route.kind,
    topologyRound: route.kind === "mix" ? moment.exchange : 0,
    weights: weights?.(moment) ?? null,
  };
}

function applyOf(definition: StrategyDefinition, moment: Moment): ApplyAction {
  const { staleness } = definition.recipe;
  return {
    kind: "apply",
    exchange: moment.exchange,
    fragment: moment.fragment,
    learningRate: definition.learningRate?.(moment) ?? 1,
    momentum: definition.momentum?.(moment) ?? 0,
    mix: staleness.kind === "overlap" ? staleness.mix : 0,
    weights: definition.weights?.(moment) ?? null,
  };
}

/**
 * Exchange e is applied at step (e + 1) trigger.steps and begun so many steps earlier as the staleness says: at most
 * trigger.steps, that is when the one before is applied, or at step 0.
 */
function actionsAt(definition: StrategyDefinition, step: number, view: StrategyView): Action[] {
  const { recipe } = definition;
  const period = recipe.trigger.steps;
  const moment = (exchange: number) => momentOf(recipe, exchange, view);
  const exchanges = recipe.route.kind !== "none";
  const flight = flightSteps(recipe);
  const beginning = exchanges && step + flight > 0 && (step + flight) % period === 0;
  const begins = beginning ? [beginOf(definition, moment((step + flight) / period - 1))] : [];
  const applying = exchanges && step > 0 && step % period === 0;
  const applies = applying ? [applyOf(definition, moment(step / period - 1))] : [];
  const commits: CommitAction[] =
    step > 0 && step % recipe.commit.steps === 0
      ? [{ kind: "commit", round: step / recipe.commit.steps - 1 }]
      : [];
  // What is begun as late as its apply, or between two commits, is this round's; else the next one's. Parameters are taken
  // once the mean before is in them, wherever commits are: two corrections of the same difference would not settle.
  const after = flight > 0 && (commits.length > 0 || recipe.source === "parameters");
  return after ? [...applies, ...commits, ...begins] : [...begins, ...applies, ...commits];
}

/** Everything that forbids a definition; empty where it can run. */
export function definitionFaults({ recipe, faults = [] }: StrategyDefinition): Fault[] {
  return [...recipeFaults(recipe), ...faults];
}

/** A strategy whose actions and cost follow from its definition, which has no faults. */
export function defineStrategy(definition: StrategyDefinition): Strategy {
  const { recipe, trains, trainerOptions } = definition;
  const actions = (step: number, view: StrategyView) => actionsAt(definition, step, view);
  return {
    recipe,
    actions,
    ...(trains === undefined ? {} : { trains }),
    ...(trainerOptions === undefined ? {} : { trainerOptions }),
    cost: (question) => actionsCost(recipe, actions, question),
    warnings: (rounds) => [...recipeWarnings(recipe, rounds), ...(definition.warnings?.(rounds) ?? [])],
  };
}
