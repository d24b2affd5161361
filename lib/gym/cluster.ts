/**
 * N virtual peers that take a run's rounds: who is a member, what a round does to each, and when it is over. Whoever dies is
 * missed for the run's silenceLimitMs before the others begin the round again.
 */
import { canonicalDigest } from "../base/canonical-json.js";
import { GradmeshError } from "../base/errors.js";
import type { Exchanged, Trained } from "../engine/outcome.js";
import type { RunConfig } from "../run/config.js";
import type { StrategyView } from "../strategy/strategy.js";
import { attemptRound } from "./attempt.js";
import { MICROSECONDS } from "./clock.js";
import { agree, nextDeath } from "./coordinator.js";
import { checkEqual } from "./lockstep.js";
import type { EngineMaker } from "./maker.js";
import { VirtualNetwork } from "./network.js";
import { VirtualPeer } from "./peer.js";
import { PlanSets } from "./plans.js";
import { type Fate, fateOf, type PeerProfile } from "./profile.js";
import { type PeerEvent, type RoundReport, reportRound } from "./round-report.js";
import { leftOut } from "./slow.js";
import { transferState } from "./transfer.js";

export interface ClusterOptions {
  readonly maker: EngineMaker;
  /** By shard. */
  readonly profiles: readonly PeerProfile[];
  readonly config: RunConfig;
}

/** As a snapshot keeps it, beside the peers' own. */
export interface ClusterState {
  readonly round: number;
  readonly epoch: number;
}

export class Cluster {
  /** By shard. */
  readonly peers: readonly VirtualPeer[];
  readonly #options: ClusterOptions;
  readonly #plans = new PlanSets();
  /** The last view's network, by its members. */
  #network: { readonly key: string; readonly network: VirtualNetwork } | null = null;
  #round = 0;
  #epoch = 0;
  #events: PeerEvent[] = [];
  #stateBytes = 0;

  constructor(options: ClusterOptions) {
    this.#options = options;
    this.peers = options.profiles.map((profile, shard) => new VirtualPeer(shard, profile));
  }

  /** By rank. */
  get members(): readonly VirtualPeer[] {
    return this.peers.filter(({ status }) => status === "member");
  }
  /** Rounds committed. */
  get round(): number {
    return this.#round;
  }
  /** Whether a snapshot would hold everything: work of a peer that rests is in none. */
  get settled(): boolean {
    return this.peers.every(({ status }) => status !== "resting");
  }
  get state(): ClusterState {
    return { round: this.#round, epoch: this.#epoch };
  }

  /** The state that peers and engines were given is that of this round. */
  resume({ round, epoch }: ClusterState): void {
    this.#round = round;
    this.#epoch = epoch;
  }

  /** When the last member is done, in microseconds. */
  #now(): number {
    return Math.max(0, ...this.members.map(({ clock }) => clock.now));
  }

