/**
 * What a strategy is: data (a recipe, one slot for each design choice of the field) and pure functions of the step and
 * the agreed view, the same on every peer. It never touches a tensor or the network: lib/engine does what it says.
 */
import type { CollectiveName } from "../native/abi.gen.js";
import type { AllReduceCollective } from "../reduce/calls.js";
import type { TensorLayout } from "../tensor/layout.js";
import type { Recipe } from "./recipe.js";

export type { Recipe } from "./recipe.js";

/** A peer as the others see it. */
export interface StrategyMember {
  readonly peerId: string;
  /** Which part of the data it trains on, from 0; its own for the whole run. */
  readonly shard: number;
  /** Samples of its shard, the weight of a weighted mean; 1 where the trainer does not say. */
  readonly samples: number;
}

/** What all peers agree on at a step. */
export interface StrategyView {
  readonly epoch: number;
  /** Ascending by rank. */
  readonly members: readonly StrategyMember[];
  /** The run's, of every random choice. */
  readonly seed: number;
  /** Inner steps of the whole run, by its config; absent where a round is only planned. */
  readonly steps?: number;
  /** Agreed measurements of the last exchanges, such as "signal"; empty before the first. */
  readonly measures: Readonly<Record<string, number>>;
}

/** Takes what is sent from the tensors as they are now, and starts its collective. */
export interface BeginAction {
  readonly kind: "begin";
  /** Counts this recipe's exchanges, from 0; it keys random numbers and names the exchange to `apply`. */
  readonly exchange: number;
  /** Of fragments by layers or partition: which one, from 0. Else 0. */
  readonly fragment: number;
  readonly up: string;
  readonly down: string | null;
  readonly collective: AllReduceCollective | "auto" | "gather" | "mix" | "powersgd";
  /** Of a mix: the round of a time-varying graph. */
  readonly topologyRound: number;
  /** By rank; null: all the same. A peer with weight 0 contributes nothing and sends nothing up. */
  readonly weights: readonly number[] | null;
}

/** Waits for an exchange and does with the result what the recipe says. */
export interface ApplyAction {
  readonly kind: "apply";
  readonly exchange: number;
  readonly fragment: number;
  readonly learningRate: number;
  readonly momentum: number;
  /** The part of its own parameters that a peer keeps. */
  readonly mix: number;
  /** The weights that the exchange began with: a peer with weight 0 keeps its parameters and its base. */
  readonly weights: readonly number[] | null;
}

/** The round's results are compared and committed; what follows in the list is the next round's. */
export interface CommitAction {
  readonly kind: "commit";
  readonly round: number;
}

export type Action = BeginAction | ApplyAction | CommitAction;

/** Bytes that one rank sends, by kind; without what the transport adds. */
export interface WireBytes {
  readonly payload: number;
  readonly scales: number;
  readonly indices: number;
}

/** Latency steps and bytes sent by one rank in one collective; collectiveCost (lib/strategy/cost.ts) knows it. */
export interface CollectiveQuestion {
  readonly collective: CollectiveName;
  readonly up: string;
  readonly down: string | null;
  readonly ranks: number;
  readonly rank: number;
  readonly elements: number;
  readonly weights: readonly number[] | null;
  readonly topology?: string;
  readonly topologyRound?: number;
}
export interface CollectiveAnswer {
  readonly latencySteps: number;
  readonly bytesSent: number;
  readonly parts: WireBytes;
}

export interface CostQuestion {
  readonly layout: TensorLayout;
  /** Whose cost; ranks may differ by a chunk's rounding. */
  readonly rank: number;
  readonly view: StrategyView;
  /** The inner steps to price: those of the rounds from step `from` to step `to`. */
  readonly from: number;
  readonly to: number;
  readonly collectiveCost: (question: CollectiveQuestion) => CollectiveAnswer;
}

/** What one peer pays for each inner step, on average over the steps asked for. */
export interface StrategyCost {
  readonly bytesPerStep: number;
  readonly parts: WireBytes;
  readonly latencyStepsPerStep: number;
  /** Bytes of the dearest step. */
  readonly bytesPeak: number;
}

export interface Strategy {
  readonly recipe: Recipe;
  /**
   * What to do once `step` inner steps are done, in order: applies first, then the commit, then begins; empty between
   * exchanges. At a step, everything that begins takes its tensors before anything that began there is applied. A begin
   * of a gradient acts between the gradient and the update of the step that makes it `step`.
   */
  actions(step: number, view: StrategyView): readonly Action[];
  /** Whether a peer takes inner step `step` (from 0) itself; by default it does. Needs the view from the round's start. */
  readonly trains?: (step: number, view: StrategyView, rank: number) => boolean;
  /** What the trainer's own options are for this shard, in place of those of the same keys (HDEE's experts). */
  readonly trainerOptions?: (shard: number) => Readonly<Record<string, unknown>>;
  cost(question: CostQuestion): StrategyCost;
  /** Shortcomings that do not forbid the run, such as a top-k that covers too little. @param rounds of the run. */
  readonly warnings?: (rounds: number) => readonly string[];
}
