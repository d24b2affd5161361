/**
 * A peer's copy of the run's training: the trainer that the config names on this peer's shard, and the engine over it, as
 * checkpoints, joining peers and the coordinator know it.
 */
import { GradmeshError } from "../base/errors.js";
import { type LoadedCheckpoint, readCheckpoint } from "../checkpoint/checkpoint.js";
import { Engine } from "../engine/engine.js";
import type { Standing } from "../engine/outcome.js";
import { native } from "../native/load.js";
import { createStrategies, roundSteps } from "../strategy/registry.js";
import type { Strategy } from "../strategy/strategy.js";
import type { NamedTensor } from "../tensor/layout.js";
import { loadTrainer } from "../trainer/load.js";
import type { Trainer } from "../trainer/trainer.js";
import { partsOf, tensorsOf } from "../verify/state.js";
import { type CheatPlan, COPIED_SHARD, cheatingTrainer } from "./cheat.js";
import { checkTrainer } from "./check-trainer.js";
import type { RunConfig } from "./config.js";
import { measuredTrainer, type StepWatch } from "./measured-trainer.js";

export interface ReplicaOptions {
  config: RunConfig;
  shard: number;
  threads: number;
  /** Where the trainer's steps run: "cpu", "cuda" or "cuda:<index>". */
  device?: string;
  /** What a relative trainer module is relative to. */
  folder: string;
  /** For tests and the demo: the work that is not done. */
  cheat?: CheatPlan | null;
}

const nowhere: Standing = { round: -1, stateDigest: null };

/** The config's trainer for a shard. @throws ERR_CONFIG from the trainer; ERR_TRAINER for one that breaks the contract. */
async function honestTrainer(options: ReplicaOptions, strategies: readonly Strategy[]): Promise<Trainer> {
  const { config, shard, threads, device, folder } = options;
  const { module, options: common } = config.trainer;
  const factory = await loadTrainer(module, folder);
  const own = Object.assign(
    {},
    common,
    ...strategies.map(({ trainerOptions }) => trainerOptions?.(shard) ?? {}),
  );
  const trainer = await factory({
    seed: config.seed,
    shard,
    shards: config.peersMax,
    options: own,
    threads,
    device,
  });
  checkTrainer(trainer, module);
  return trainer;
}

/** The trainer of a shard as the run starts it; what a cheat makes of it where the options say so. @throws as Replica.create. */
export async function createTrainer(
  options: ReplicaOptions,
  strategies: readonly Strategy[],
): Promise<Trainer> {
  const trainer = await honestTrainer(options, strategies);
  const { cheat } = options;
  if (cheat == null) return trainer;
  try {
    const other =
      cheat.kind === "copy" ? await honestTrainer({ ...options, shard: COPIED_SHARD }, strategies) : null;
    return cheatingTrainer(trainer, cheat, roundSteps(strategies), other);
  } catch (error) {
    trainer.close();
    throw error;
  }
}

/** Digests of what a run's trainers begin with: native.digest of the parameters, and of the inner state. */
export async function freshDigests(
  config: RunConfig,
  folder: string,
): Promise<{ parameters: string; inner: string }> {
  const trainer = await honestTrainer(
    { config, shard: 0, threads: 1, folder },
    createStrategies(config.strategy),
  );
  try {
    const { parameters, inner } = await partsOf(tensorsOf(trainer), 0);
    return { parameters, inner };
  } finally {
    trainer.close();
  }
}

/**
 * What must be equal on all peers of a run beside its config: the trainer's model, options and data. Where strategies
 * give shards options of their own, it is that of shard 0.
 */
export async function runFingerprint(config: RunConfig, folder: string): Promise<string> {
  const strategies = createStrategies(config.strategy);
  const trainer = await honestTrainer({ config, shard: 0, threads: 1, folder }, strategies);
  const { fingerprint } = trainer;
  trainer.close();
  return fingerprint;
}

export class Replica {
  readonly engine: Engine;
  readonly shard: number;
  readonly #config: RunConfig;
  readonly #trainer: Trainer;
  readonly #watch: StepWatch;
  #standing: Standing = nowhere;

  private constructor(options: ReplicaOptions, trainer: Trainer, engine: Engine, watch: StepWatch) {
    this.#config = options.config;
    this.shard = options.shard;
    this.#trainer = trainer;
    this.engine = engine;
    this.#watch = watch;
  }

  /** A replica at round 0, its state made from the run's seed. @throws ERR_CONFIG from the trainer or strategies. */
  static async create(options: ReplicaOptions): Promise<Replica> {
    const { seed, strategy } = options.config;
    const strategies = createStrategies(strategy);
    const trainer = await createTrainer(options, strategies);
    const watch = { seconds: 0 };
    const measured = measuredTrainer(trainer, watch);
    try {
      const engine = await Engine.create({ trainer: measured, strategies, seed, threads: options.threads });
      const replica = new Replica(options, trainer, engine, watch);
      await replica.#settle();
      return replica;
    } catch (error) {
      trainer.close();
      throw error;
    }
  }

