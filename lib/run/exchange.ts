/** What a peer does with one view: catch others up or be caught up, take the inner steps, exchange, and vote. */
import { canonicalDigest } from "../base/canonical-json.js";
import { secondsSince } from "../base/clock.js";
import { asGradmeshError, GradmeshError } from "../base/errors.js";
import type { Prober } from "../group/link-prober.js";
import type { LiveView, Member } from "../group/member.js";
import { native } from "../native/load.js";
import type { Reducer } from "../reduce/all-reduce.js";
import type { Endpoint } from "../reduce/endpoint.js";
import type { StrategyView } from "../strategy/strategy.js";
import { LiveCommunicator } from "./communicator.js";
import type { RunConfig } from "./config.js";
import type { EventSink } from "./events.js";
import { Fault, type FaultPlan } from "./fault.js";
import { OperationNumbers } from "./operations.js";
import type { Replica } from "./replica.js";
import { RoundReduce } from "./round-reduce.js";
import { StateTransfer } from "./state-transfer.js";
import { emptyResult } from "./trust/standing.js";
import type { TrustPeer } from "./trust/trust-peer.js";

/** What the current round has cost so far. */
export interface RoundAccount {
  round: number;
  /** performance.now() when its inner steps began, and the replica's seconds of inner steps then. */
  startedAt: number;
  trainSecondsBefore: number;
  /** Inner steps that are done; null while those before its first exchange are not. */
  steps: number | null;
  /** Mean loss of its inner steps so far. */
  loss: number;
  /** It was told what the inner steps came to. */
  told: boolean;
  /** Payload and framing, failed attempts and state transfers included. */
  bytesSent: number;
  /** The part of it that failed attempts sent. */
  bytesRetried: number;
  /** Native seconds of the collectives that gave the result. */
  reduceSeconds: number;
  /** The round may commit with this peer's contribution in it, also where it never hears so. */
  mayCount: boolean;
}

export interface ExchangeOptions {
  replica: Replica;
  reducer: Reducer;
  endpoint: Endpoint;
  member: Member;
  runId: string;
  /** This peer's id. */
  self: string;
  /** The run's, of every random choice. */
  seed: number;
  /** Of the whole run. */
  rounds: number;
  network: RunConfig["network"];
  /** Measures the links while this does not need them. */
  prober: Prober;
  fault: FaultPlan | null;
  /** Of a verified run: what is committed, checked and compared in each round; else null. */
  trust: TrustPeer | null;
  emit: EventSink;
}

export class Exchange {
  readonly #options: ExchangeOptions;
  readonly #reducing: RoundReduce;
  readonly #numbers: OperationNumbers;
  readonly #transfer: StateTransfer;
  readonly #fault: Fault | null;
  /** Collectives under way, which the prober stays out of. */
  #busy = 0;
  #account: RoundAccount;

  constructor(options: ExchangeOptions) {
    this.#options = options;
    this.#reducing = new RoundReduce(options);
    const { engine } = options.replica;
    this.#numbers = new OperationNumbers(engine.strategies, engine.roundSteps);
    this.#transfer = new StateTransfer({ ...options, numbers: this.#numbers });
    this.#fault = options.fault === null ? null : new Fault(options.fault, options.endpoint);
    this.#account = emptyAccount(-1);
  }

  /** The account of the round that the last view was of. */
  get account(): RoundAccount {
    return this.#account;
  }

