/**
 * Gossip: one round of averaging with the neighbours in a graph, without any barrier. Peers end with different bytes, each
 * has an anchor of its own.
 *
 * Sparse DiLoCo mixes the parameters: delta = anchor - sum W theta, then the outer optimizer on the own anchor; where all
 * are neighbours it is DiLoCo, but for rounding. NoLoCo (arXiv 2506.10911) mixes delta = anchor - theta and the anchor:
 * m = alpha m + beta mean(delta) + gamma (anchor - mean(anchor)), anchor -= m (we descend: our delta is minus the paper's).
 */
import { GradmeshError } from "../base/errors.js";
import type { ApplyAction, BeginAction } from "../strategy/strategy.js";
import { axpby, copy, subtract } from "../tensor/elements.js";
import type { Graph } from "../tensor/graph.js";
import type { NamedTensor } from "../tensor/layout.js";
import type { Communicator } from "./communicator.js";
import { exchangeKey, named } from "./contribution.js";
import type { Exchange, ExchangeReport, Flight } from "./exchange.js";
import { expectFinite } from "./finite.js";
import type { TrainerExchangeOptions } from "./gradient.js";
import { Norms } from "./measure.js";
import { createOuter, type OuterOptimizer } from "./outer.js";
import { rangeGraph } from "./ranges.js";
import { addReports } from "./reports.js";

export class MixExchange implements Exchange {
  readonly #options: TrainerExchangeOptions;
  readonly #topology: string;
  /** This peer's own; a joining peer goes on from its source's. */
  readonly #anchor: Float32Array;
  readonly #step: OuterOptimizer | NoLoCo;
  /** difference = from - what. */
  readonly #difference: Graph;
  /** sum = x times the first factor plus y times the second. */
  readonly #sum: Graph;
  readonly #norms: Norms;
  readonly #sent: readonly Float32Array[];
  readonly #mixed: readonly Float32Array[];
  readonly #delta: Float32Array;
  #carried: Float32Array | null = null;