  /**
   * What it holds now, whole at every moment: the round, and the digest that all members must agree on. Where their states
   * differ by the method, as in gossip, it is of what does not, and of the round.
   */
  get standing(): Standing {
    return this.#standing;
  }
  /** Of all that this peer shares, also where others' differ by the method; "" while it holds no state of the run. */
  get ownDigest(): string {
    return this.engine.standing.stateDigest ?? "";
  }

  async #settle(): Promise<void> {
    const { equal, standing, shared, strategies } = this.engine;
    const { round } = standing;
    // Tensors of exchanges are named by their strategy; others are of the trainer, and as unequal as the least equal.
    const promised = strategies.map(({ recipe }, index) =>
      recipe.commit.equal ? `${recipe.strategy}.${index}/` : null,
    );
    const agreed = shared.filter(({ name }) =>
      promised.some((prefix) => prefix !== null && name.startsWith(prefix)),
    );
    const tensors = agreed.map(({ data }) => data);
    this.#standing = equal
      ? standing
      : { round, stateDigest: await native.digest([...tensors, new Float64Array([round])]) };
  }

  /** After the commit: takes what waited for it; the round is over. */
  async apply(): Promise<void> {
    await this.engine.apply();
    await this.#settle();
  }

  /** The round is over and changes nothing: what all peers share is as it was when it began. */
  async pass(): Promise<void> {
    await this.#goBack(this.standing.round + 1);
  }

  /** The round begins again: what all peers share is as it was then. The inner state is the trainer's own, and stays. */
  async restart(): Promise<void> {
    await this.#goBack(this.standing.round);
  }

  async #goBack(round: number): Promise<void> {
    const start = this.engine.roundStart.map(({ data }) => data.slice());
    await this.adopt(round, async (shared) => {
      for (const [index, { data }] of shared.entries()) data.set(start[index]!);
    });
  }

  /** It holds no state of the run from now on, until `adopt` or `restore`. */
  forget(): void {
    this.engine.forget();
    this.#standing = nowhere;
  }

  /** Lets `receive` write a live peer's state of `round` into the shared tensors, and goes on from there. */
  async adopt(round: number, receive: (shared: readonly NamedTensor[]) => Promise<void>): Promise<void> {
    this.#standing = nowhere;
    await this.engine.adopt(round, receive);
    await this.#settle();
  }
  /** Inner steps completed at the start of the round: the position in the shard's data. */
  get step(): number {
    return this.engine.step;
  }
  /** Seconds of inner steps so far. */
  get trainSeconds(): number {
    return this.#watch.seconds;
  }
  /** What must be equal on all peers of a run, or of the shard where strategies give shards options of their own. */
  get fingerprint(): string {
    return this.#trainer.fingerprint;
  }
  get parameters(): number {
    return this.#trainer.layout.elements;
  }
  /** Of its shard. */
  get samples(): number {
    return this.#trainer.samples ?? 1;
  }

  /** Mean loss over the validation data, which is the same on every peer. */
  async evaluate(): Promise<number> {
    return (await this.engine.evaluate()).loss;
  }

  /** The tensors of a checkpoint: live views, which must not change while they are written or read. */
  tensors(): { outer: NamedTensor[]; inner: NamedTensor[] } {
    const { shared, local } = this.engine;
    return { outer: this.#byTensor(shared), inner: this.#byTensor(local) };
  }

  /**
   * Buckets as the model's tensors, "momentum/<tensor>"; the anchor as "parameters/<tensor>". Of the run's first strategy
   * the names stand alone, those of another one behind its name. A trainer's inner state is named as it names it.
   */
  #byTensor(tensors: readonly NamedTensor[]): NamedTensor[] {
    const { layout, innerState } = this.#trainer;
    const own = new Set(innerState.map(({ data }) => data));
    return tensors.flatMap(({ name, shape, data }) => {
      if (own.has(data)) return [{ name, shape, data }];
      const plain = name.replace(/^[^/]*\.0\//, "").replace(/^anchor$/, "parameters");
      if (data.length !== layout.elements) return [{ name: plain, shape, data }];
      return layout.tensors(data).map((part) => ({ ...part, name: `${plain}/${part.name}` }));
    });
  }

  /** Goes on from a checkpoint. @throws ERR_CHECKPOINT when it is of another model or its digest differs. */
  async restore(checkpoint: LoadedCheckpoint): Promise<void> {
    const { outer, inner } = this.tensors();
    this.#standing = nowhere;
    await this.engine.restore(checkpoint.manifest.round, async () => {
      await readCheckpoint(checkpoint, "outer.safetensors", outer);
      await readCheckpoint(checkpoint, "inner.safetensors", inner);
    });
    await this.#settle();
    const digest = this.standing.stateDigest;
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
    await this.engine.close();
  }
}