  /**
   * Works through one view and votes. A failure of the network is a vote; an aborted view is silence.
   * @throws what this peer cannot go on from: its trainer failed, or what it would send is not finite.
   */
  async run(view: LiveView): Promise<void> {
    const { replica, member, self } = this.#options;
    const { epoch, round } = view;
    if (view.signal.aborted) return;
    if (this.#account.round !== view.round) {
      await this.carryOver(view);
      this.#account = emptyAccount(view.round);
      this.#reducing.forget();
    }
    const target = view.sync?.targets.includes(self) ?? false;
    if (target && !(await this.#receiveState(view))) return;
    if (replica.standing.round !== view.round)
      throw new GradmeshError(
        "ERR_INTERNAL",
        `this peer is at round ${replica.standing.round}, and the view of epoch ${view.epoch} is of round ${view.round}`,
      );
    if (view.sync?.source === self) await this.#sendState(view);
    const counts = await this.#work(view);
    if (view.signal.aborted) return;
    if (counts) await this.#exchange(view);
    else member.vote({ epoch, round, outcome: "done", resultDigest: emptyResult(round) });
  }

  /** The inner steps, in a verified run with all that must be agreed on about them; whether they count. */
  async #work(view: LiveView): Promise<boolean> {
    const { trust, replica } = this.#options;
    if (trust === null) {
      await this.#train(view);
      return true;
    }
    for (;;) {
      await this.#unlessVoid(view, trust.rounds.open(view));
      if (view.signal.aborted) return false;
      await this.#train(view);
      const cleared = await this.#unlessVoid(view, trust.rounds.clear(view, replica));
      if (cleared !== "void" || view.signal.aborted) return cleared === "accepted";
    }
  }

  /** Whatever fails in a view that is void by then does not matter. */
  async #unlessVoid<Result>({ signal }: LiveView, part: Promise<Result>): Promise<Result | null> {
    try {
      return await part;
    } catch (error) {
      if (!signal.aborted) throw error;
      return null;
    }
  }

  /**
   * The last view's round is over for this peer. Work on it that no result can hold, because this peer was too slow,
   * goes into its next contribution; work that may be in one is never sent again.
   */
  async carryOver(view: LiveView): Promise<void> {
    const { replica, network, self, emit } = this.#options;
    const { round, steps, mayCount } = this.#account;
    if (mayCount) replica.engine.dropCarried();
    if (network.slowLimitMs === 0 || steps === null || mayCount) return;
    const norm = await replica.engine.carry();
    if (norm !== null) emit({ type: "carried", peer: self, from: round, into: view.round, steps, norm });
  }

