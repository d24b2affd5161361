/**
 * Exchanges of pseudo-gradients (anchor minus parameters, we descend): DiLoCo and all that differ from it by slots alone:
 * fragments, coding, sender or owner feedback, weights, outer optimizer, overlap.
 */
import { fragmentRanges } from "../strategy/fragments.js";
import type { ApplyAction, BeginAction } from "../strategy/strategy.js";
import { add, axpby, copy, subtract } from "../tensor/elements.js";
import type { Graph } from "../tensor/graph.js";
import type { NamedTensor } from "../tensor/layout.js";
import type { Trainer } from "../trainer/trainer.js";
import type { Communicator } from "./communicator.js";
import { Contribution, type ContributionOptions, named } from "./contribution.js";
import type { Exchange, Flight } from "./exchange.js";
import { expectFinite } from "./finite.js";
import { Proximal } from "./local.js";
import { Norms } from "./measure.js";
import { createOuter, type OuterOptimizer } from "./outer.js";
import { type BucketRange, lengthOf, rangeGraph } from "./ranges.js";

export interface DeltaOptions extends ContributionOptions {
  readonly trainer: Trainer;
}

/** Memory and graphs of one fragment. */
interface Fragment {
  readonly contribution: Contribution;
  /** base - parameters, packed. */
  readonly delta: Float32Array;
  /** Work of rounds that this peer was too slow for; null: none. A crash loses it. */
  carried: Float32Array | null;
  readonly difference: Graph;
  /** delta = delta + carried. */
  readonly sum: Graph;
  /** parameters = mix parameters + (1 - mix) anchor. */
  readonly blend: Graph;
  /** target = anchor. */
  readonly reset: Graph;
}

export class DeltaExchange implements Exchange {
  /** theta_g: what all peers share, float32 [n]. */
  readonly anchor: Float32Array;
  readonly #options: DeltaOptions;
  /** Where this peer's work began: the anchor, or of one that syncs by its own speed its anchor then. */
  readonly #base: Float32Array;
  readonly #ownBase: boolean;
  readonly #fragments: readonly Fragment[];
  readonly #outer: OuterOptimizer;
  readonly #proximal: Proximal | null;
  readonly #norms: Norms;

  /** @throws ERR_CONFIG for slots that do not go together, or a trainer that lacks what they need. */
  constructor(options: DeltaOptions) {
    this.#options = options;
    const { recipe, trainer, threads } = options;
    const { layout, parameters } = trainer;
    this.anchor = new Float32Array(layout.elements);
    this.#ownBase = recipe.outer.kind === "delayedNesterov";
    this.#base = this.#ownBase ? new Float32Array(layout.elements) : this.anchor;
    const fragments = fragmentRanges(recipe.fragments, layout);
    this.#fragments = fragments.map((ranges) => this.#fragment(ranges));
    const { anchor } = this;
    this.#outer = createOuter({ outer: recipe.outer, anchor, fragments, threads });
    const { local } = recipe;
    this.#proximal =
      local.kind === "none" ? null : new Proximal({ mu: local.mu, anchor, parameters, trainer, threads });
    this.#norms = new Norms(threads);
  }

  #fragment(ranges: readonly BucketRange[]): Fragment {
    const { trainer, threads } = this.#options;
    const { elements } = trainer.layout;
    const size = lengthOf(ranges);
    const whole = [{ begin: 0, elements: size }];
    return {
      contribution: new Contribution(size, this.#options),
      delta: new Float32Array(size),
      carried: null,
      difference: rangeGraph(elements, ranges, threads, (graph, views) => {
        subtract(graph, views.bucket("base"), views.bucket("parameters"), views.packed("delta"));
      }),
      sum: rangeGraph(size, whole, threads, (graph, views) => {
        const sum = add(graph, views.bucket("delta"), views.bucket("carried"));
        copy(graph, sum, views.bucket("delta"));
      }),
      blend: rangeGraph(elements, ranges, threads, (graph, views) => {
        const factors = views.scalars("factors", 2);
        const blended = axpby(graph, views.bucket("parameters"), views.bucket("anchor"), factors);
        copy(graph, blended, views.bucket("parameters"));
      }),
      reset: rangeGraph(elements, ranges, threads, (graph, views) => {
        copy(graph, views.bucket("anchor"), views.bucket("target"));
      }),
    };
  }

