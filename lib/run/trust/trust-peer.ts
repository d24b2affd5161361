/** A peer's part in a verified run from its registration on: its rounds, what it shows others, its disputes. */
import { secondsSince, systemClock } from "../../base/clock.js";
import { GradmeshError } from "../../base/errors.js";
import { Contributed } from "../../engine/contributed.js";
import type { LiveView } from "../../group/member.js";
import type { Account, Hash } from "../../ledger/events.js";
import { accountOfPeerId } from "../../ledger/sign.js";
import { native } from "../../native/load.js";
import type { Host } from "../../peer/host.js";
import { tensorsOf } from "../../verify/state.js";
import { type Opening, StateSource } from "../../verify/unit.js";
import { type CheatPlan, COPIED_SHARD } from "../cheat.js";
import type { RunConfig } from "../config.js";
import type { EventSink } from "../events.js";
import type { Replica } from "../replica.js";
import { DisputeDesk } from "./dispute-desk.js";
import { entryDigest } from "./entry.js";
import { PROOF_PROTOCOL, ProofClient, ProofServer } from "./proof-protocol.js";
import type { RunLedger } from "./run-ledger.js";
import { Stake } from "./stake.js";
import { shardOf } from "./standing.js";
import { peerCapabilities } from "./terms.js";
import { type MakeTrainer, TrainerPool } from "./trainer-pool.js";
import { VerifiedRounds } from "./verified-round.js";

/** Rounds whose results this peer remembers, as a referee: more than can be disputed. */
const RESULTS_KEPT = 8;
/**
 * A question has a quarter of a move's time or of a phase's, whichever is shorter: 7.5 s by default. That is for reaching the
 * other, waiting for its turn there, its recomputing of the state, and the sending of all of it.
 */
const ASKING_PART = 4;

export interface TrustPeerOptions {
  readonly ledger: RunLedger;
  readonly config: RunConfig;
  readonly host: Host;
  readonly device: string;
  readonly threads: number;
  readonly makeTrainer: MakeTrainer;
  readonly emit: EventSink;
  readonly cheat: CheatPlan | null;
}

type Member = LiveView["members"][number];

export class TrustPeer {
  readonly rounds: VerifiedRounds;
  readonly #options: TrustPeerOptions;
  readonly #desk: DisputeDesk;
  readonly #server: ProofServer;
  readonly #contributed: Contributed;
  readonly #stake: Stake;
  /** Digests of the aggregates of the last rounds. */
  readonly #results = new Map<number, Hash>();
  /** Members of the views so far, as they last were: where they are, and with which shard. */
  readonly #members = new Map<Account, Member>();
  #replica: Replica;
  readonly #pool: TrainerPool;