  async #train(view: LiveView): Promise<void> {
    const { replica, member } = this.#options;
    const { epoch, round } = view;
    if (this.#account.startedAt === 0) {
      this.#account.startedAt = performance.now();
      this.#account.trainSecondsBefore = replica.trainSeconds;
    }
    const { steps, loss } = await replica.engine.train();
    member.finished({ epoch, round });
    this.#account.steps = steps;
    if (steps === replica.engine.roundSteps) this.#tellTrained(steps, loss);
  }

  /** Once, when all inner steps of the round are done. */
  #tellTrained(steps: number, loss: number): void {
    const { self, emit } = this.#options;
    const { round, told } = this.#account;
    this.#account.steps = steps;
    this.#account.loss = loss;
    this.#account.told = true;
    if (!told && steps > 0)
      emit({ type: "trained", peer: self, round, loss, steps, seconds: this.trainSeconds });
  }

  /** Of the round's inner steps so far. */
  get trainSeconds(): number {
    return this.#options.replica.trainSeconds - this.#account.trainSecondsBefore;
  }

  async #exchange(view: LiveView): Promise<void> {
    const { replica, member, network } = this.#options;
    const { epoch, round } = view;
    // A salvaged result may hold what others got before a failure; an exact one only what this peer has voted for, and
    // of an earlier view of the round nothing is committed any more.
    this.#account.mayCount = network.onLoss === "salvage";
    const over = this.#communicator(view);
    try {
      const { loss, steps, results } = await replica.engine.exchange(over);
      this.#account.bytesSent += over.traffic.bytesSent;
      this.#account.reduceSeconds = over.traffic.seconds;
      this.#tellTrained(steps, loss);
      const resultDigest = await this.#resultDigest(view, results);
      if (view.signal.aborted) {
        this.#account.bytesRetried += over.traffic.bytesSent;
        return;
      }
      this.#account.mayCount = true;
      member.vote({ epoch, round, outcome: "done", resultDigest });
    } catch (error) {
      const mine = over.failure === null && !view.signal.aborted;
      await over.end(asGradmeshError(error));
      this.#account.bytesSent += over.traffic.bytesSent;
      this.#account.bytesRetried += over.traffic.bytesSent;
      if (mine) throw error;
      this.#voteFailed(view, over.failure ?? asGradmeshError(error));
    }
  }

  #communicator(live: LiveView): LiveCommunicator {
    const { replica, reducer, network, self, seed, rounds, trust } = this.#options;
    const { epoch, members } = live;
    // The engine knows what was measured.
    const view: StrategyView = {
      epoch,
      members: members.map(({ peerId, shard, samples }) => ({ peerId, shard, samples })),
      seed,
      steps: rounds * replica.engine.roundSteps,
      measures: {},
    };
    this.#fault?.enter(live.round);
    return new LiveCommunicator({
      live,
      view,
      rank: members.findIndex(({ peerId }) => peerId === self),
      reducer,
      reducing: this.#reducing,
      numbers: this.#numbers,
      network,
      ...(trust === null ? {} : { inspect: (gathered) => trust.rounds.inspect(live, gathered) }),
      began: (operation) => {
        this.#useLinks();
        this.#fault?.began(operation);
      },
      ended: (steps) => {
        this.#freeLinks();
        this.#fault?.ended(steps);
      },
    });
  }

  #useLinks(): void {
    this.#busy += 1;
    this.#options.prober.pause();
  }

  #freeLinks(): void {
    this.#busy -= 1;
    if (this.#busy === 0) this.#options.prober.resume();
  }

  /** What members compare: the result, or where each has another one by the method, that they took part. */
  async #resultDigest({ round, members }: LiveView, results: readonly Float32Array[]): Promise<string> {
    const { replica, runId } = this.#options;
    if (replica.engine.equal && results.length > 0) return native.digest([...results]);
    return canonicalDigest({ runId, round, members: members.map(({ peerId }) => peerId) });
  }

  #voteFailed(view: LiveView, error: GradmeshError): void {
    const { member, self, emit } = this.#options;
    const { epoch, round } = view;
    const failure = failureOf(view, error);
    emit({ type: "failed", peer: self, epoch, round, ...failure });
    if (!view.signal.aborted) member.vote({ epoch, round, outcome: "failed", ...failure });
  }

  /** The joiners tell the coordinator whether it worked; the source just goes on with its round. */
  async #sendState(view: LiveView): Promise<void> {
    const { replica, self, emit } = this.#options;
    this.#useLinks();
    try {
      this.#account.bytesSent += await this.#transfer.send(view, replica.engine.roundStart);
    } catch (error) {
      const { epoch, round } = view;
      const failure = asGradmeshError(error);
      this.#account.bytesSent += failure.detail.bytesSent ?? 0;
      emit({ type: "failed", peer: self, epoch, round, ...failureOf(view, failure) });
    } finally {
      this.#freeLinks();
    }
  }

  /** False when the state could not be had; the coordinator then lets this peer wait for the next boundary. */
  async #receiveState(view: LiveView): Promise<boolean> {
    const { replica, member, self, emit } = this.#options;
    const { epoch, round } = view;
    const { source } = view.sync!;
    const startedAt = performance.now();
    let bytes = 0;
    this.#useLinks();
    try {
      await replica.adopt(round, async (shared) => {
        bytes = await this.#transfer.receive(view, shared);
      });
    } catch (error) {
      if (!view.signal.aborted) member.syncFailed({ epoch, round, reason: asGradmeshError(error).message });
      return false;
    } finally {
      this.#freeLinks();
    }
    member.synced({ epoch, round, stateDigest: replica.standing.stateDigest ?? "" });
    const seconds = secondsSince(startedAt);
    emit({ type: "synced", peer: self, round, source, bytes, seconds });
    return true;
  }
}

/** What to say of a failure: why the view is void, where it is, for its cancelled work knows only that it was cancelled. */
function failureOf(view: LiveView, error: GradmeshError): { code: string; lost: string[]; reason: string } {
  const { code, message, detail } = view.signal.aborted ? asGradmeshError(view.signal.reason) : error;
  return { code, lost: [...(detail.peers ?? [])], reason: message };
}

function emptyAccount(round: number): RoundAccount {
  return {
    round,
    startedAt: 0,
    trainSecondsBefore: 0,
    steps: null,
    loss: Number.NaN,
    told: false,
    bytesSent: 0,
    bytesRetried: 0,
    reduceSeconds: 0,
    mayCount: false,
  };
}
