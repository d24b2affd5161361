/**
 * PowerSGD (arXiv 1905.13727): a matrix of gradients M travels as two thin factors. P = M Q is summed over the members and
 * made orthonormal, then Q = M^T P is; the mean gradient is P Q^T. Each member keeps M - P Q^T and adds it to the next
 * gradient; Q is where the next step's power iteration begins. Two all-reduces a step, one buffer each; vectors, and
 * matrices whose factors would be no shorter, travel as they are with the first.
 */
import { GradmeshError } from "../base/errors.js";
import { native } from "../native/load.js";
import { type FactoredTensor, type FactorPlan, planFactors } from "../strategy/factors.js";
import type { ApplyAction, BeginAction } from "../strategy/strategy.js";
import { GraphBuilder } from "../tensor/builder.js";
import { axpby, dot, subtract } from "../tensor/elements.js";
import type { Graph } from "../tensor/graph.js";
import type { NamedTensor } from "../tensor/layout.js";
import type { Communicator } from "./communicator.js";
import { exchangeKey, named } from "./contribution.js";
import type { Exchange, ExchangeReport, Flight } from "./exchange.js";
import { expectFinite } from "./finite.js";
import { stepOf, type TrainerExchangeOptions } from "./gradient.js";
import { gradientsOf } from "./local.js";
import type { OuterOptimizer } from "./outer.js";
import { type BucketRange, rangeGraph } from "./ranges.js";
import { addReports } from "./reports.js";

/** A matrix with the places of its factors: P in the first buffer, Q in the second, floats from their starts. */
interface Placed extends FactoredTensor {
  readonly left: number;
  readonly right: number;
}

export class PowerSgdExchange implements Exchange {
  readonly #options: TrainerExchangeOptions;
  readonly #plan: FactorPlan;
  readonly #matrices: readonly Placed[];
  readonly #gradients: Float32Array;
  /** M - P Q^T of the last step; zero where tensors travel as they are. */
  readonly #residue: Float32Array;
  /** Every matrix's Q, [rank][columns] each: the same on all members. */
  readonly #right: Float32Array;
  /** Random directions, for a start and in place of what has become zero. */
  readonly #fresh: Float32Array;
  /** The gradients with the residue, and what comes of them, [n] each. */
  readonly #whole: Float32Array;
  readonly #mean: Float32Array;
  readonly #first: { readonly input: Float32Array; readonly output: Float32Array };
  readonly #second: { readonly input: Float32Array; readonly output: Float32Array };
  readonly #step: OuterOptimizer;
  readonly #graphs: FactorGraphs | null;

  /** @throws ERR_CONFIG for a trainer that shows no gradients. */
  constructor(options: TrainerExchangeOptions) {
    this.#options = options;
    const { recipe, trainer, threads } = options;
    if (recipe.route.kind !== "powersgd")
      throw new GradmeshError("ERR_INTERNAL", `strategy "${recipe.strategy}" has no rank for PowerSGD`);
    this.#gradients = gradientsOf(trainer);
    const elements = this.#gradients.length;
    this.#plan = planFactors(trainer.layout, recipe.route.rank);
    this.#matrices = placed(this.#plan);
    const memory = (length: number) => ({
      input: new Float32Array(length),
      output: new Float32Array(length),
    });
    this.#residue = new Float32Array(elements);
    this.#whole = new Float32Array(elements);
    this.#mean = new Float32Array(elements);
    this.#first = memory(this.#plan.firstElements);
    this.#second = memory(this.#plan.secondElements);
    this.#right = new Float32Array(this.#plan.secondElements);
    this.#fresh = new Float32Array(this.#plan.secondElements);
    this.#step = stepOf(options, this.#gradients);
    this.#graphs = this.#matrices.length === 0 ? null : new FactorGraphs(elements, this.#matrices, threads);
  }