  /** Each fragment's tensors of one kind, named apart. */
  #ofFragments(which: "shared" | "local"): NamedTensor[] {
    return this.#fragments.flatMap(({ contribution }, index) =>
      contribution[which].map(({ name, ...rest }) => ({ ...rest, name: `${name}.${index}` })),
    );
  }

  get shared(): readonly NamedTensor[] {
    return [named("anchor", this.anchor), ...this.#outer.state, ...this.#ofFragments("shared")];
  }

  get local(): readonly NamedTensor[] {
    const base = this.#ownBase ? [named("base", this.#base)] : [];
    return [...base, ...this.#ofFragments("local")];
  }

  get measures(): Readonly<Record<string, number>> {
    return this.#fragments[0]!.contribution.measures;
  }

  /** Of several fragments the one that came last counts. */
  setMeasures(measures: Readonly<Record<string, number>>): void {
    this.#fragments[0]!.contribution.setMeasures(measures);
  }

  async start(): Promise<void> {
    this.anchor.set(this.#options.trainer.parameters);
    this.#base.set(this.anchor);
    this.#outer.start();
    for (const { contribution } of this.#fragments) contribution.clear();
  }

  /** What feedback keeps and what was carried is this peer's own, and goes on being owed. */
  async adopted(): Promise<void> {
    this.#options.trainer.parameters.set(this.anchor);
    this.#base.set(this.anchor);
  }

  async restored(): Promise<void> {
    if (this.#followsAnchor) this.#options.trainer.parameters.set(this.anchor);
  }

  /** After each exchange the parameters are the anchor. */
  get #followsAnchor(): boolean {
    const { staleness } = this.#options.recipe;
    const whole = this.#fragments.length === 1;
    return whole && staleness.kind === "overlap" && staleness.mix === 0 && !this.#ownBase;
  }

  async adjustGradient(): Promise<void> {
    await this.#proximal?.adjust();
  }

  async capture(begin: BeginAction, communicator: Communicator): Promise<Flight> {
    const fragment = this.#fragments[begin.fragment]!;
    const { contribution } = fragment;
    await this.#difference(fragment);
    const input = await contribution.prepare(begin, fragment.delta, communicator);
    return {
      begin,
      results: [contribution.mean],
      communicate: (over, slots, last) => contribution.communicate(begin, input, over, slots, last),
      apply: (action, over) => this.#apply(begin, action, over),
      counted: (over) => contribution.commit(begin, over),
    };
  }

  /** Writes what this peer's inner steps came to, with what was carried. @throws ERR_DIVERGED where it is not finite. */
  async #difference(fragment: Fragment): Promise<void> {
    const { difference, delta, carried, sum } = fragment;
    const { parameters } = this.#options.trainer;
    await difference.run({ base: this.#base, parameters, delta });
    await expectFinite(delta, "pseudo-gradient");
    if (carried !== null) await sum.run({ delta, carried });
  }

  async #apply(begin: BeginAction, action: ApplyAction, over: Communicator): Promise<void> {
    const fragment = this.#fragments[begin.fragment]!;
    const { contribution, blend, reset } = fragment;
    const { parameters } = this.#options.trainer;
    const { anchor } = this;
    const { weights, mix } = action;
    const ranks = over.view.members.length;
    const contributors = weights === null ? ranks : weights.filter((weight) => weight > 0).length;
    await this.#outer.apply(action.fragment, contribution.mean, action, { contributors, ranks });
    contribution.commit(begin, over);
    const idle = weights?.[over.rank] === 0;
    // One that syncs by its own speed goes on from where it is; one that was not asked follows the anchor.
    if (idle && this.#ownBase) return;
    if (!idle) fragment.carried = null;
    if (mix === 0) await reset.run({ anchor, target: parameters });
    else await blend.run({ parameters, anchor, factors: Float32Array.of(mix, 1 - mix) });
    if (this.#ownBase) await reset.run({ anchor, target: this.#base });
  }

  /** All that the parameters moved from the base, also of fragments whose turn had not come. */
  async carry(): Promise<number> {
    let squares = 0;
    for (const fragment of this.#fragments) {
      await this.#difference(fragment);
      fragment.carried ??= new Float32Array(fragment.delta.length);
      fragment.carried.set(fragment.delta);
      squares += await this.#norms.squared(fragment.delta);
    }
    return Math.sqrt(squares);
  }

  keepCarried(): () => void {
    const kept = this.#fragments.map(({ carried }) => carried);
    return () => {
      for (const [index, carried] of kept.entries()) this.#fragments[index]!.carried = carried;
    };
  }

  dropCarried(): void {
    for (const fragment of this.#fragments) fragment.carried = null;
  }

  inherit(from: Exchange): void {
    if (!(from instanceof DeltaExchange)) return;
    for (const [index, { carried }] of from.#fragments.entries()) this.#fragments[index]!.carried = carried;
  }

  close(): void {
    for (const { contribution, difference, sum, blend, reset } of this.#fragments)
      for (const part of [contribution, difference, sum, blend, reset]) part.close();
    this.#outer.close();
    this.#proximal?.close();
    this.#norms.close();
  }
}
