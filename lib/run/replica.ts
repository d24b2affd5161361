/**
 * The training state of one peer: its trainer, the outer optimizer, and how far both have come. Between rounds it is
 * what every peer holds (anchor and outer momentum) plus what stays here (inner optimizer, position in the shard).
 */

import { GradmeshError } from "../base/errors.js";
import type { NamedTensor } from "../checkpoint/checkpoint.js";
import { type LoadedCheckpoint, readCheckpoint } from "../checkpoint/checkpoint.js";
import { native } from "../native/load.js";
import { OuterOptimizer } from "../strategy/outer.js";
import { createStrategy } from "../strategy/registry.js";
import type { Strategy } from "../strategy/strategy.js";
import { loadTrainer } from "../trainer/load.js";
import type { Trainer } from "../trainer/trainer.js";
import type { RunConfig } from "./config.js";

/** What a round's inner steps came to. */
export interface Trained {
  /** Mean loss over the round's inner steps, in nats. */
  loss: number;
  steps: number;
  seconds: number;
}

/** Which state of the run a replica holds. */
export interface Standing {
  /** Outer steps completed; -1 while it holds no state of the run. */
  readonly round: number;
  /** Digest of anchor, outer momentum and round; null without state. */
  readonly stateDigest: string | null;
}

export interface ReplicaOptions {
  config: RunConfig;
  shard: number;
  threads: number;
  /** Where the trainer's steps run: "cpu", "cuda" or "cuda:<index>". */
  device?: string;
  /** What a relative trainer module is relative to. */
  folder: string;
}

export class Replica {
  /** Mean pseudo-gradient of the round, float32 [n]: the collective writes it, `apply` takes it. */
  readonly mean: Float32Array;
  /** This peer's pseudo-gradient, float32 [n]. */
  readonly delta: Float32Array;
  readonly shard: number;
  readonly #config: RunConfig;
  readonly #trainer: Trainer;
  readonly #strategy: Strategy;
  readonly #outer: OuterOptimizer;
  #standing: Standing = { round: 0, stateDigest: null };
  /** The round whose inner steps are being taken or are done, and their outcome. */
  #training: { round: number; outcome: Promise<Trained> } | null = null;
  /** Pseudo-gradients of rounds that this peer was too slow for, float32 [n]; a crash loses them. */
  #carried: Float32Array | null = null;

  private constructor(options: ReplicaOptions, trainer: Trainer, strategy: Strategy) {
    this.#config = options.config;
    this.shard = options.shard;
    this.#trainer = trainer;
    this.#strategy = strategy;
    const { elements } = trainer.layout;
    this.#outer = new OuterOptimizer(elements, strategy.recipe.outer, options.threads);
    this.mean = new Float32Array(elements);
    this.delta = new Float32Array(elements);
  }

  /** A replica at round 0, its state made from the run's seed. @throws ERR_CONFIG from the trainer or strategy. */
  static async create(options: ReplicaOptions): Promise<Replica> {
    const { config, shard, threads, device, folder } = options;
    const strategy = createStrategy(config.strategy);
    const factory = await loadTrainer(config.trainer.module, folder);
    const trainer = await factory({
      seed: config.seed,
      shard,
      shards: config.peersMax,
      options: config.trainer.options,
      threads,
      device,
    });
    checkTrainer(trainer, config.trainer.module);
    const replica = new Replica(options, trainer, strategy);
    await replica.#outer.start(trainer.parameters);
    await replica.#settle(0);
    return replica;
  }

  /** What it holds now, whole at every moment: it changes only once a new state and its digest are complete. */
  get standing(): Standing {
    return this.#standing;
  }
  /** Inner steps completed at the start of the round: the position in the shard's data. */
  get step(): number {
    return this.#standing.round * this.#strategy.recipe.trigger.steps;
  }
  get strategy(): Strategy {
    return this.#strategy;
  }
  /** What must be equal on all peers of a run beside its config: the trainer's model, options and data. */
  get fingerprint(): string {
    return this.#trainer.fingerprint;
  }
  get parameters(): number {
    return this.#trainer.layout.elements;
  }
  /** What a joining peer receives, in this order: anchor, outer momentum, each float32 [n]. */
  get shared(): readonly Float32Array[] {
    return [this.#outer.anchor, this.#outer.momentum];
  }

  /** The shared arrays are the state of `round` from now on; digest is 64 hex characters, equal on all peers. */
  async #settle(round: number): Promise<void> {
    const stateDigest = await native.digest([...this.shared, new Float64Array([round])]);
    this.#standing = { round, stateDigest };
  }

