/** A peer's training from the welcome on: its replica, its links, the work on views and commits, its checkpoints. */

import { secondsSince, systemClock } from "../base/clock.js";
import { type LoadedCheckpoint, saveCheckpoint } from "../checkpoint/checkpoint.js";
import { createProber, type Prober } from "../group/link-prober.js";
import { type BulkLinks, createBulkLinks } from "../group/links.js";
import type { LiveView, Member } from "../group/member.js";
import type { Commit, Welcome } from "../group/messages.js";
import { native } from "../native/load.js";
import type { Host } from "../peer/host.js";
import { createReducer, type Reducer } from "../reduce/all-reduce.js";
import { Endpoint } from "../reduce/endpoint.js";
import type { CheatPlan } from "./cheat.js";
import { parseConfig, type RunConfig, runRecipe } from "./config.js";
import type { EventSink, RunEvent } from "./events.js";
import { Exchange } from "./exchange.js";
import type { FaultPlan } from "./fault.js";
import { createTrainer, Replica, runFingerprint } from "./replica.js";
import type { RunLedger } from "./trust/run-ledger.js";
import { emptyResult } from "./trust/standing.js";
import { TrustPeer } from "./trust/trust-peer.js";

/** What is each peer's own, and no part of the run's recipe. */
export interface LocalOptions {
  network: RunConfig["network"];
  threads: number;
  device: string;
  checkpoint: RunConfig["checkpoint"];
}

export interface TrainingOptions {
  runId: string;
  host: Host;
  member: Member;
  /** Where checkpoints go. */
  checkpoints: string;
  /** What this peer decides for itself, given the run's config. */
  local(config: RunConfig): LocalOptions;
  checkpoint: LoadedCheckpoint | null;
  fault: FaultPlan | null;
  /** For tests and the demo. */
  cheat: CheatPlan | null;
  emit: EventSink;
}

export class Training {
  readonly config: RunConfig;
  /** Digest of what all peers must have in common. */
  readonly recipe: string;
  readonly #options: TrainingOptions;
  readonly #local: LocalOptions;
  readonly #endpoint: Endpoint;
  readonly #links: BulkLinks;
  readonly #prober: Prober;
  readonly #reducer: Reducer;
  #replica: Replica;
  #exchange: Exchange;
  #trust: TrustPeer | null = null;
  /** Who has which shard, by the last view. */
  #members: { peerId: string; shard: number }[] = [];

  private constructor(
    options: TrainingOptions,
    config: RunConfig,
    recipe: string,
    replica: Replica,
    endpoint: Endpoint,
    links: BulkLinks,
  ) {
    this.#options = options;
    this.config = config;
    this.recipe = recipe;
    this.#local = options.local(config);
    this.#replica = replica;
    this.#endpoint = endpoint;
    this.#links = links;
    this.#prober = this.#newProber();
    this.#reducer = createReducer({ endpoint, links });
    this.#exchange = this.#newExchange();
  }

  /** Builds everything from the run's config. @throws ERR_CONFIG, ERR_CHECKPOINT, ERR_IO. */
  static async begin(options: TrainingOptions, welcome: Welcome): Promise<Training> {
    const { host, checkpoint, runId } = options;
    const config = parseConfig(welcome.config, "the run's config");
    const { network, threads, device } = options.local(config);
    const own = { threads, device, folder: process.cwd(), cheat: options.cheat };
    const replica = await Replica.create({ config, shard: welcome.shard, ...own });
    if (checkpoint !== null) await replica.restore(checkpoint);
    else if (welcome.round !== 0) replica.forget();
    const alike = replica.engine.strategies.every(({ trainerOptions }) => trainerOptions === undefined);
    const fingerprint = alike ? replica.fingerprint : await runFingerprint(config, own.folder);
    const { encryption } = config.network;
    const endpoint = new Endpoint({
      host: network.host,
      port: network.bulkPort,
      silenceLimitMs: network.silenceLimitMs,
      encryption,
      congestionControl: network.congestionControl,
    });
    endpoint.pace(Math.round((network.paceMbit * 1e6) / 8));
    const { streams } = network;
    const links = await createBulkLinks({ host, endpoint, runId, encryption, streams });
    return new Training(options, config, runRecipe(config, fingerprint), replica, endpoint, links);
  }

  /** Of a verified run, before the first view: passes the entry check and lays down the stake. @throws ERR_LEDGER. */
  async join(ledger: RunLedger, signal: AbortSignal): Promise<void> {
    const { host, emit, cheat } = this.#options;
    const { threads, device } = this.#local;
    const makeTrainer = (shard: number, own: boolean) =>
      createTrainer(
        { config: this.config, shard, threads, device, folder: process.cwd(), cheat: own ? cheat : null },
        this.#replica.engine.strategies,
      );
    const options = { ledger, config: this.config, host, device, threads, makeTrainer, emit, cheat };
    this.#trust = await TrustPeer.join(options, this.#replica, signal);
    this.#exchange = this.#newExchange();
  }

  get replica(): Replica {
    return this.#replica;
  }

