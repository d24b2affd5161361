/** Engines of a few peers in one process, whose rounds tests take: whole ones, and ones that a peer dies in, joins or misses. */
import * as assert from "uvu/assert";
import { SLOTS_PER_EXCHANGE } from "../../lib/engine/communicator.js";
import { Engine, type Exchanged } from "../../lib/engine/engine.js";
import { LocalGroup } from "../../lib/gym/group.js";
import { checkEqual, exchangeAll, membersOf, takeRound } from "../../lib/gym/lockstep.js";
import { PlanSets } from "../../lib/gym/plans.js";
import { createStrategies } from "../../lib/strategy/registry.js";
import type { Strategy, StrategyView } from "../../lib/strategy/strategy.js";
import { mlpFactory } from "../../lib/trainer/digits.js";
import type { TrainerFactory } from "../../lib/trainer/trainer.js";

export const SEED = 11;
/** Parts of the data; a peer that joins takes one that nobody had. */
const SHARDS = 8;

/** Two blocks of 4096 elements, so that some ranks own no chunk; three layers; about a millisecond a step. */
const toyOptions = {
  hidden: [8, 8],
  batch: 8,
  learningRate: 5e-3,
  warmupSteps: 0,
  totalSteps: 1000,
  weightDecay: 0,
};

const mlp: TrainerFactory = mlpFactory();

export interface SwarmOptions {
  /** A config's `strategy` section, or what one has become. */
  readonly strategy?: unknown;
  readonly strategies?: readonly Strategy[];
  readonly peers?: number;
  /** Of the toy network's options. */
  readonly trainer?: Readonly<Record<string, unknown>>;
  readonly seed?: number;
  readonly threads?: number;
}

/** Of one peer: its engine, and the shard that it trains on. */
export interface Peer {
  readonly engine: Engine;
  readonly shard: number;
}

/** Everything that a checkpoint keeps of one peer. */
export interface Snapshot {
  readonly round: number;
  readonly tensors: readonly Float32Array[];
}

export class Swarm {
  readonly #options: SwarmOptions;
  readonly #plans = new PlanSets();
  /** By rank. */
  peers: Peer[] = [];

  private constructor(options: SwarmOptions) {
    this.#options = options;
  }

  /** Peers of the shards from 0 on, at round 0. */
  static async create(options: SwarmOptions): Promise<Swarm> {
    const swarm = new Swarm(options);
    const { peers = 4 } = options;
    for (let shard = 0; shard < peers; shard++) swarm.peers.push(await swarm.peer(shard));
    return swarm;
  }

  get seed(): number {
    return this.#options.seed ?? SEED;
  }
  get engines(): Engine[] {
    return this.peers.map(({ engine }) => engine);
  }
  get round(): number {
    return this.peers[0]!.engine.standing.round;
  }
  get view(): StrategyView {
    const members = membersOf(
      this.engines,
      this.peers.map(({ shard }) => shard),
    );
    return { epoch: this.round, members, seed: this.seed, measures: this.engines[0]!.measures };
  }

  /** A peer at round 0 that is no member. */
  async peer(shard: number): Promise<Peer> {
    const { strategy, trainer, threads = 1 } = this.#options;
    const { strategies = createStrategies(strategy) } = this.#options;
    const own = strategies.map(({ trainerOptions }) => trainerOptions?.(shard) ?? {});
    const options = Object.assign({}, toyOptions, trainer, ...own);
    const made = await mlp({ seed: this.seed, shard, shards: SHARDS, options, threads });
    return { engine: await Engine.create({ trainer: made, strategies, seed: this.seed, threads }), shard };
  }