  private constructor(options: TrustPeerOptions, replica: Replica) {
    const { ledger, config, host, emit, cheat } = options;
    this.#options = options;
    this.#replica = replica;
    this.#pool = new TrainerPool(options.makeTrainer);
    const { engine } = replica;
    const unitSteps = engine.roundSteps;
    const { elements } = engine.trainer.layout;
    const { strategies } = engine;
    const { seed, rounds } = config;
    this.#contributed = new Contributed({
      strategies,
      seed,
      steps: rounds * unitSteps,
      elements,
      threads: options.threads,
    });
    const proofs = new ProofClient<{ readonly peerId: string; readonly addresses?: readonly string[] }>({
      ledgerId: ledger.id,
      like: tensorsOf(engine.trainer),
      limitMs: Math.min(config.trust.moveLimitMs, config.trust.limitMs) / ASKING_PART,
      clock: systemClock,
      connect: ({ peerId }, signal) => host.connect(this.#addressOf(peerId), PROOF_PROTOCOL, signal),
    });
    this.rounds = new VerifiedRounds({
      clock: systemClock,
      ledger,
      proofs,
      use: (shard, work) => this.#pool.use(shard, false, work),
      contributionOf: (round, shard, before, after) => this.#contributionOf(round, shard, before, after),
      freshen: () => this.#freshen(),
      restart: () => this.#replica.restart(),
      accuse: (accusation) => this.#desk.accuse(accusation),
      peerId: host.peerId,
      unitSteps,
      emit,
      ...(cheat?.kind === "accuse" ? { accusesFalsely: (round) => round + 1 === cheat.round } : {}),
      ...(cheat?.kind === "copy" ? { draws: (round) => this.#copied(cheat, round) } : {}),
    });
    this.#desk = new DisputeDesk({
      ledger,
      proofs,
      unitSteps,
      recorderOf: (round) => this.rounds.recorderOf(round),
      use: ({ round, worker }, work) =>
        this.#pool.use(this.#shardOf(round, worker), worker === ledger.account, work),
      contributionOf: (round, worker, before, after) =>
        this.#contributionOf(round, this.#shardOf(round, worker), before, after),
      resultOf: (round) => this.#results.get(round) ?? null,
      peerId: host.peerId,
      emit,
    });
    this.#server = new ProofServer({
      ledgerId: ledger.id,
      clock: systemClock,
      isMember: (peerId) => ledger.state.accounts.get(accountOfPeerId(peerId))?.registered === true,
      source: {
        opening: (round, transition, signal) => this.#opening(round, transition, signal),
        evidence: (dispute, operator) => this.#desk.evidence(dispute, operator),
      },
    });
    this.#stake = new Stake({
      ledger,
      least: BigInt(config.trust.stake),
      warn: (reason) =>
        emit({
          type: "warning",
          peer: host.peerId,
          round: ledger.state.nextRound,
          code: "ERR_LEDGER",
          reason,
        }),
    });
    this.rounds.attach(replica);
  }

  /** Passes the entry check, registers and lays down the stake, where that is not done. @throws ERR_LEDGER where it is refused. */
  static async join(options: TrustPeerOptions, replica: Replica, signal: AbortSignal): Promise<TrustPeer> {
    const peer = new TrustPeer(options, replica);
    const { host } = options;
    try {
      await host.handle(PROOF_PROTOCOL, (channel) => peer.#server.serve(channel));
      await peer.#register(signal);
      return peer;
    } catch (error) {
      await peer.close();
      throw error;
    }
  }

  async #register(signal: AbortSignal): Promise<void> {
    const { ledger, host, device } = this.#options;
    const wasRegistered = ledger.state.accounts.get(ledger.account)?.registered === true;
    if (!wasRegistered) {
      const trainer = await this.#options.makeTrainer(0, false);
      try {
        const entry = await entryDigest({ ledgerId: ledger.id, account: ledger.account, trainer, device });
        await ledger.submit(
          {
            kind: "Registered",
            capabilities: peerCapabilities,
            commission: 0,
            entry,
            name: host.peerId.slice(-8),
          },
          signal,
        );
      } finally {
        trainer.close();
      }
    }
    await this.#stake.lay(wasRegistered, signal);
  }

  /** Another shard's replica is this peer's from now on. */
  attach(replica: Replica): void {
    this.#replica = replica;
    this.rounds.attach(replica);
  }

  /** A round is committed: this peer has voted for this result. */
  committed(round: number, result: Hash): void {
    this.#results.set(round, result);
    this.#results.delete(round - RESULTS_KEPT);
  }

  /** Before a view's work. */
  see({ members }: LiveView): void {
    for (const member of members) this.#members.set(accountOfPeerId(member.peerId), member);
  }

  #addressOf(peerId: string) {
    const addresses = this.#members.get(accountOfPeerId(peerId))?.addresses ?? [];
    return addresses.length === 0 ? peerId : { peerId, addresses };
  }

  /** By the ledger: a peer may have another shard by now. */
  #shardOf(round: number, worker: Account): number {
    const shard = shardOf(this.#options.ledger.state, round, worker);
    if (shard !== null) return shard;
    throw new GradmeshError("ERR_INTERNAL", `the ledger names no shard of ${worker} in round ${round}`);
  }

  /** Whose data a copying peer trains on. */
  #copied(cheat: CheatPlan, round: number): Account | null {
    if (round + 1 < cheat.round) return null;
    return [...this.#members].find(([, { shard }]) => shard === COPIED_SHARD)?.[0] ?? null;
  }

  async #freshen(): Promise<void> {
    const fresh = await this.#options.makeTrainer(this.#replica.shard, false);
    try {
      const { trainer } = this.#replica.engine;
      for (const [index, { data }] of trainer.innerState.entries()) data.set(fresh.innerState[index]!.data);
      trainer.parametersChanged?.();
    } finally {
      fresh.close();
    }
  }

  async #opening(round: number, transition: number, signal: AbortSignal): Promise<Opening> {
    const recorder = this.rounds.recorderOf(round);
    if (recorder === null)
      throw new GradmeshError("ERR_INVALID_ARGUMENT", `the states of round ${round} are not kept`);
    return this.#pool.use(this.#replica.shard, true, async (trainer) => {
      const startedAt = performance.now();
      const opening = await new StateSource(recorder, trainer).open(transition, signal);
      this.rounds.seconds.serve += secondsSince(startedAt);
      return opening;
    });
  }

  async #contributionOf(
    round: number,
    shard: number,
    before: Float32Array,
    after: Float32Array,
  ): Promise<Hash> {
    const end = (round + 1) * this.#replica.engine.roundSteps;
    return native.digest([await this.#contributed.decoded({ before, after }, end, shard)]);
  }

  async close(): Promise<void> {
    this.#stake.close();
    this.#server.close();
    await this.#options.host.unhandle(PROOF_PROTOCOL);
    await this.#desk.close();
    this.#contributed.close();
    await this.#pool.close();
  }
}