  get shared(): readonly NamedTensor[] {
    return [...this.#step.state, ...(this.#graphs === null ? [] : [named("right", this.#right)])];
  }

  get local(): readonly NamedTensor[] {
    const { feedback } = this.#options.recipe;
    return feedback.kind === "none" || this.#graphs === null ? [] : [named("feedback", this.#residue)];
  }

  async start(): Promise<void> {
    this.#step.start();
    this.#residue.fill(0);
    await this.#drawFresh();
    this.#right.set(this.#fresh);
  }

  /** What the residue keeps is this peer's own, and goes on being owed. */
  async adopted(): Promise<void> {}

  async #drawFresh(): Promise<void> {
    const { seed, index } = this.#options;
    if (this.#graphs !== null) await native.randomNormal(seed, index, 0, 1, this.#fresh);
  }

  async capture(begin: BeginAction): Promise<Flight> {
    const { feedback } = this.#options.recipe;
    const [gradients, residue, whole] = [this.#gradients, this.#residue, this.#whole];
    await expectFinite(gradients, "gradient");
    whole.set(gradients);
    if (feedback.kind !== "none")
      await this.#graphs?.add.run({ residue, gradients, factors: Float32Array.of(feedback.decay, 1), whole });
    return {
      begin,
      results: [this.#mean],
      communicate: (over, slots, last) => this.#communicate(begin, over, slots, last),
      apply: (action, over) => this.#apply(action, over),
    };
  }

  async #communicate(
    begin: BeginAction,
    over: Communicator,
    slots: () => number,
    last: boolean,
  ): Promise<ExchangeReport> {
    const key = exchangeKey(this.#options, begin);
    const { up, weights } = begin;
    const reduce = (buffers: { input: Float32Array; output: Float32Array }, whether: boolean) =>
      over.allReduce({
        slot: slots(),
        collective: "direct",
        codec: up,
        down: null,
        key,
        weights,
        owner: null,
        last: whether,
        ...buffers,
      });
    await this.#takeLeft();
    const reports = [await reduce(this.#first, last && this.#graphs === null)];
    this.#keepPlain();
    if (this.#graphs === null) return addReports(reports);
    await this.#takeRight();
    // Not the last: parts of a Q that a failed attempt made belong to that attempt's P.
    reports.push(await reduce(this.#second, false));
    await this.#expand();
    return addReports(reports);
  }

  /** P = M Q of every matrix, then what travels as it is. */
  async #takeLeft(): Promise<void> {
    for (const matrix of this.#matrices) {
      const { rows, columns, rank } = matrix;
      const q = rightOf(this.#right, matrix);
      await native.lowrankLeft(
        this.#matrix(this.#whole, matrix),
        rows,
        columns,
        q,
        rank,
        leftOf(this.#first.input, matrix),
      );
    }
    this.#eachPlain((offset, elements, place) =>
      this.#first.input.set(this.#whole.subarray(offset, offset + elements), place),
    );
  }

  #keepPlain(): void {
    this.#eachPlain((offset, elements, place) =>
      this.#mean.set(this.#first.output.subarray(place, place + elements), offset),
    );
  }

  /** Q = M^T P, with the mean P made orthonormal. */
  async #takeRight(): Promise<void> {
    for (const matrix of this.#matrices) {
      const { rows, columns, rank } = matrix;
      const p = leftOf(this.#first.output, matrix);
      await native.lowrankOrthogonalize(p, rows, rank);
      const q = rightOf(this.#second.input, matrix);
      await native.lowrankRight(this.#matrix(this.#whole, matrix), rows, columns, p, rank, q);
    }
  }

  async #expand(): Promise<void> {
    for (const matrix of this.#matrices) {
      const { rows, columns, rank } = matrix;
      const p = leftOf(this.#first.output, matrix);
      const q = rightOf(this.#second.output, matrix);
      await native.lowrankExpand(p, q, rows, columns, rank, this.#matrix(this.#mean, matrix));
    }
  }

  #matrix(bucket: Float32Array, { slot }: FactoredTensor): Float32Array {
    return bucket.subarray(slot.offset, slot.offset + slot.elements);
  }

  #eachPlain(visit: (offset: number, elements: number, place: number) => void): void {
    let place = this.#matrices.reduce((sum, { rows, rank }) => sum + rows * rank, 0);
    for (const { offset, elements } of this.#plan.plain) {
      visit(offset, elements, place);
      place += elements;
    }
  }

  async #apply(action: ApplyAction, over: Communicator): Promise<void> {
    const ranks = over.view.members.length;
    const [whole, mean, residue] = [this.#whole, this.#mean, this.#residue];
    if (this.#options.recipe.feedback.kind !== "none")
      await this.#graphs?.leave.run({ whole, mean, residue });
    await this.#step.apply(0, mean, action, { contributors: ranks, ranks });
    await this.#warmStart();
  }

  /** The next iteration begins where this one ended; a direction that has become zero would stay so, and is drawn anew. */
  async #warmStart(): Promise<void> {
    if (this.#graphs === null) return;
    const right = this.#second.output;
    this.#right.set(right);
    const squares = await this.#graphs.columnSquares(right);
    for (const [place, elements, squared] of squares) {
      if (squared > 0) continue;
      this.#right.set(this.#fresh.subarray(place, place + elements), place);
    }
  }

  close(): void {
    this.#step.close();
    this.#graphs?.close();
  }
}

const leftOf = (buffer: Float32Array, { left, rank, rows }: Placed) =>
  buffer.subarray(left, left + rank * rows);
const rightOf = (buffer: Float32Array, { right, rank, columns }: Placed) =>
  buffer.subarray(right, right + rank * columns);

function placed({ factored }: FactorPlan): Placed[] {
  let [left, right] = [0, 0];
  return factored.map((matrix) => {
    const at = { ...matrix, left, right };
    left += matrix.rank * matrix.rows;
    right += matrix.rank * matrix.columns;
    return at;
  });
}

/** What runs over all matrices at once. */
class FactorGraphs {
  /** whole = decay residue + gradients. */
  readonly add: Graph;
  /** residue = whole - mean. */
  readonly leave: Graph;
  readonly #squares: Graph;
  readonly #columns: readonly BucketRange[];

  constructor(elements: number, matrices: readonly Placed[], threads: number) {
    const ranges = matrices.map(({ slot }) => ({ begin: slot.offset, elements: slot.elements }));
    this.add = rangeGraph(elements, ranges, threads, (graph, { bucket, scalars }) => {
      axpby(graph, bucket("residue"), bucket("gradients"), scalars("factors", 2), bucket("whole"));
    });
    this.leave = rangeGraph(elements, ranges, threads, (graph, { bucket }) => {
      subtract(graph, bucket("whole"), bucket("mean"), bucket("residue"));
    });
    this.#columns = matrices.flatMap(({ right, rank, columns }) =>
      Array.from({ length: rank }, (_, column) => ({ begin: right + column * columns, elements: columns })),
    );
    this.#squares = squaresOf(this.#columns, threads);
  }

  /** [first element, elements, sum of squares] of each vector of the right factors. */
  async columnSquares(right: Float32Array): Promise<[number, number, number][]> {
    const squares = new Float32Array(this.#columns.length);
    await this.#squares.run({ right, squares });
    return this.#columns.map(({ begin, elements }, column) => [begin, elements, squares[column]!]);
  }

  close(): void {
    for (const graph of [this.add, this.leave, this.#squares]) graph.close();
  }
}

function squaresOf(columns: readonly BucketRange[], threads: number): Graph {
  const graph = new GraphBuilder();
  const right = graph.binding(
    "right",
    columns.reduce((sum, { elements }) => sum + elements, 0),
  );
  const squares = graph.binding("squares", columns.length);
  for (const [column, { begin, elements }] of columns.entries()) {
    const vector = graph.view(right, [elements], begin);
    dot(graph, vector, vector, graph.view(squares, [1], column));
  }
  return graph.build(threads);
}
