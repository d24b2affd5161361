/**
 * What a strategy is: data (a recipe, one slot for each design choice of the field) and pure functions of the step and
 * the agreed view, the same on every peer. It never touches a tensor or the network.
 */
import type { CollectiveName } from "../native/abi.gen.js";
import type { AllReduceCollective } from "../reduce/calls.js";

/** When peers exchange: after every so many inner steps. */
export interface EveryTrigger {
  readonly kind: "every";
  readonly steps: number;
}

/** Nesterov momentum on the anchor; momentum goes linearly from `from` to `to` over the first `warmupRounds`. */
export interface NesterovOuter {
  readonly kind: "nesterov";
  readonly learningRate: number;
  readonly momentum: { readonly from: number; readonly to: number; readonly warmupRounds: number };
}

/** The momentum of a round (from 0), warmed up linearly; a double, by + - * / alone. */
export function momentumAt({ momentum: { from, to, warmupRounds } }: NesterovOuter, round: number): number {
  return round >= warmupRounds ? to : from + ((to - from) * round) / warmupRounds;
}

/** A whole recipe: plain JSON data, hashed into the run's id, so peers with different recipes cannot mix. */
export interface Recipe {
  readonly strategy: string;
  readonly trigger: EveryTrigger;
  /** What is sent. delta: the pseudo-gradient, initial minus current parameters. */
  readonly source: "delta";
  /** Which part of the bucket goes in one exchange. */
  readonly fragments: "all";
  /** What becomes of the coding error. */
  readonly feedback: "none";
  /** Its specification. */
  readonly codec: string;
  /** auto: chosen each round from the links as they were measured. */
  readonly collective: AllReduceCollective | "auto";
  readonly aggregate: "mean";
  readonly outer: NesterovOuter;
  /** Inner steps between sending and applying. */
  readonly staleness: 0;
  /** When peers compare digests of their state. */
  readonly commit: "everyRound";
}

/** What all peers agree on at a step. */
export interface StrategyView {
  readonly epoch: number;
  readonly peers: readonly string[];
}

/** One thing to do, in order. Rounds count from 0; learning rate and momentum are doubles. */
export type Action =
  | {
      readonly kind: "reduce";
      readonly round: number;
      readonly source: Recipe["source"];
      readonly fragment: Recipe["fragments"];
      readonly codec: string;
      readonly collective: Recipe["collective"];
      readonly aggregate: Recipe["aggregate"];
    }
  | {
      readonly kind: "outer";
      readonly round: number;
      readonly learningRate: number;
      readonly momentum: number;
    }
  | { readonly kind: "commit"; readonly round: number };

/** Latency steps and payload bytes sent by one rank in one collective; planCost (lib/reduce/plan.ts) knows it. */
export type CollectiveCost = (
  collective: CollectiveName,
  codec: string,
  ranks: number,
  rank: number,
  elements: number,
) => { readonly latencySteps: number; readonly bytesSent: number };

export interface CostQuestion {
  /** Elements of the parameter bucket. */
  readonly parameters: number;
  readonly peers: number;
  /** Whose cost; ranks may differ by a chunk's rounding. */
  readonly rank: number;
  readonly collectiveCost: CollectiveCost;
}

/** What one peer pays for each inner step, on average over a round. */
export interface StrategyCost {
  readonly bytesPerStep: number;
  readonly latencyStepsPerStep: number;
}

export interface Strategy {
  readonly recipe: Recipe;
  /** What to do once `step` inner steps are done (0: none yet). Empty between exchanges. */
  actions(step: number, view: StrategyView): readonly Action[];
  cost(question: CostQuestion): StrategyCost;
}

/** The yardstick: data parallel training, that is an fp32 all-reduce around a ring at every step. */
export function dataParallelCost({ parameters, peers, rank, collectiveCost }: CostQuestion): StrategyCost {
  const { latencySteps, bytesSent } = collectiveCost("ring", "fp32", peers, rank, parameters);
  return { bytesPerStep: bytesSent, latencyStepsPerStep: latencySteps };
}