  /** Mean loss over the validation data, which is the same on every peer. */
  async evaluate(): Promise<number> {
    return (await trainerWork("in its evaluation", () => this.#trainer.evaluate())).loss;
  }

  /**
   * Takes the inner steps of the current round, once: a second call, in a later epoch of the same round, gives the same
   * outcome. `delta` then holds the pseudo-gradient.
   */
  train(): Promise<Trained> {
    const { round } = this.#standing;
    if (this.#training?.round !== round) this.#training = { round, outcome: this.#takeSteps(this.step) };
    return this.#training.outcome;
  }

  async #takeSteps(first: number): Promise<Trained> {
    const startedAt = performance.now();
    const view = { epoch: 0, peers: [] };
    let step = first;
    let sum = 0;
    for (let last = false; !last; step += 1) {
      last = this.#strategy.actions(step + 1, view).length > 0;
      sum += (await trainerWork(`in step ${step}`, () => this.#trainer.step({ step, last }))).loss;
    }
    await this.#outer.pseudoGradient(this.#trainer.parameters, this.delta);
    if (this.#carried !== null) await this.#outer.add(this.delta, this.#carried);
    const steps = step - first;
    return { loss: sum / steps, steps, seconds: (performance.now() - startedAt) / 1000 };
  }

  /**
   * Keeps the pseudo-gradient of a round that went on without this peer, what it had carried into it included: it is
   * added to the next one, until a round commits with it. Gives its Euclidean norm.
   */
  carryOver(): number {
    this.#carried ??= new Float32Array(this.delta.length);
    this.#carried.set(this.delta);
    let squares = 0;
    for (const value of this.delta) squares += value * value;
    return Math.sqrt(squares);
  }

  /** What was carried may be in a round that this peer did not see commit. */
  dropCarried(): void {
    this.#carried = null;
  }

  /** Takes over what a replica with another shard had carried. */
  inherit(from: Replica): void {
    this.#carried = from.#carried;
  }

  /** Takes the outer step with `mean`; the round is over. */
  async apply(): Promise<void> {
    const { round } = this.#standing;
    await this.#outer.apply(this.mean, round, this.#trainer.parameters);
    this.#carried = null;
    this.#trainer.parametersChanged?.();
    await this.#settle(round + 1);
  }

  /** The shared arrays hold no state of the run from now on, until `adopt` or `restore`. */
  forget(): void {
    this.#standing = { round: -1, stateDigest: null };
  }

  /** Lets `receive` write a live peer's state of `round` into the shared arrays, and goes on from there. */
  async adopt(round: number, receive: (shared: readonly Float32Array[]) => Promise<void>): Promise<void> {
    // Steps of a round that this peer has lost still write to the parameters.
    await this.#training?.outcome.catch(() => {});
    this.#training = null;
    this.forget();
    await receive(this.shared);
    await this.#outer.reset(this.#trainer.parameters);
    this.#trainer.parametersChanged?.();
    await this.#settle(round);
  }

  /** The tensors of a checkpoint: live views, which must not change while they are written or read. */
  tensors(): { outer: NamedTensor[]; inner: NamedTensor[] } {
    const { layout, innerState } = this.#trainer;
    const named = (prefix: string, bucket: Float32Array) =>
      layout.tensors(bucket).map(({ name, shape, data }) => ({ name: `${prefix}/${name}`, shape, data }));
    return {
      outer: [...named("parameters", this.#outer.anchor), ...named("momentum", this.#outer.momentum)],
      inner: [...innerState],
    };
  }

  /** Goes on from a checkpoint. @throws ERR_CHECKPOINT when it is of another model or its digest differs. */
  async restore(checkpoint: LoadedCheckpoint): Promise<void> {
    const { outer, inner } = this.tensors();
    await this.adopt(checkpoint.manifest.round, async () => {
      await readCheckpoint(checkpoint, "outer.safetensors", outer);
      await readCheckpoint(checkpoint, "inner.safetensors", inner);
    });
    const digest = this.#standing.stateDigest;
    if (digest !== checkpoint.manifest.stateDigest)
      throw new GradmeshError(
        "ERR_CHECKPOINT",
        `${checkpoint.folder}: the state's digest is ${digest}, the manifest says ${checkpoint.manifest.stateDigest}`,
      );
  }

  /** Where the trainer's random numbers stand, for the manifest. */
  get random(): { seed: number; stream: number } {
    return { seed: this.#config.seed, stream: this.shard };
  }

  async close(): Promise<void> {
    await this.#training?.outcome.catch(() => {});
    this.#trainer.close();
    this.#outer.close();
  }
}

/** A stranger's trainer is checked once, by what the contract asks of it. @throws ERR_TRAINER naming what is wrong. */
function checkTrainer(trainer: Trainer, module: string): void {
  const wrong = (what: string) => new GradmeshError("ERR_TRAINER", `the trainer "${module}": ${what}`);
  if (typeof trainer !== "object" || trainer === null) throw wrong("createTrainer gave no object");
  const { layout, parameters, innerState, fingerprint } = trainer;
  if (!Number.isSafeInteger(layout?.elements)) throw wrong("layout must be a TensorLayout");
  if (!(parameters instanceof Float32Array) || parameters.length !== layout.elements)
    throw wrong(`parameters must be a Float32Array of layout.elements, ${layout.elements}`);
  if (!Array.isArray(innerState)) throw wrong("innerState must be an array of named tensors");
  if (typeof fingerprint !== "string" || fingerprint === "") throw wrong("fingerprint must be a text");
  for (const name of ["step", "evaluate", "close"] as const)
    if (typeof trainer[name] !== "function") throw wrong(`${name} must be a function`);
}

/** @throws ERR_TRAINER with the words of a trainer that fails; gradmesh's own errors, such as the GPT's, as they are. */
async function trainerWork<T>(when: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (cause) {
    if (cause instanceof GradmeshError) throw cause;
    const words = cause instanceof Error ? cause.message : String(cause);
    throw new GradmeshError("ERR_TRAINER", `the trainer failed ${when}: ${words}`, { cause });
  }
}
