/**
 * The way of a tensor to its mean: what feedback kept goes in, the recipe's collective takes it, members agree on norms and
 * signal where the recipe asks for it.
 */
import { GradmeshError } from "../base/errors.js";
import { openCodec } from "../native/codec.js";
import type { Recipe } from "../strategy/recipe.js";
import type { BeginAction, StrategyView } from "../strategy/strategy.js";
import type { NamedTensor } from "../tensor/layout.js";
import type { Communicator } from "./communicator.js";
import type { ExchangeReport } from "./exchange.js";
import { SenderFeedback } from "./feedback.js";
import { clipToMedianNorm, measureSignal, Norms } from "./measure.js";
import { chunkBlock, OwnerFeedback } from "./owner.js";
import { addReports } from "./reports.js";
import { RobustAggregator } from "./robust.js";

export interface ContributionOptions {
  readonly recipe: Recipe;
  readonly seed: number;
  /** Which of the run's strategies it is of. */
  readonly index: number;
  readonly threads: number;
}

/** Strategies of one run key their random numbers apart by their index. */
const STRATEGIES_MAX = 16;

/** Of an exchange's codec and draws: the same on all members, another for each exchange of each strategy. */
export function exchangeKey(
  { seed, index }: Pick<ContributionOptions, "seed" | "index">,
  { exchange }: BeginAction,
): { seed: number; step: number } {
  return { seed, step: exchange * STRATEGIES_MAX + index };
}

export const named = (name: string, data: Float32Array): NamedTensor => ({
  name,
  shape: [data.length],
  data,
});

/** A peer's weight in the mean. */
export function shareOf({ weights }: BeginAction, { members }: StrategyView, rank: number): number {
  if (weights === null) return 1 / members.length;
  return weights[rank]! / weights.reduce((sum, weight) => sum + weight, 0);
}

/** A strategy's actions that do not go with its recipe. */
export function unexpectedCollective({ strategy, source }: Recipe, collective: string): GradmeshError {
  return new GradmeshError("ERR_INTERNAL", `strategy "${strategy}" sends its ${source} by "${collective}"`);
}

export class Contribution {
  /** What the members agreed on, float32 [n]. */
  readonly mean: Float32Array;
  readonly #options: ContributionOptions;
  readonly #feedback: SenderFeedback | null;
  readonly #owner: OwnerFeedback | null;
  readonly #norms: Norms;
  readonly #robust: RobustAggregator | null;
  readonly #signal = new Float32Array(1);

  constructor(elements: number, options: ContributionOptions) {
    this.#options = options;
    const { recipe, threads } = options;
    const { feedback, coding, aggregate } = recipe;
    this.mean = new Float32Array(elements);
    this.#feedback = feedback.kind === "none" ? null : new SenderFeedback(elements, feedback.decay, threads);
    this.#owner =
      coding.ownerFeedback === null ? null : new OwnerFeedback(elements, coding.ownerFeedback, threads);
    this.#norms = new Norms(threads);
    this.#robust = aggregate.kind === "robust" ? new RobustAggregator(aggregate, threads) : null;
  }

  get shared(): readonly NamedTensor[] {
    return this.#options.recipe.measure === null ? [] : [named("signal", this.#signal)];
  }

  get local(): readonly NamedTensor[] {
    return [
      ...(this.#feedback === null ? [] : [named("feedback", this.#feedback.state)]),
      ...(this.#owner === null ? [] : [named("owner", this.#owner.state)]),
    ];
  }

  get measures(): Readonly<Record<string, number>> {
    // Before the first exchange, and where nothing was sent, there is none.
    return this.#signal[0] === 0 ? {} : { signal: this.#signal[0]! };
  }

  setMeasures({ signal }: Readonly<Record<string, number>>): void {
    if (signal !== undefined) this.#signal[0] = signal;
  }

  /** Nothing is kept of earlier rounds. */
  clear(): void {
    for (const { data } of this.local) data.fill(0);
  }

  /**
   * What this peer contributes for x, float32 [n], which is taken over: an owner's residue whose chunk is another's now is
   * added in place. With feedback the result is in memory of its own. No state changes.
   */
  async prepare(begin: BeginAction, x: Float32Array, { rank, view }: Communicator): Promise<Float32Array> {
    const { up, down, weights } = begin;
    const block = chunkBlock(openCodec(up), openCodec(down ?? up));
    await this.#owner?.fold(x, rank, view.members.length, block, shareOf(begin, view, rank));
    // One that sends nothing leaves its feedback as it is.
    if (this.#feedback === null || weights?.[rank] === 0) return x;
    return this.#feedback.prepare(x, up, { ...exchangeKey(this.#options, begin), rank });
  }

  /** Writes `mean`. @param input what prepare() gave; it stays as it is. */
  async communicate(
    begin: BeginAction,
    input: Float32Array,
    over: Communicator,
    slots: () => number,
    last: boolean,
  ): Promise<ExchangeReport> {
    const { recipe } = this.#options;
    const { aggregate, measure } = recipe;
    const { collective, up, down, weights } = begin;
    if (collective === "mix" || collective === "powersgd") throw unexpectedCollective(recipe, collective);
    const reports: ExchangeReport[] = [];
    let sent = input;
    if (aggregate.kind === "medianNormClip") {
      const clipped = await clipToMedianNorm(this.#norms, input, over, slots());
      reports.push(clipped.report);
      sent = clipped.sent;
    }
    const call = {
      slot: slots(),
      codec: up,
      key: exchangeKey(this.#options, begin),
      input: sent,
      output: this.mean,
    };
    const reduced =
      this.#robust?.run(call, over) ??
      over.allReduce({
        ...call,
        collective,
        down,
        weights,
        owner: this.#owner?.call() ?? null,
        // What a failed attempt finished was coded under other ranks than feedback is kept for.
        last: last && measure === null && this.#feedback === null,
      });
    reports.push(await reduced);
    if (measure === null) return addReports(reports);
    const measured = await measureSignal(this.#norms, input, this.mean, over, slots());
    return { ...addReports([...reports, measured.report]), measures: { signal: measured.signal } };
  }

  /** The round took it: what feedback keeps is what was left out. */
  commit({ weights }: BeginAction, { rank, view }: Communicator): void {
    this.#owner?.commit(rank, view.members.length);
    if (weights?.[rank] !== 0) this.#feedback?.commit();
  }

  close(): void {
    this.#feedback?.close();
    this.#owner?.close();
    this.#norms.close();
    this.#robust?.close();
  }
}
