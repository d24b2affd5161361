/**
 * Exchanges of parameters, which the members' mean replaces: local SGD of all of them (arXiv 1805.09767), SPARTA of a few,
 * drawn anew for each exchange by the run's seed, so that no byte is spent on which; or a part of the bucket in turn.
 *
 * Where inner steps pass between sending and applying, a peer keeps what they changed: x = mean + (x - what it sent).
 */
import { native } from "../native/load.js";
import type { Range } from "../reduce/tensor.js";
import { fragmentRanges, randomCount } from "../strategy/fragments.js";
import type { ApplyAction, BeginAction } from "../strategy/strategy.js";
import { GraphBuilder } from "../tensor/builder.js";
import { add, axpby, gather, scatter, subtract } from "../tensor/elements.js";
import type { Graph } from "../tensor/graph.js";
import type { Communicator } from "./communicator.js";
import { exchangeKey, unexpectedCollective } from "./contribution.js";
import type { Exchange, ExchangeReport, Flight } from "./exchange.js";
import { expectFinite } from "./finite.js";
import type { TrainerExchangeOptions } from "./gradient.js";
import { lengthOf, rangeGraph } from "./ranges.js";
import { RobustAggregator } from "./robust.js";

/** Moves the elements of one exchange between the parameters and a packed tensor. */
interface Selection {
  readonly elements: number;
  read(packed: Float32Array): Promise<void>;
  write(packed: Float32Array): Promise<void>;
}

export class ParameterExchange implements Exchange {
  readonly shared = [];
  readonly local = [];
  readonly #options: TrainerExchangeOptions;
  readonly #ranges: readonly (readonly Range[])[];
  readonly #random: RandomElements | null;
  readonly #robust: RobustAggregator | null;
  /** By the elements of a fragment. */
  readonly #corrections = new Map<number, Graph>();

  /** @throws ERR_CONFIG where the model cannot be cut as the recipe says. */
  constructor(options: TrainerExchangeOptions) {
    this.#options = options;
    const { recipe, trainer, threads } = options;
    const { fragments, aggregate } = recipe;
    this.#robust = aggregate.kind === "robust" ? new RobustAggregator(aggregate, threads) : null;
    this.#ranges = fragmentRanges(fragments, trainer.layout);
    this.#random =
      fragments.kind === "random" ? new RandomElements(trainer.parameters, fragments.share, threads) : null;
  }

  async start(): Promise<void> {}
  async adopted(): Promise<void> {}

  async capture(begin: BeginAction): Promise<Flight> {
    const key = exchangeKey(this.#options, begin);
    const selection = (await this.#random?.draw(key.seed, key.step)) ?? this.#part(begin.fragment);
    // Several exchanges may be under way, each with memory of its own.
    const [sent, mean] = [new Float32Array(selection.elements), new Float32Array(selection.elements)];
    await selection.read(sent);
    await expectFinite(sent, "parameters");
    return {
      begin,
      results: [mean],
      communicate: (over, slots, last) => this.#communicate(begin, sent, mean, over, slots(), last),
      apply: (action) => this.#apply(action, selection, sent, mean),
    };
  }

  #part(fragment: number): Selection {
    const { parameters } = this.#options.trainer;
    const ranges = this.#ranges[fragment]!;
    const each = (move: (own: Float32Array, place: number) => void) => {
      let place = 0;
      for (const { begin, elements } of ranges) {
        move(parameters.subarray(begin, begin + elements), place);
        place += elements;
      }
    };
    return {
      elements: lengthOf(ranges),
      read: async (packed) => each((own, place) => packed.set(own, place)),
      write: async (packed) => each((own, place) => own.set(packed.subarray(place, place + own.length))),
    };
  }

  async #communicate(
    begin: BeginAction,
    input: Float32Array,
    output: Float32Array,
    over: Communicator,
    slot: number,
    last: boolean,
  ): Promise<ExchangeReport> {
    const { collective, up, down, weights } = begin;
    if (collective === "mix" || collective === "powersgd")
      throw unexpectedCollective(this.#options.recipe, collective);
    const call = { slot, codec: up, key: exchangeKey(this.#options, begin), input, output };
    return (
      this.#robust?.run(call, over) ??
      over.allReduce({ ...call, collective, down, weights, owner: null, last })
    );
  }

  async #apply(
    { mix }: ApplyAction,
    selection: Selection,
    sent: Float32Array,
    mean: Float32Array,
  ): Promise<void> {
    const { staleness } = this.#options.recipe;
    const moved = staleness.kind !== "overlap" || staleness.steps > 0;
    if (!moved && mix === 0) return selection.write(mean);
    const [current, result] = [new Float32Array(selection.elements), new Float32Array(selection.elements)];
    await selection.read(current);
    const mixing = Float32Array.of(mix, 1 - mix);
    await this.#correction(selection.elements).run({ current, sent, mean, mixing, result });
    return selection.write(result);
  }

  /** result = mix current + (1 - mix) (mean + (current - sent)). */
  #correction(elements: number): Graph {
    const graph =
      this.#corrections.get(elements) ??
      rangeGraph(elements, [{ begin: 0, elements }], this.#options.threads, (built, views) => {
        const current = views.bucket("current");
        const kept = subtract(built, current, views.bucket("sent"));
        const corrected = add(built, views.bucket("mean"), kept);
        axpby(built, current, corrected, views.scalars("mixing", 2), views.bucket("result"));
      });
    this.#corrections.set(elements, graph);
    return graph;
  }

  close(): void {
    this.#random?.close();
    this.#robust?.close();
    for (const graph of this.#corrections.values()) graph.close();
  }
}

/** A share of the parameters, the same on all members, drawn natively. */
class RandomElements {
  readonly #parameters: Float32Array;
  readonly #count: number;
  readonly #gather: Graph;
  readonly #scatter: Graph;

  constructor(parameters: Float32Array, share: number, threads: number) {
    this.#parameters = parameters;
    this.#count = randomCount(share, parameters.length);
    const views = (graph: GraphBuilder) => ({
      whole: graph.view(graph.binding("parameters", parameters.length), [parameters.length]),
      packed: graph.view(graph.binding("packed", this.#count), [this.#count]),
      index: graph.view(graph.binding("index", this.#count, "i32"), [this.#count]),
    });
    const [reading, writing] = [new GraphBuilder(), new GraphBuilder()];
    const from = views(reading);
    gather(reading, from.whole, from.index, from.packed);
    this.#gather = reading.build(threads);
    const to = views(writing);
    scatter(writing, to.packed, to.index, to.whole);
    this.#scatter = writing.build(threads);
  }

  async draw(seed: number, stream: number): Promise<Selection> {
    const parameters = this.#parameters;
    const index = new Int32Array(this.#count);
    await native.sampleIndices(seed, stream, parameters.length, index);
    return {
      elements: this.#count,
      read: (packed) => this.#gather.run({ parameters, packed, index }),
      write: (packed) => this.#scatter.run({ parameters, packed, index }),
    };
  }

  close(): void {
    this.#gather.close();
    this.#scatter.close();
  }
}