  #tell(peer: VirtualPeer, change: PeerEvent["change"], more: Pick<PeerEvent, "norm"> = {}): void {
    this.#epoch += 1;
    const seconds = peer.clock.now / MICROSECONDS;
    this.#events.push({ round: this.#round, peer: peer.id, change, seconds, ...more });
  }

  #view(members: readonly VirtualPeer[]): StrategyView {
    const { seed, rounds } = this.#options.config;
    const steps = rounds * members[0]!.engine.roundSteps;
    return { epoch: this.#epoch, members: members.map(({ member }) => member), seed, steps, measures: {} };
  }

  #networkOf(members: readonly VirtualPeer[]): VirtualNetwork {
    const key = members.map(({ shard }) => shard).join();
    if (this.#network?.key !== key)
      this.#network = { key, network: new VirtualNetwork(members.map(({ profile }) => profile)) };
    return this.#network.network;
  }

  /** Starts those who are there from the beginning. @throws as their trainers and engines do. */
  async gather(): Promise<void> {
    for (const peer of this.peers) {
      if (peer.comesRound > 0) continue;
      peer.start(await this.#options.maker.engine(peer.shard));
      peer.status = "member";
    }
  }

  /** Of the state that all members hold, as a run's peers tell it; where they differ by the method, of all their states. */
  async digest(): Promise<string> {
    const engines = this.members.map(({ engine }) => engine);
    if (engines[0]!.equal) return engines[0]!.digest();
    return canonicalDigest(await Promise.all(engines.map((engine) => engine.digest())));
  }

  /** Takes one round. @throws as engines do; ERR_RUN_ENDED when nobody is there. */
  async take(): Promise<RoundReport> {
    this.#events = [];
    this.#stateBytes = 0;
    await this.#open();
    const { seed } = this.#options.config;
    const fates = new Map(
      this.members.map((peer) => [peer, fateOf(peer.profile, seed, peer.shard, this.#round)]),
    );
    for (const [{ clock }, { slowness }] of fates) clock.begin(slowness);
    const trained = await Promise.all(this.members.map((peer) => this.#train(peer)));
    this.#leaveOutSlow(trained);
    const { outcomes, retried } = await this.#exchange(fates);
    return this.#close(outcomes, retried);
  }

  /** The boundary before a round: who comes, who is back, who goes. */
  async #open(): Promise<void> {
    const now = this.#now();
    const holders = this.members;
    const coming = this.peers.filter(
      ({ status, comesRound }) => status === "away" && comesRound <= this.#round,
    );
    const back = this.peers.filter(({ status, clock }) => status === "resting" && clock.now <= now);
    for (const peer of coming) {
      peer.start(await this.#options.maker.engine(peer.shard));
      peer.clock.come(now);
    }
    const norms = new Map<VirtualPeer, number | null>();
    for (const peer of back) {
      norms.set(peer, await peer.engine.carry());
      peer.clock.waitUntil(now);
    }
    const targets = [...coming, ...back];
    if (holders.length > 0 && targets.length > 0) await this.#transfer(holders[0]!, targets);
    for (const peer of targets) {
      peer.status = "member";
      const norm = norms.get(peer);
      if (norm === undefined) this.#tell(peer, "joined");
      else this.#tell(peer, "back", { norm });
    }
    for (const peer of this.members) await this.#maybeLeave(peer);
    if (this.members.length === 0 || holders.length === 0)
      throw new GradmeshError(
        "ERR_RUN_ENDED",
        `no peer is there for round ${this.#round + 1}; let one join earlier, or leave later`,
      );
  }

  async #transfer(source: VirtualPeer, targets: readonly VirtualPeer[]): Promise<void> {
    const { segmentElements } = this.#options.config.network;
    const options = { plans: this.#plans, segmentElements, round: this.#round };
    this.#stateBytes += await transferState(source, targets, options);
  }

  async #maybeLeave(peer: VirtualPeer): Promise<void> {
    const { leaveRound } = peer.profile;
    if (leaveRound === null || leaveRound > this.#round) return;
    peer.status = "gone";
    this.#tell(peer, "left");
    await peer.stop();
  }

  async #train(peer: VirtualPeer): Promise<Trained> {
    const trained = await peer.engine.train();
    peer.clock.computed(trained.steps);
    return trained;
  }

  /** A peer that is left out goes on with its steps; its clock tells when they are done. */
  #leaveOutSlow(trained: readonly Trained[]): void {
    const { network, peersMin } = this.#options.config;
    const { members } = this;
    // Where steps come only after the exchanges, there is nothing to wait for yet.
    if (trained.every(({ steps }) => steps === 0)) return;
    const finishers = members.map(({ clock, spared }) => ({ at: clock.now, spared }));
    for (const index of leftOut(finishers, network.slowLimitMs * 1000, peersMin)) {
      const peer = members[index]!;
      peer.status = "resting";
      peer.spared = true;
      this.#tell(peer, "slow");
    }
  }

  /** The round's exchanges, begun again without each member that dies in them. */
  async #exchange(
    fates: ReadonlyMap<VirtualPeer, Fate>,
  ): Promise<{ outcomes: readonly Exchanged[]; retried: number }> {
    const { segmentElements, silenceLimitMs } = this.#options.config.network;
    let retried = 0;
    for (;;) {
      const { members } = this;
      const death = nextDeath(members, fates);
      const outcome = await attemptRound({
        view: this.#view(members),
        members,
        network: this.#networkOf(members),
        plans: this.#plans,
        segmentElements,
        death,
      });
      if (outcome.kind === "done") return { outcomes: outcome.outcomes, retried };
      retried += outcome.bytesSent;
      await this.#bury(members[death!.rank]!);
      for (const { clock, shard } of this.members) {
        clock.begin(fates.get(this.peers[shard]!)!.slowness);
        clock.set(outcome.at + silenceLimitMs * 1000);
      }
      agree(this.members);
    }
  }

  async #bury(peer: VirtualPeer): Promise<void> {
    const { returnRounds } = peer.profile.faults;
    peer.status = returnRounds === null ? "gone" : "away";
    peer.comesRound = this.#round + (returnRounds ?? 0);
    peer.spared = false;
    this.#tell(peer, "died");
    await peer.stop();
  }

  /** The commit, and what the round came to. */
  async #close(outcomes: readonly Exchanged[], retried: number): Promise<RoundReport> {
    const { members } = this;
    const engines = members.map(({ engine }) => engine);
    if (engines[0]!.equal) checkEqual(outcomes, this.#view(members).members);
    agree(this.members);
    await Promise.all(engines.map((engine) => engine.apply()));
    for (const peer of members) peer.spared = false;
    this.#round += 1;
    return reportRound({
      round: this.#round,
      members,
      outcomes,
      retried,
      state: this.#stateBytes,
      digest: await this.digest(),
      events: this.#events,
    });
  }

  async close(): Promise<void> {
    for (const peer of this.peers) await peer.stop();
    this.#plans.close();
  }
}