  /** @throws ERR_CONFIG for a source or an outer optimizer that gossip has no rule for. */
  constructor(options: TrainerExchangeOptions) {
    this.#options = options;
    const { recipe, trainer, threads } = options;
    const { route, source, outer, strategy } = recipe;
    if (route.kind !== "mix" || (source === "deltaAndAnchor") !== (outer.kind === "noloco"))
      throw new GradmeshError(
        "ERR_CONFIG",
        `strategy "${strategy}" mixes ${source} with outer optimizer "${outer.kind}"; allowed: deltaAndAnchor with noloco, ` +
          "parameters with any other",
      );
    const elements = trainer.parameters.length;
    const whole = [{ begin: 0, elements }];
    const memory = () => new Float32Array(elements);
    this.#topology = route.topology;
    this.#anchor = memory();
    const pair = outer.kind === "noloco";
    this.#step = pair
      ? new NoLoCo(this.#anchor, outer, threads)
      : createOuter({ outer, anchor: this.#anchor, fragments: [whole], threads });
    this.#sent = pair ? [memory(), memory()] : [memory()];
    this.#mixed = pair ? [memory(), memory()] : [memory()];
    this.#delta = memory();
    this.#norms = new Norms(threads);
    this.#difference = rangeGraph(elements, whole, threads, (graph, views) => {
      subtract(graph, views.bucket("from"), views.bucket("what"), views.bucket("difference"));
    });
    this.#sum = rangeGraph(elements, whole, threads, (graph, views) => {
      const factors = views.scalars("factors", 2);
      axpby(graph, views.bucket("x"), views.bucket("y"), factors, views.bucket("sum"));
    });
  }

  get shared(): readonly NamedTensor[] {
    return [named("anchor", this.#anchor), ...this.#step.state];
  }

  get local(): readonly NamedTensor[] {
    return [];
  }

  async start(): Promise<void> {
    this.#anchor.set(this.#options.trainer.parameters);
    this.#step.start();
    this.#carried = null;
  }

  async adopted(): Promise<void> {
    this.#options.trainer.parameters.set(this.#anchor);
  }

  async restored(): Promise<void> {
    this.#options.trainer.parameters.set(this.#anchor);
  }

  async capture(begin: BeginAction): Promise<Flight> {
    const [sent, second] = this.#sent;
    await expectFinite(this.#options.trainer.parameters, "parameters");
    await (second === undefined ? this.#captureParameters(sent!) : this.#captureDelta(sent!));
    second?.set(this.#anchor);
    return {
      begin,
      // No two members have the same.
      results: [],
      communicate: (over, slots) => this.#communicate(begin, over, slots),
      apply: (action, over) => this.#apply(action, over),
    };
  }

  /** Work that was carried goes as far below the parameters as it once went. */
  async #captureParameters(target: Float32Array): Promise<void> {
    const { parameters } = this.#options.trainer;
    if (this.#carried === null) target.set(parameters);
    else
      await this.#sum.run({ x: this.#carried, y: parameters, factors: Float32Array.of(-1, 1), sum: target });
  }

  async #captureDelta(target: Float32Array): Promise<void> {
    const { parameters } = this.#options.trainer;
    const delta = this.#carried === null ? target : this.#delta;
    await this.#difference.run({ from: this.#anchor, what: parameters, difference: delta });
    if (this.#carried !== null)
      await this.#sum.run({ x: this.#carried, y: delta, factors: Float32Array.of(1, 1), sum: target });
  }

  async #communicate(begin: BeginAction, over: Communicator, slots: () => number): Promise<ExchangeReport> {
    const { up, topologyRound } = begin;
    const key = exchangeKey(this.#options, begin);
    const mixes = this.#sent.map((input, index) =>
      over.mix({
        slot: slots(),
        codec: up,
        key,
        input,
        output: this.#mixed[index]!,
        topology: this.#topology,
        topologyRound,
      }),
    );
    return addReports(await Promise.all(mixes));
  }

  async #apply(action: ApplyAction, over: Communicator): Promise<void> {
    const anchor = this.#anchor;
    const ranks = over.view.members.length;
    const [first, second] = this.#mixed;
    if (this.#step instanceof NoLoCo) await this.#step.apply(first!, second!);
    else {
      await this.#difference.run({ from: anchor, what: first!, difference: this.#delta });
      await this.#step.apply(0, this.#delta, action, { contributors: ranks, ranks });
    }
    this.#options.trainer.parameters.set(anchor);
    this.#carried = null;
  }

  /** What the round came to, with all that was carried before. */
  async carry(): Promise<number> {
    const carried = new Float32Array(this.#anchor.length);
    await this.#captureDelta(carried);
    this.#carried = carried;
    return Math.sqrt(await this.#norms.squared(carried));
  }

  keepCarried(): () => void {
    const kept = this.#carried;
    return () => {
      this.#carried = kept;
    };
  }

  dropCarried(): void {
    this.#carried = null;
  }

  inherit(from: Exchange): void {
    if (from instanceof MixExchange) this.#carried = from.#carried;
  }

  close(): void {
    for (const part of [this.#step, this.#difference, this.#sum, this.#norms]) part.close();
  }
}

/** NoLoCo's modified Nesterov step: what pulls anchors together needs no global mean. */
class NoLoCo {
  readonly #anchor: Float32Array;
  readonly #momentum: Float32Array;
  readonly #fromDelta: Float32Array;
  readonly #fromAnchor: Float32Array;
  readonly #graph: Graph;

  constructor(
    anchor: Float32Array,
    { alpha, beta, gamma }: { readonly alpha: number; readonly beta: number; readonly gamma: number },
    threads: number,
  ) {
    const elements = anchor.length;
    this.#anchor = anchor;
    this.#momentum = new Float32Array(elements);
    this.#fromDelta = Float32Array.of(beta, alpha);
    this.#fromAnchor = Float32Array.of(gamma, 1);
    this.#graph = rangeGraph(elements, [{ begin: 0, elements }], threads, (graph, views) => {
      const [own, momentum] = [views.bucket("anchor"), views.bucket("momentum")];
      const pushed = axpby(graph, views.bucket("delta"), momentum, views.scalars("fromDelta", 2));
      const apart = subtract(graph, own, views.bucket("meanAnchor"));
      const pulled = axpby(graph, apart, pushed, views.scalars("fromAnchor", 2));
      const moved = subtract(graph, own, pulled);
      copy(graph, pulled, momentum);
      copy(graph, moved, own);
    });
  }

  get state(): readonly NamedTensor[] {
    return [named("momentum", this.#momentum)];
  }

  start(): void {
    this.#momentum.fill(0);
  }

  async apply(delta: Float32Array, meanAnchor: Float32Array): Promise<void> {
    await this.#graph.run({
      anchor: this.#anchor,
      momentum: this.#momentum,
      delta,
      meanAnchor,
      fromDelta: this.#fromDelta,
      fromAnchor: this.#fromAnchor,
    });
  }

  close(): void {
    this.#graph.close();
  }
}
