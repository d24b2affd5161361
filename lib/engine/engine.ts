/**
 * One peer's training state: a trainer, the run's strategies, and how far both have come. A round is a transaction: inner
 * steps that need no network, then exchanges with the members of a view, then, once the coordinator has committed it,
 * what had to wait for that. Until the commit the exchanges can begin again with other members.
 */
import { secondsSince } from "../base/clock.js";
import { native } from "../native/load.js";
import { roundSteps } from "../strategy/list.js";
import type { Strategy, StrategyView } from "../strategy/strategy.js";
import type { NamedTensor } from "../tensor/layout.js";
import type { Evaluation, Trainer } from "../trainer/trainer.js";
import { Attempt } from "./attempt.js";
import { type Communicator, SLOTS_PER_EXCHANGE } from "./communicator.js";
import { createExchange } from "./create.js";
import type { Exchange } from "./exchange.js";
import { addLoss, InnerSteps, type LossSum, meanOf, type StepWatcher } from "./inner-steps.js";
import type { Exchanged, Standing, Trained } from "./outcome.js";
import { addReports } from "./reports.js";
import { Savepoint } from "./savepoint.js";
import { everyTensor, localTensors, parametersFollow, sharedTensors, sharesBytes } from "./state.js";
import { actionsAt, planRound, type RoundPlan } from "./timeline.js";
import { evaluateAt } from "./trainer-work.js";

export type { StepWatcher } from "./inner-steps.js";
export type { Exchanged, Standing, Trained } from "./outcome.js";

export interface EngineOptions {
  readonly trainer: Trainer;
  readonly strategies: readonly Strategy[];
  /** The run's. */
  readonly seed: number;
  readonly threads: number;
  /** False: `standing` has no digest, which costs as much as reading the state; digest() makes one. Default: true. */
  readonly digests?: boolean;
}

/** Rounds that a strategy may begin with and that differ from later ones, and as many more. */
const ROUNDS_UNLIKE = 4;

export class Engine {
  readonly trainer: Trainer;
  readonly strategies: readonly Strategy[];
  /** Inner steps between two commits. */
  readonly roundSteps: number;
  /** Whether every strategy promises the same shared bytes on all members. */
  readonly equal: boolean;
  readonly #digests: boolean;
  readonly #exchanges: readonly (Exchange | null)[];
  readonly #inner: InnerSteps;
  /** Made when a round first needs one. */
  #savepoint: Savepoint | null = null;
  /** With the savepoint: what puts back what was carried then. */
  #carriedThen: readonly (() => void)[] = [];
  /** Of the shared tensors at the round's start, where inner steps change them. */
  #origin: Savepoint | null = null;
  #standing: Standing = { round: 0, stateDigest: null };
  #plan: RoundPlan;
  #training: { round: number; outcome: Promise<Trained & { sum: LossSum }> } | null = null;
  #attempt: Attempt | null = null;
  /** The attempt came to its end, and only the commit is missing. */
  #complete = false;