  /** Whole rounds; the last one's reports by rank. */
  async take(rounds = 1): Promise<Exchanged[]> {
    let outcomes: Exchanged[] = [];
    const shards = this.peers.map(({ shard }) => shard);
    for (let round = 0; round < rounds; round++)
      outcomes = await takeRound(this.engines, { seed: this.seed, shards, plans: this.#plans });
    return outcomes;
  }

  /** A round in whose `exchange` (from 0) the peer of this rank dies; the others begin again without it. */
  async takeWithDeath(rank: number, exchange: number): Promise<string> {
    const group: LocalGroup = new LocalGroup({
      view: this.view,
      plans: this.#plans,
      clocks: this.peers.map((_, other) => ({
        computed: () => {},
        began: (slot) => {
          if (other === rank && exchangeOf(slot) >= exchange) group.lose(rank);
        },
        joined: () => {},
      })),
    });
    await Promise.all(this.engines.map((engine) => engine.train()));
    const outcomes = await Promise.allSettled(
      this.engines.map((engine, other) => engine.exchange(group.communicators[other]!)),
    );
    group.close();
    const [dead] = this.peers.splice(rank, 1);
    const broken = outcomes.filter(({ status }, other) => other !== rank && status === "rejected").length;
    await dead!.engine.close();
    await this.#again();
    return `${broken} of ${this.peers.length}`;
  }

  /** What was begun with others begins again with the members as they are. */
  async #again(): Promise<void> {
    const group = new LocalGroup({ view: this.view, plans: this.#plans });
    try {
      const outcomes = await exchangeAll(this.engines, group);
      if (this.engines.every(({ equal }) => equal)) checkEqual(outcomes, this.view.members);
      await Promise.all(this.engines.map((engine) => engine.apply()));
    } finally {
      group.close();
    }
  }

  /** The peer takes over what the first member holds, and is one from the next round on, the last by rank. */
  async join(peer: Peer): Promise<void> {
    const source = this.engines[0]!.shared.map(({ data }) => data.slice());
    await peer.engine.adopt(this.round, async (shared) => {
      for (const [index, { data }] of shared.entries()) data.set(source[index]!);
    });
    this.peers.push(peer);
  }

  snapshots(): Snapshot[] {
    return this.engines.map(({ standing, shared, local }) => ({
      round: standing.round,
      tensors: [...shared, ...local].map(({ data }) => data.slice()),
    }));
  }

  async restore(snapshots: readonly Snapshot[]): Promise<void> {
    for (const [rank, { round, tensors }] of snapshots.entries())
      await this.engines[rank]!.restore(round, async (shared, local) => {
        for (const [index, { data }] of [...shared, ...local].entries()) data.set(tensors[index]!);
      });
  }

  /** Of the shared state, by rank. */
  digests(): string[] {
    return this.engines.map(({ standing }) => standing.stateDigest ?? "");
  }

  /** Mean over the peers of the loss on the held out images, in nats. */
  async loss(): Promise<number> {
    let sum = 0;
    for (const engine of this.engines) sum += (await engine.evaluate()).loss;
    return sum / this.peers.length;
  }

  async close(): Promise<void> {
    for (const { engine } of this.peers) await engine.close();
    this.#plans.close();
  }
}

/** Closes what it made, also after a failure. */
export async function withSwarm<Result>(
  options: SwarmOptions,
  work: (swarm: Swarm) => Promise<Result>,
): Promise<Result> {
  const swarm = await Swarm.create(options);
  try {
    return await work(swarm);
  } finally {
    await swarm.close();
  }
}

/** All peers' shared bytes are the same, where the strategy promises it. */
export function expectEqual(swarm: Swarm, when: string): void {
  const { equal } = swarm.engines[0]!;
  if (equal) assert.is(new Set(swarm.digests()).size, 1, `all peers hold the same ${when}`);
}

/** Digests of all peers after each of so many rounds. */
export const trajectory = (options: SwarmOptions, rounds: number): Promise<string[][]> =>
  withSwarm(options, async (swarm) => {
    const seen: string[][] = [];
    for (let round = 1; round <= rounds; round++) {
      await swarm.take();
      expectEqual(swarm, `after round ${round}`);
      seen.push(swarm.digests());
    }
    return seen;
  });

const exchangeOf = (slot: number) => Math.floor(slot / SLOTS_PER_EXCHANGE);
