/**
 * Rules that make one tensor of many contributions, of which some may be anything. Tensors are gone through natively; what is
 * decided here are n or n x n numbers, by comparisons and correctly rounded arithmetic alone, so that all peers decide alike.
 */
import type { RobustAggregate } from "../strategy/robust.js";
import { GraphBuilder } from "../tensor/builder.js";
import { dot } from "../tensor/elements.js";
import type { Graph } from "../tensor/graph.js";
import { centeredClip, combineRows, pairDistances, trimmedMean } from "../tensor/rows.js";
import { median } from "./measure.js";

/** The native work on contributions of one number and length. */
export class RowGraphs {
  readonly rows: number;
  readonly columns: number;
  readonly #threads: number;
  readonly #kept = new Map<string, Graph>();

  constructor(rows: number, columns: number, threads: number) {
    this.rows = rows;
    this.columns = columns;
    this.#threads = threads;
  }

  #graph(name: string, write: (graph: GraphBuilder, bound: Bound) => void): Graph {
    const known = this.#kept.get(name);
    if (known !== undefined) return known;
    const builder = new GraphBuilder();
    write(builder, (key, ...shape) =>
      builder.view(
        builder.binding(
          key,
          shape.reduce((product, extent) => product * extent, 1),
        ),
        shape,
      ),
    );
    const graph = builder.build(this.#threads);
    this.#kept.set(name, graph);
    return graph;
  }

  /** out = the sum of weights times rows. */
  async combine(x: Float32Array, weights: readonly number[], out: Float32Array): Promise<void> {
    const { rows, columns } = this;
    const graph = this.#graph("combine", (built, bound) =>
      combineRows(built, bound("x", rows, columns), bound("weights", rows), bound("out", columns)),
    );
    await graph.run({ x, weights: Float32Array.from(weights), out });
  }

  async trimmed(x: Float32Array, faulty: number, out: Float32Array): Promise<void> {
    const { rows, columns } = this;
    const graph = this.#graph(`trimmed ${faulty}`, (built, bound) =>
      trimmedMean(built, bound("x", rows, columns), faulty, bound("out", columns)),
    );
    await graph.run({ x, out });
  }

  /** Squared, [rows x rows]. */
  async pairs(x: Float32Array): Promise<Float32Array> {
    const { rows, columns } = this;
    const graph = this.#graph("pairs", (built, bound) =>
      pairDistances(built, bound("x", rows, columns), bound("out", rows, rows)),
    );
    const out = new Float32Array(rows * rows);
    await graph.run({ x, out });
    return out;
  }

  /** Moves the center by factors times (row - center); gives the rows' squared distances from where it is then. */
  async step(x: Float32Array, factors: readonly number[], center: Float32Array): Promise<Float32Array> {
    const { rows, columns } = this;
    const graph = this.#graph("step", (built, bound) =>
      centeredClip(
        built,
        { x: bound("x", rows, columns), factors: bound("factors", rows) },
        { center: bound("center", columns), distances: bound("distances", rows) },
      ),
    );
    const distances = new Float32Array(rows);
    await graph.run({ x, factors: Float32Array.from(factors), center, distances });
    return distances;
  }

  /** Squared, of each row. */
  async norms(x: Float32Array): Promise<Float32Array> {
    const { rows, columns } = this;
    const graph = this.#graph("norms", (built, bound) => {
      const [all, out] = [bound("x", rows, columns), bound("out", rows)];
      for (let row = 0; row < rows; row += 1) {
        const own = built.part(all, [columns], row * columns);
        dot(built, own, own, built.part(out, [1], row));
      }
    });
    const out = new Float32Array(rows);
    await graph.run({ x, out });
    return out;
  }

  close(): void {
    for (const graph of this.#kept.values()) graph.close();
  }
}

type Bound = (name: string, ...shape: number[]) => ReturnType<GraphBuilder["view"]>;

/** What scales a vector of this norm down to the radius; 1 within it. */
const clipFactor = (norm: number, radius: number) => (norm <= radius ? 1 : radius / norm);

