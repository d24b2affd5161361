/** Makes the engines of an arm's peers: the config's trainer on each shard, the strategies, and where they start from. */
import { Engine } from "../engine/engine.js";
import { checkTrainer } from "../run/check-trainer.js";
import type { RunConfig } from "../run/config.js";
import { createStrategies } from "../strategy/registry.js";
import type { Strategy } from "../strategy/strategy.js";
import { loadTrainer } from "../trainer/load.js";
import type { Trainer, TrainerFactory } from "../trainer/trainer.js";
import { startedFrom, type TrainerState } from "./trainer-state.js";

export interface MakerOptions {
  readonly config: RunConfig;
  /** Parts into which the data is cut. */
  readonly shards: number;
  /** What a relative trainer module is relative to. */
  readonly folder: string;
  /** Where trainers start from; null: from the seed. */
  readonly initial: TrainerState | null;
}

export class EngineMaker {
  readonly strategies: readonly Strategy[];
  readonly #options: MakerOptions;
  readonly #factory: TrainerFactory;

  private constructor(options: MakerOptions, factory: TrainerFactory) {
    this.#options = options;
    this.#factory = factory;
    this.strategies = createStrategies(options.config.strategy);
  }

  /** @throws ERR_CONFIG for a trainer that is not there or strategies that cannot be. */
  static async create(options: MakerOptions): Promise<EngineMaker> {
    const factory = await loadTrainer(options.config.trainer.module, options.folder);
    return new EngineMaker(options, factory);
  }

  /** The trainer of a shard. @throws ERR_CONFIG for its options; ERR_TRAINER for one that breaks the contract. */
  async trainer(shard: number): Promise<Trainer> {
    const own = this.strategies.map(({ trainerOptions }) => trainerOptions?.(shard) ?? {});
    const trainer = await this.#make(shard, Object.assign({}, this.#options.config.trainer.options, ...own));
    const { initial } = this.#options;
    return initial === null ? trainer : startedFrom(trainer, initial);
  }

  /** One with the options that all shards have in common, for the first of them. @throws as trainer() does. */
  commonTrainer(): Promise<Trainer> {
    return this.#make(0, this.#options.config.trainer.options);
  }

  async #make(shard: number, options: Readonly<Record<string, unknown>>): Promise<Trainer> {
    const { config, shards } = this.#options;
    const { module, threads } = config.trainer;
    const trainer = await this.#factory({ seed: config.seed, shard, shards, options, threads });
    checkTrainer(trainer, module);
    return trainer;
  }

  /** An engine at round 0. @throws as trainer() and Engine.create do. */
  async engine(shard: number): Promise<Engine> {
    const { seed, trainer } = this.#options.config;
    const made = await this.trainer(shard);
    try {
      const { strategies } = this;
      const { threads } = trainer;
      // A round's results are compared byte by byte: one digest a round, of one of the peers, is enough.
      return await Engine.create({ trainer: made, strategies, seed, threads, digests: false });
    } catch (error) {
      made.close();
      throw error;
    }
  }
}