  /** What it measures goes to the coordinator, which tells all members. */
  #newProber(): Prober {
    const { member, host, emit } = this.#options;
    const peer = host.peerId;
    return createProber({
      self: peer,
      endpoint: this.#endpoint,
      links: () => this.#links.open(),
      clock: systemClock,
      share: this.config.network.probeShare,
      report: ({ peerId, bytesPerSecond, seconds, ...rest }) => {
        member.links([{ peerId, bytesPerSecond, seconds }]);
        emit({ type: "link", peer, to: peerId, bytesPerSecond, ...rest });
      },
    });
  }

  #newExchange(): Exchange {
    const { member, host, runId, fault, emit } = this.#options;
    return new Exchange({
      runId,
      seed: this.config.seed,
      rounds: this.config.rounds,
      prober: this.#prober,
      replica: this.#replica,
      reducer: this.#reducer,
      endpoint: this.#endpoint,
      member,
      self: host.peerId,
      network: this.config.network,
      fault,
      trust: this.#trust,
      emit,
    });
  }

  /** Works through one view. @throws as Exchange.run does. */
  async work(view: LiveView): Promise<void> {
    this.#members = view.members.map(({ peerId, shard }) => ({ peerId, shard }));
    this.#trust?.see(view);
    if (this.#trust !== null && view.sync !== null) this.#linkNow(view);
    const own = this.#members.find(({ peerId }) => peerId === this.#options.host.peerId);
    if (own !== undefined && own.shard !== this.#replica.shard) await this.#changeShard(own.shard, view);
    await this.#exchange.run(view);
  }

  /**
   * Members of a verified round wait for one another on the ledger before they exchange anything, and one of them for the
   * links over which it sends a joiner the state: they open theirs at once.
   */
  #linkNow(view: LiveView): void {
    const rank = view.members.findIndex(({ peerId }) => peerId === this.#options.host.peerId);
    const { operationLimitMs } = this.config.network;
    // Whoever uses them hears of a failure.
    this.#links.ensure(view, rank, operationLimitMs, view.signal).catch(() => {});
  }

  /** Another peer reads this one's shard since it was away; it goes on with another, and a fresh inner optimizer. */
  async #changeShard(shard: number, view: LiveView): Promise<void> {
    const old = this.#replica;
    await this.#exchange.carryOver(view);
    const { threads, device } = this.#local;
    const own = { threads, device, folder: process.cwd(), cheat: this.#options.cheat };
    const replica = await Replica.create({ config: this.config, shard, ...own });
    const { round } = old.standing;
    if (round < 0) replica.forget();
    else {
      const state = old.engine.roundStart;
      await replica.adopt(round, async (shared) => {
        for (const [index, { data }] of shared.entries()) data.set(state[index]!.data);
      });
    }
    replica.engine.inherit(old.engine);
    this.#replica = replica;
    this.#trust?.attach(replica);
    this.#exchange = this.#newExchange();
    await old.close();
  }

  /** Of what the next round begins with, right after a commit. */
  parametersDigest(): Promise<string> {
    return native.digest([this.#replica.engine.trainer.parameters]);
  }

  /** Takes what waited for a commit and evaluates the new state. */
  async commit({
    epoch,
    round: committed,
    contributors,
    resultDigest,
  }: Commit): Promise<RunEvent & { type: "round" }> {
    const { account, trainSeconds } = this.#exchange;
    const committedAt = performance.now();
    const isEmpty = this.#trust !== null && resultDigest === emptyResult(committed);
    if (isEmpty) await this.#replica.pass();
    else await this.#replica.apply();
    this.#trust?.committed(committed, resultDigest);
    const validationLoss = await this.#replica.evaluate();
    const { standing, ownDigest } = this.#replica;
    const { round } = standing;
    const { startedAt, steps, loss, bytesSent, bytesRetried, reduceSeconds } = account;
    const roundSeconds = startedAt === 0 ? 0 : (committedAt - startedAt) / 1000;
    return {
      type: "round",
      peer: this.#options.host.peerId,
      epoch,
      round,
      contributors: isEmpty ? [] : contributors,
      trainLoss: Number.isNaN(loss) && steps === 0 ? null : loss,
      validationLoss,
      bytesSent,
      bytesRetried,
      seconds: {
        train: trainSeconds,
        sync: Math.max(0, roundSeconds - trainSeconds),
        reduce: reduceSeconds,
        apply: secondsSince(committedAt),
      },
      stateDigest: ownDigest,
    };
  }

  /**
   * Saves a checkpoint where the config asks for one after this round; gives its folder, or null. Nothing may change
   * the tensors until it resolves.
   */
  async keepCheckpoint(epoch: number): Promise<string | null> {
    const { everyRounds, keep } = this.#local.checkpoint;
    const { round, stateDigest } = this.#replica.standing;
    if (everyRounds === 0 || (round % everyRounds !== 0 && round !== this.config.rounds)) return null;
    const { host, runId, checkpoints } = this.#options;
    const state = {
      runId,
      config: this.config,
      peerId: host.peerId,
      shard: this.#replica.shard,
      round,
      epoch,
      step: this.#replica.step,
      members: this.#members,
      stateDigest: stateDigest ?? "",
      random: this.#replica.random,
      createdBy: `gradmesh ${native.version()}`,
    };
    const { folder } = await saveCheckpoint(checkpoints, { state, ...this.#replica.tensors() }, { keep });
    return folder;
  }

  /** Measures no link any more, so that nothing is told after the end. */
  quiet(): void {
    this.#prober.close();
  }

  /** Ends the links first, so that a collective under way ends too. */
  async disconnect(): Promise<void> {
    this.quiet();
    await this.#links.close();
    this.#endpoint.close();
  }

  /** Frees the model, once no work is under way. */
  async close(): Promise<void> {
    await this.#trust?.close();
    this.#reducer.close();
    await this.#replica.close();
  }
}