  private constructor(options: EngineOptions) {
    const { trainer, strategies, seed, threads, digests = true } = options;
    this.trainer = trainer;
    this.#digests = digests;
    this.strategies = strategies;
    this.roundSteps = roundSteps(strategies);
    this.equal = sharesBytes(strategies);
    this.#exchanges = strategies.map(({ recipe }, index) =>
      createExchange({ recipe, trainer, seed, index, threads }),
    );
    this.#inner = new InnerSteps(trainer, strategies, this.#exchanges);
    this.#plan = this.#planOf(0);
  }

  /** An engine at round 0; its state is what the trainer starts from. @throws ERR_CONFIG. */
  static async create(options: EngineOptions): Promise<Engine> {
    const engine = new Engine(options);
    for (const exchange of engine.#exchanges) await exchange?.start();
    await engine.#settle(0);
    return engine;
  }

  /** What it holds now, whole at every moment: it changes only once a new state and its digest are complete. */
  get standing(): Standing {
    return this.#standing;
  }
  /** Inner steps of the run at the start of the round: the position in the shard's data. */
  get step(): number {
    return this.#standing.round * this.roundSteps;
  }
  /** Collectives that a round may number, the same on every peer: of the first rounds, after which all are alike. */
  get slotsPerRound(): number {
    const plans = Array.from({ length: ROUNDS_UNLIKE }, (_, round) => this.#planOf(round));
    return Math.max(...plans.map(({ exchanges }) => exchanges)) * SLOTS_PER_EXCHANGE;
  }
  /** What every member holds in the same bytes, where `equal`, and a joining peer receives: live views, in this order. */
  get shared(): readonly NamedTensor[] {
    return sharedTensors(this.trainer, this.strategies, this.#exchanges);
  }
  /** What a joining peer is sent: the shared tensors as they were when the round began, whatever it has changed since. */
  get roundStart(): readonly NamedTensor[] {
    if (this.#origin?.taken) return this.#origin.copiesOf(this.shared);
    return this.#savepoint?.taken ? this.#savepoint.copiesOf(this.shared) : this.shared;
  }
  /** What else a checkpoint of this peer keeps: live views. */
  get local(): readonly NamedTensor[] {
    return localTensors(this.trainer, this.strategies, this.#exchanges);
  }
  /** What the members agreed on in their last exchanges. */
  get measures(): Readonly<Record<string, number>> {
    return Object.assign({}, ...this.#exchanges.map((exchange) => exchange?.measures ?? {}));
  }

  #planOf(round: number): RoundPlan {
    return planRound(this.strategies, round * this.roundSteps, (round + 1) * this.roundSteps);
  }

  #digest(round: number): Promise<string> {
    const tensors = this.shared.map(({ data }) => data);
    return native.digest([...tensors, new Float64Array([round])]);
  }

  /** Of the shared tensors and the round, between two rounds: what `standing` tells, where it does. */
  digest(): Promise<string> {
    return this.#digest(this.#standing.round);
  }

  async #settle(round: number): Promise<void> {
    const stateDigest = this.#digests ? await this.#digest(round) : null;
    this.#standing = { round, stateDigest };
    this.#plan = this.#planOf(round);
  }

  /** Mean loss over the validation data, at the anchor where the strategy has one. */
  async evaluate(signal?: AbortSignal): Promise<Evaluation> {
    return evaluateAt(this.trainer, this.anchor, signal);
  }

  /** The parameters that all members share, where they are not the trainer's own; a live view. */
  get anchor(): Float32Array | null {
    if (this.strategies.some(({ recipe }) => parametersFollow(recipe))) return null;
    const anchors = this.#exchanges.filter((exchange) => exchange?.anchor !== undefined);
    return anchors.length === 1 ? anchors[0]!.anchor! : null;
  }

  /**
   * Takes the inner steps before the round's first exchange, once: a second call, with other members, gives the same
   * outcome. They need no network.
   */
  train(): Promise<Trained> {
    return this.#train();
  }

  #train(): Promise<Trained & { sum: LossSum }> {
    const { round } = this.#standing;
    if (this.#training?.round !== round) this.#training = { round, outcome: this.#takeSteps(this.#plan) };
    return this.#training.outcome;
  }

  async #takeSteps({ start, trainedTo }: RoundPlan): Promise<Trained & { sum: LossSum }> {
    const startedAt = performance.now();
    const { shared } = this;
    if (trainedTo > start && shared.some(({ data }) => data === this.trainer.parameters)) {
      this.#origin ??= new Savepoint(shared);
      this.#origin.take();
    }
    const sum: LossSum = { loss: 0, steps: 0 };
    for (let step = start; step < trainedTo; step += 1)
      addLoss(sum, await this.#inner.whole(step, step + 1 === trainedTo));
    return { ...meanOf(sum), sum, seconds: secondsSince(startedAt) };
  }

  /**
   * The rest of the round up to its commit: collectives with the communicator's members, and inner steps between them.
   * After a failure it may be called again, with another communicator: it begins again at the first exchange.
   * @throws as the communicator does; what fails in the trainer is not the network's.
   */
  async exchange(over: Communicator): Promise<Exchanged> {
    const { sum: before } = await this.#train();
    await this.#attempt?.settled();
    this.#rewind();
    const attempt = new Attempt(this.#exchanges, over);
    this.#attempt = attempt;
    this.#complete = false;
    const sum = { ...before };
    const { start, end, trainedTo, exchanges } = this.#plan;
    const view: StrategyView = { ...over.view, measures: this.measures };
    const at = (step: number) => actionsAt(this.strategies, step, view);
    if (trainedTo === start) await attempt.begin(at(start).opening);
    for (let step = Math.max(trainedTo, start); step <= end; step += 1) {
      const { gradient, boundary, opening } = at(step);
      if (step > trainedTo) await this.#exchangeStep(step, gradient, attempt, over, view, sum);
      if (step === start) continue;
      await attempt.begin(boundary.begins, step === end && exchanges === 1);
      await attempt.apply(boundary.applies, step === end);
      if (boundary.applies.length > 0 && step < end) this.trainer.parametersChanged?.();
      if (step < end) await attempt.begin(opening);
    }
    attempt.checkDone();
    this.#complete = true;
    return { ...meanOf(sum), ...addReports(attempt.reports), results: await this.#results(attempt) };
  }

  /** One inner step with what its gradient is exchanged for. */
  async #exchangeStep(
    step: number,
    gradient: ReturnType<typeof actionsAt>["gradient"],
    attempt: Attempt,
    over: Communicator,
    view: StrategyView,
    sum: LossSum,
  ): Promise<void> {
    const { end, defersUpdate, exchanges } = this.#plan;
    const trains = this.strategies.every((one) => one.trains?.(step - 1, view, over.rank) ?? true);
    const inner = this.#inner;
    if (trains) {
      addLoss(sum, inner.split ? await inner.gradient(step - 1) : await inner.whole(step - 1, true));
      over.clock?.computed();
    }
    if (!inner.split) return;
    const deferred = step === end && defersUpdate;
    await attempt.begin(gradient.begins, deferred && exchanges === 1);
    await attempt.apply(gradient.applies, deferred);
    const update = async () => {
      if (trains) await inner.update(step - 1);
      this.trainer.parametersChanged?.();
    };
    if (deferred) attempt.defer(update);
    else await update();
  }

  /** What the members compare: the last exchanges' results, and where the state has changed already, that. */
  async #results(attempt: Attempt): Promise<readonly Float32Array[]> {
    if (!this.#plan.needsSavepoint) return attempt.results;
    return [...this.shared.map(({ data }) => data), ...attempt.results];
  }

  /** State is as it was when the round's first exchange began. */
  #rewind(): void {
    if (!this.#plan.needsSavepoint) return;
    this.#savepoint ??= new Savepoint(everyTensor(this.trainer, this.shared, this.local));
    if (this.#savepoint.taken) {
      this.#savepoint.restore();
      for (const putBack of this.#carriedThen) putBack();
      this.trainer.parametersChanged?.();
    } else {
      this.#savepoint.take();
      this.#carriedThen = this.#exchanges.flatMap((exchange) => exchange?.keepCarried?.() ?? []);
    }
  }

  /** After the commit: takes what waited for it; the round is over. */
  async apply(): Promise<void> {
    const { round } = this.#standing;
    await this.#attempt?.finish();
    this.trainer.parametersChanged?.();
    this.#attempt = null;
    this.#savepoint?.drop();
    this.#origin?.drop();
    this.#training = null;
    await this.#settle(round + 1);
  }

  /**
   * The round goes on without this peer: what it would have sent goes into its next contribution, until a round commits
   * with it. Gives the Euclidean norm of it, or null where there is nothing to keep.
   */
  async carry(): Promise<number | null> {
    await this.train();
    await this.#attempt?.settled();
    // Of a round with several exchanges: what this peer did before the first, all others' results aside.
    this.#rewind();
    const norms: number[] = [];
    for (const [index, exchange] of this.#exchanges.entries()) {
      if (this.strategies[index]!.recipe.membership.late === "nothing") continue;
      norms.push((await exchange?.carry?.()) ?? 0);
    }
    const norm = Math.hypot(...norms);
    if (norm > 0) return norm;
    this.#forgetCarried();
    return null;
  }

  /** What was carried, and what feedback sent, may be in a round that this peer did not see commit: nothing counts twice. */
  dropCarried(): void {
    this.#forgetCarried();
    // Of a round whose state is put back, feedback is as it was at its start.
    if (this.#complete && !this.#plan.needsSavepoint) this.#attempt?.counted();
  }

  #forgetCarried(): void {
    for (const exchange of this.#exchanges) exchange?.dropCarried?.();
  }

  /** Takes over what an engine with another shard had carried. */
  inherit(from: Engine): void {
    for (const [index, exchange] of this.#exchanges.entries()) {
      const other = from.#exchanges[index];
      if (exchange !== null && other != null) exchange.inherit?.(other);
    }
  }

  /** It holds no state of the run from now on, until `adopt` or `restore`. */
  forget(): void {
    this.#standing = { round: -1, stateDigest: null };
  }

  /**
   * From the next round on, each inner step takes its data from this and is seen by it; only between rounds.
   * @throws ERR_UNSUPPORTED where a strategy sends or changes gradients.
   */
  watch(watcher: StepWatcher): void {
    this.#inner.watch(watcher);
  }

  /** Lets `receive` write a live peer's state of `round` into the shared tensors, and goes on from there. */
  async adopt(round: number, receive: (shared: readonly NamedTensor[]) => Promise<void>): Promise<void> {
    await this.#attempt?.settled();
    // Of an attempt that goes on without this peer: what it took from feedback was not sent.
    if (this.#savepoint?.taken) this.#savepoint.restore();
    await this.#quiet();
    this.forget();
    await receive(this.shared);
    for (const exchange of this.#exchanges) await exchange?.adopted();
    this.trainer.parametersChanged?.();
    await this.#settle(round);
  }

  /** Lets `read` write a state of `round` into the shared and the local tensors: exactly what was saved. */
  async restore(
    round: number,
    read: (shared: readonly NamedTensor[], local: readonly NamedTensor[]) => Promise<void>,
  ): Promise<void> {
    await this.#quiet();
    this.forget();
    await read(this.shared, this.local);
    for (const exchange of this.#exchanges) await exchange?.restored?.();
    this.trainer.parametersChanged?.();
    await this.#settle(round);
  }

  /** Nothing writes to the state any more. */
  async #quiet(): Promise<void> {
    await this.#training?.outcome.catch(() => {});
    await this.#attempt?.settled();
    this.#training = null;
    this.#attempt = null;
    this.#savepoint?.drop();
    this.#origin?.drop();
  }

  /** Frees everything but the trainer's data; also closes the trainer. */
  async close(): Promise<void> {
    await this.#quiet();
    for (const exchange of this.#exchanges) exchange?.close();
    this.trainer.close();
  }
}
