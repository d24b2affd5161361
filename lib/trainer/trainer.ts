/**
 * The trainer contract: what a model must offer so that gradmesh can train it. Plug in your own by a module that
 * exports `createTrainer` (a TrainerFactory) and naming the module as the run's `trainer`.
 *
 * The one rule: a step is a pure function of (parameters, inner state, step number, seed, shard). No clock, no
 * Math.random, no hidden iterator; where the data stands is told by the step number. Then a resumed run, a replaying
 * verifier and a peer that joins late all compute the same bytes. The runtime writes to `parameters` (outer steps) and
 * to `innerState` (restores) between steps, never during one.
 */
import type { NamedTensor, TensorLayout } from "../tensor/layout.js";
import type { TracedStep } from "./traced-step.js";

export interface TrainerContext {
  /** The run's seed, the same on every peer. An integer from 0 to 2^53 - 1. */
  readonly seed: number;
  /** Which shard of the data this peer trains on, from 0. */
  readonly shard: number;
  /** How many shards the data is cut into: the most peers the run admits. */
  readonly shards: number;
  /** The trainer's own options from the run's config; an unknown key is an ERR_CONFIG that names the allowed ones. */
  readonly options: unknown;
  /** Threads the trainer may use. The bytes of its results may not depend on it. */
  readonly threads: number;
  /**
   * Where this peer wants the steps to run: "cpu" (the default), "cuda" or "cuda:<index>". Peers of a run may differ, so
   * the bytes of the results may not depend on it. A trainer without code for it rejects with ERR_UNSUPPORTED.
   */
  readonly device?: string | undefined;
}

export interface StepContext {
  /** How many inner steps this peer has done before, from 0: it is the data position. */
  readonly step: number;
  /**
   * In a verified run: what the step's data is drawn by, instead of the run's seed; the beacon's choice, not the peer's
   * (lib/ledger/draw.ts). An integer from 0 to 2^53 - 1. Absent: the run's seed.
   */
  readonly draw?: number | undefined;
  /**
   * False where another call of the same method follows at once (a step after a step, an update, with the gradient
   * between, after an update): nobody reads or writes `innerState`, and after a step `parameters`, between the two, so a
   * trainer may keep them elsewhere meanwhile, such as in a GPU's memory. Else they are whole when the call resolves.
   */
  readonly last?: boolean | undefined;
  readonly signal?: AbortSignal | undefined;
}

export interface StepResult {
  /** Mean loss of the batch before the step, in nats. */
  readonly loss: number;
  /** Tokens trained on. */
  readonly tokens: number;
}

export interface Evaluation {
  /** Mean loss in nats. */
  readonly loss: number;
  /** The part of the validation data whose class is told right, from 0 to 1, where there are classes. */
  readonly accuracy?: number;
}

export interface Trainer {
  /** Names and shapes of the parameters within the bucket; equal on every peer of a run. */
  readonly layout: TensorLayout;
  /** All parameters, float32 [layout.elements], updated in place. The same array for the trainer's whole life. */
  readonly parameters: Float32Array;
  /** What else a checkpoint keeps, as live views: inner optimizer moments. It stays on its peer, never averaged. */
  readonly innerState: readonly NamedTensor[];
  /** Names what must be equal on all peers (model, options, data), such as a SHA-256 of it; part of the run's id. */
  readonly fingerprint: string;
  /**
   * One inner step. Steps do not overlap. After a rejection, an abort too, `parameters` and `innerState` are
   * unspecified until they are restored.
   */
  step(context: StepContext): Promise<StepResult>;
  /**
   * The gradient of the last step or gradient(), before clipping: float32 [layout.elements]. With gradient() and update(),
   * which a trainer has all or none of, a strategy can exchange gradients; without, only what whole steps have changed.
   */
  readonly gradients?: Float32Array;
  /** Writes to `gradients` those of the step's batch at the parameters as they are, and changes nothing else. */
  gradient?(context: StepContext): Promise<StepResult>;
  /**
   * Clips what is in `gradients` now and takes it into the inner optimizer's step: right after gradient() of the same
   * context the two are step(), to the bit. `parameters` are whole when it resolves.
   */
  update?(context: StepContext): Promise<void>;
  /**
   * The step of this context as its operators, at the state as it is: what a dispute over a step needs to end at one
   * operator. Without it a step that is disputed cannot be decided further. The trainer does nothing else until the traced
   * step is closed.
   */
  trace?(context: StepContext): TracedStep;
  /** How much data this shard has, in whatever unit: the weight of its peer in a mean by samples. 1 where absent. */
  readonly samples?: number;
  /** The mean over validation data that is the same on every peer and at every call. */
  evaluate(signal?: AbortSignal): Promise<Evaluation>;
  /**
   * The loss of every single token (or image) of the validation data, in nats, float32: always as many, in the same order.
   * Where there are `domains`, each has an equal part of them, in their order.
   */
  evaluateTokens?(signal?: AbortSignal): Promise<Float32Array>;
  /** The names of the domains of the data, where there are several. */
  readonly domains?: readonly string[];
  /** Called after someone else wrote to `parameters` or `innerState`, for a trainer that keeps copies elsewhere. */
  parametersChanged?(): void;
  /** Frees everything; may be called again. Any other call then rejects with ERR_CLOSED. */
  close(): void;
}

/** Makes a trainer with the initial parameters, which depend on the seed and the options alone. */
export type TrainerFactory = (context: TrainerContext) => Promise<Trainer>;

/** What a trainer module exports. */
export interface TrainerModule {
  readonly createTrainer: TrainerFactory;
}
