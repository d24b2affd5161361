/** What a peer does with one view: catch others up or be caught up, take the inner steps, all-reduce, and vote. */
import { constants } from "node:os";
import { asGradmeshError, GradmeshError } from "../base/errors.js";
import type { Prober } from "../group/link-prober.js";
import type { LiveView, Member } from "../group/member.js";
import { native } from "../native/load.js";
import type { ReduceReport, Reducer } from "../reduce/all-reduce.js";
import type { Endpoint } from "../reduce/endpoint.js";
import type { RunConfig } from "./config.js";
import type { EventSink } from "./events.js";
import type { Replica, Trained } from "./replica.js";
import { RoundReduce } from "./round-reduce.js";

/** For tests and the demo: in round `round`'s all-reduce, after `steps` steps, this process gets `signal`. */
export interface FaultPlan {
  /** From 1, as people count rounds. */
  round: number;
  steps: number;
  signal: NodeJS.Signals;
}

/** What the current round has cost so far. */
export interface RoundAccount {
  round: number;
  trained: Trained | null;
  /** performance.now() when the inner steps were done. */
  trainedAt: number;
  /** Payload and framing, failed attempts and state transfers included. */
  bytesSent: number;
  /** The part of it that failed attempts sent. */
  bytesRetried: number;
  /** Native seconds of the collective that gave the result. */
  reduceSeconds: number;
  /** The round may commit with this peer's contribution in it, also where it never hears so. */
  mayCount: boolean;
}

export interface ExchangeOptions {
  replica: Replica;
  reducer: Reducer;
  endpoint: Endpoint;
  member: Member;
  /** This peer's id. */
  self: string;
  network: RunConfig["network"];
  /** Measures the links while this does not need them. */
  prober: Prober;
  fault: FaultPlan | null;
  emit: EventSink;
}

/** Collectives of one view, in the order of their operation ids. */
const operations = { anchor: 0, momentum: 1, kept: 2, reduce: 3 } as const;
const OPERATIONS_PER_ROUND = 4;

/** Ascends with epoch, round and kind; below 2^53 for 2^21 epochs of 2^30 rounds. */
function operationId(view: LiveView, kind: keyof typeof operations): number {
  return view.epoch * 2 ** 32 + view.round * OPERATIONS_PER_ROUND + operations[kind];
}

const sentBytes = (report: ReduceReport) => report.bytesSent + report.bytesFraming;

export class Exchange {
  readonly #options: ExchangeOptions;
  readonly #reducing: RoundReduce;
  #account: RoundAccount;

  constructor(options: ExchangeOptions) {
    this.#options = options;
    this.#reducing = new RoundReduce(options);
    this.#account = emptyAccount(-1);
  }

  /** The account of the round that the last view was of. */
  get account(): RoundAccount {
    return this.#account;
  }

  /**
   * Works through one view and votes. A failure of the network is a vote; an aborted view is silence.
   * @throws what this peer cannot go on from: its trainer failed, or its pseudo-gradient is not finite.
   */
  async run(view: LiveView): Promise<void> {
    const { replica, self } = this.#options;
    if (view.signal.aborted) return;
    if (this.#account.round !== view.round) {
      this.carryOver(view);
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
    await this.#train(view);
    if (!view.signal.aborted) await this.#reduce(view);
  }

  /**
   * The last view's round is over for this peer. Work on it that no result can hold, because this peer was too slow,
   * goes into its next contribution; work that may be in one is never sent again.
   */
  carryOver(view: LiveView): void {
    const { replica, network, self, emit } = this.#options;
    const { round, trained, mayCount } = this.#account;
    if (mayCount) replica.dropCarried();
    if (network.slowLimitMs === 0 || trained === null || mayCount) return;
    const norm = replica.carryOver();
    emit({ type: "carried", peer: self, from: round, into: view.round, steps: trained.steps, norm });
  }

  async #train(view: LiveView): Promise<void> {
    const { replica, member, self, emit } = this.#options;
    const { epoch, round } = view;
    const trained = await replica.train();
    member.finished({ epoch, round });
    if (this.#account.trained !== null) return;
    this.#account.trained = trained;
    this.#account.trainedAt = performance.now();
    emit({ type: "trained", peer: self, round: view.round, ...trained });
    if (!(await native.allFinite(replica.delta)))
      throw new GradmeshError(
        "ERR_DIVERGED",
        `this peer's pseudo-gradient of round ${view.round} has NaN or infinite elements; lower the learning rate, or look at its data`,
      );
  }

  async #reduce(view: LiveView): Promise<void> {
    const { replica, endpoint, member, network, fault } = this.#options;
    const operation = operationId(view, "reduce");
    if (fault !== null && fault.round === view.round + 1)
      endpoint.fault(operation, fault.steps, constants.signals[fault.signal]);
    const { epoch, round } = view;
    // A salvaged result may hold what others got before a failure; an exact one only what this peer has voted for, and
    // of an earlier view of the round nothing is committed any more.
    this.#account.mayCount = network.onLoss === "salvage";
    // A peer may wait for slower ones as long as the run's rule for a round allows.
    const waiting = { limitMs: network.roundLimitMs };
    this.#options.prober.pause();
    try {
      const report = await this.#reducing.run(view, {
        kept: { ...this.#call(view, operationId(view, "kept")), ...waiting },
        // The members' votes decide whether all are done.
        reduce: { ...this.#call(view, operation), ...waiting, agree: false },
      });
      this.#account.bytesSent += sentBytes(report);
      this.#account.reduceSeconds = report.seconds;
      const resultDigest = await native.digest([replica.mean]);
      if (!view.signal.aborted) {
        this.#account.mayCount = true;
        member.vote({ epoch, round, outcome: "done", resultDigest });
      }
    } catch (error) {
      this.#voteFailed(view, asGradmeshError(error));
    } finally {
      this.#options.prober.resume();
    }
  }