/**
 * The `count` rows of the lowest scores, a row's score being the sum of its rows - faulty - 2 smallest squared distances
 * from others (Krum, arXiv 1703.02757); of equals the lower rank. @param distances [rows x rows].
 */
export function krumRows(distances: Float32Array, rows: number, faulty: number, count: number): number[] {
  const scores = Array.from({ length: rows }, (_, row) =>
    Array.from(distances.subarray(row * rows, (row + 1) * rows))
      .filter((_, other) => other !== row)
      .toSorted((a, b) => a - b)
      .slice(0, rows - faulty - 2)
      .reduce((sum, distance) => sum + distance, 0),
  );
  const order = scores.map((_, row) => row).toSorted((a, b) => ascending(scores[a]!, scores[b]!) || a - b);
  return order.slice(0, count);
}

/** Infinite scores are equal, which a difference would not say. */
const ascending = (a: number, b: number) => (a < b ? -1 : a > b ? 1 : 0);

type Rule = (
  graphs: RowGraphs,
  aggregate: RobustAggregate,
  x: Float32Array,
  out: Float32Array,
) => Promise<void>;

const middle = (graphs: RowGraphs, x: Float32Array, out: Float32Array) =>
  graphs.trimmed(x, Math.floor((graphs.rows - 1) / 2), out);

const even = (rows: number) => new Array<number>(rows).fill(1 / rows);

async function selected(
  graphs: RowGraphs,
  x: Float32Array,
  faulty: number,
  count: number,
  out: Float32Array,
): Promise<void> {
  const chosen = new Set(krumRows(await graphs.pairs(x), graphs.rows, faulty, count));
  const weights = Array.from({ length: graphs.rows }, (_, row) => (chosen.has(row) ? 1 / count : 0));
  await graphs.combine(x, weights, out);
}

/** From the median, each row's pull clipped to the radius (arXiv 2012.10333; as btard, arXiv 2106.11257). */
async function centered(
  graphs: RowGraphs,
  { radius, iterations }: RobustAggregate,
  x: Float32Array,
  out: Float32Array,
): Promise<void> {
  const { rows } = graphs;
  await middle(graphs, x, out);
  let norms = await distancesOf(graphs.step(x, new Array<number>(rows).fill(0), out));
  const most = radius ?? median(norms);
  for (let iteration = 0; iteration < iterations; iteration += 1) {
    const factors = norms.map((norm) => clipFactor(norm, most) / rows);
    norms = await distancesOf(graphs.step(x, factors, out));
  }
}

const distancesOf = async (squares: Promise<Float32Array>) => Array.from(await squares, Math.sqrt);

const rules: Readonly<Record<RobustAggregate["rule"], Rule>> = {
  mean: (graphs, _, x, out) => graphs.combine(x, even(graphs.rows), out),
  median: (graphs, _, x, out) => middle(graphs, x, out),
  trimmedMean: (graphs, { faulty }, x, out) => graphs.trimmed(x, faulty, out),
  krum: (graphs, { faulty }, x, out) => selected(graphs, x, faulty, 1, out),
  multiKrum: (graphs, aggregate, x, out) => {
    const { faulty, selected: count } = aggregate;
    return selected(graphs, x, faulty, count ?? graphs.rows - faulty - 2, out);
  },
  centeredClip: centered,
  async normClip(graphs, { radius }, x, out) {
    const norms = await distancesOf(graphs.norms(x));
    const most = radius ?? median(norms);
    await graphs.combine(
      x,
      norms.map((norm) => clipFactor(norm, most) / graphs.rows),
      out,
    );
  },
};

/** Writes what the rule makes of x [rows x columns], finite, to out [columns]. The number of rows is possible. */
export function applyRule(
  graphs: RowGraphs,
  aggregate: RobustAggregate,
  x: Float32Array,
  out: Float32Array,
): Promise<void> {
  return rules[aggregate.rule](graphs, aggregate, x, out);
}
