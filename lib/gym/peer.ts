/** One virtual peer: its profile, its clock, and while it lives the engine with its trainer. */
import { GradmeshError } from "../base/errors.js";
import type { Engine } from "../engine/engine.js";
import type { StrategyMember } from "../strategy/strategy.js";
import { type ClockState, PeerClock } from "./clock.js";
import type { PeerProfile } from "./profile.js";

/**
 * away: it has not come yet, or died and may come back. resting: it was left out of a round as too slow, and is still at
 * its inner steps. gone: for good.
 */
export type PeerStatus = "away" | "member" | "resting" | "gone";

/** As a snapshot keeps it. */
export interface PeerState {
  readonly status: PeerStatus;
  readonly clock: ClockState;
  readonly spared: boolean;
  readonly comesRound: number;
}

export class VirtualPeer {
  readonly profile: PeerProfile;
  readonly shard: number;
  status: PeerStatus = "away";
  clock: PeerClock;
  /** It was left out since it last contributed, so that the next round waits for it. */
  spared = false;
  /** Of one that is away: the round in which it comes. */
  comesRound: number;
  #engine: Engine | null = null;

  constructor(shard: number, profile: PeerProfile) {
    this.shard = shard;
    this.profile = profile;
    this.comesRound = profile.joinRound;
    this.clock = new PeerClock(profile.secondsPerStep);
  }

  get id(): string {
    return `peer-${this.shard}`;
  }

  /** @throws ERR_INTERNAL while it is not there. */
  get engine(): Engine {
    if (this.#engine === null) throw new GradmeshError("ERR_INTERNAL", `${this.id} is not there`);
    return this.#engine;
  }

  get member(): StrategyMember {
    return { peerId: this.id, shard: this.shard, samples: this.engine.trainer.samples ?? 1 };
  }

  /** Its process begins. */
  start(engine: Engine): void {
    this.#engine = engine;
  }

  /** Its process ends; what only it had is lost. */
  async stop(): Promise<void> {
    const engine = this.#engine;
    this.#engine = null;
    await engine?.close();
  }

  get state(): PeerState {
    const { status, clock, spared, comesRound } = this;
    return { status, clock: clock.state, spared, comesRound };
  }

  restore({ status, clock, spared, comesRound }: PeerState): void {
    this.status = status;
    this.clock = new PeerClock(this.profile.secondsPerStep, clock);
    this.spared = spared;
    this.comesRound = comesRound;
  }
}