  #voteFailed(view: LiveView, error: GradmeshError): void {
    const { member, self, emit } = this.#options;
    const { epoch, round } = view;
    const sent = error.detail.bytesSent ?? 0;
    this.#account.bytesSent += sent;
    this.#account.bytesRetried += sent;
    const failure = failureOf(view, error);
    emit({ type: "failed", peer: self, epoch, round, ...failure });
    if (!view.signal.aborted) member.vote({ epoch, round, outcome: "failed", ...failure });
  }

  /** What the calls of one view have in common. */
  #call(view: LiveView, operation: number) {
    const { self, network } = this.#options;
    return {
      view,
      rank: view.members.findIndex(({ peerId }) => peerId === self),
      operation,
      segmentElements: network.segmentElements,
      limitMs: network.operationLimitMs,
      signal: view.signal,
    };
  }

  /** Anchor and momentum, one broadcast each; `mean` stands in for the buffer that a side does not need. */
  async #transfer(view: LiveView, shared: readonly Float32Array[], sending: boolean): Promise<number> {
    const { replica, reducer, prober } = this.#options;
    const { source, targets } = view.sync!;
    let bytes = 0;
    this.#reducing.forget();
    prober.pause();
    try {
      for (const [index, kind] of (["anchor", "momentum"] as const).entries()) {
        const tensor = shared[index]!;
        // `mean` is free until the round's all-reduce.
        const [input, output] = sending ? [tensor, replica.mean] : [replica.mean, tensor];
        const report = await reducer.broadcast({
          ...this.#call(view, operationId(view, kind)),
          members: [source, ...targets],
          root: source,
          input,
          output,
        });
        bytes += sending ? sentBytes(report) : report.bytesReceived;
      }
    } finally {
      prober.resume();
    }
    return bytes;
  }

  /** The joiners tell the coordinator whether it worked; the source just goes on with its round. */
  async #sendState(view: LiveView): Promise<void> {
    const { replica, self, emit } = this.#options;
    try {
      this.#account.bytesSent += await this.#transfer(view, replica.shared, true);
    } catch (error) {
      const { epoch, round } = view;
      emit({ type: "failed", peer: self, epoch, round, ...failureOf(view, asGradmeshError(error)) });
    }
  }

  /** False when the state could not be had; the coordinator then lets this peer wait for the next boundary. */
  async #receiveState(view: LiveView): Promise<boolean> {
    const { replica, member, self, emit } = this.#options;
    const { epoch, round } = view;
    const { source } = view.sync!;
    const startedAt = performance.now();
    let bytes = 0;
    try {
      await replica.adopt(round, async (shared) => {
        bytes = await this.#transfer(view, shared, false);
      });
    } catch (error) {
      if (!view.signal.aborted) member.syncFailed({ epoch, round, reason: asGradmeshError(error).message });
      return false;
    }
    member.synced({ epoch, round, stateDigest: replica.standing.stateDigest ?? "" });
    const seconds = (performance.now() - startedAt) / 1000;
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
    trained: null,
    trainedAt: 0,
    bytesSent: 0,
    bytesRetried: 0,
    reduceSeconds: 0,
    mayCount: false,
  };
}
