/** What members agree on by telling each other a few numbers: norms of contributions, and how much of them is signal. */

import { dot, scaleBy } from "../tensor/elements.js";
import type { Graph } from "../tensor/graph.js";
import type { Communicator } from "./communicator.js";
import type { ExchangeReport } from "./exchange.js";
import { rangeGraph } from "./ranges.js";

/** Inner products and scaled copies of tensors, float32 [n]; graphs are kept by length. */
export class Norms {
  readonly #threads: number;
  readonly #products = new Map<number, Graph>();
  readonly #scalings = new Map<number, Graph>();

  constructor(threads: number) {
    this.#threads = threads;
  }

  /** The sum of a[i] b[i] in the fixed tree of native/numeric/tree.h. */
  async product(a: Float32Array, b: Float32Array): Promise<number> {
    const out = new Float32Array(1);
    const graph = this.#kept(this.#products, a.length, (length) =>
      rangeGraph(length, [{ begin: 0, elements: length }], this.#threads, (built, views) => {
        dot(built, views.bucket("a"), views.bucket("b"), views.scalars("out", 1));
      }),
    );
    await graph.run({ a, b, out });
    return out[0]!;
  }

  squared(a: Float32Array): Promise<number> {
    // A graph's tensors may share memory only where none of them is written.
    return this.product(a, a);
  }

  /** factor x, in memory of its own. */
  async scaled(x: Float32Array, factor: number): Promise<Float32Array> {
    const out = new Float32Array(x.length);
    const graph = this.#kept(this.#scalings, x.length, (length) =>
      rangeGraph(length, [{ begin: 0, elements: length }], this.#threads, (built, views) => {
        scaleBy(built, views.bucket("x"), views.scalars("factor", 1), views.bucket("out"));
      }),
    );
    await graph.run({ x, factor: Float32Array.of(factor), out });
    return out;
  }

  #kept(graphs: Map<number, Graph>, length: number, make: (length: number) => Graph): Graph {
    const graph = graphs.get(length) ?? make(length);
    graphs.set(length, graph);
    return graph;
  }

  close(): void {
    for (const graph of [...this.#products.values(), ...this.#scalings.values()]) graph.close();
  }
}

/** The middle value, of an even number the lower of the two: one of the values themselves, so no rounding. */
export function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[Math.floor((values.length - 1) / 2)]!;
}

/**
 * A contribution, no longer than the median one (as Templar's validators do, arXiv 2508.15706): scaled by
 * min(1, median norm / own norm).
 */
export async function clipToMedianNorm(
  norms: Norms,
  input: Float32Array,
  over: Communicator,
  slot: number,
): Promise<{ sent: Float32Array; report: ExchangeReport }> {
  const own = Float32Array.of(Math.sqrt(await norms.squared(input)));
  const all = new Float32Array(over.view.members.length);
  const report = await over.gatherWords({ slot, input: own, output: all });
  const limit = median([...all]);
  const factor = own[0]! > limit ? limit / own[0]! : 1;
  return { sent: factor === 1 ? input : await norms.scaled(input, factor), report };
}

/**
 * The part of the members' contributions that their mean keeps: the sum over members of <x, mean> over that of |x|^2. It is
 * 1 where all agree, about 1 / members where they are independent; the coding's error is in it. The same on all members.
 */
export async function measureSignal(
  norms: Norms,
  input: Float32Array,
  mean: Float32Array,
  over: Communicator,
  slot: number,
): Promise<{ signal: number; report: ExchangeReport }> {
  const own = Float32Array.of(await norms.product(input, mean), await norms.squared(input));
  const all = new Float32Array(2 * over.view.members.length);
  const report = await over.gatherWords({ slot, input: own, output: all });
  let [kept, sent] = [0, 0];
  for (let member = 0; member < over.view.members.length; member += 1) {
    kept += all[2 * member]!;
    sent += all[2 * member + 1]!;
  }
  return { signal: sent > 0 ? kept / sent : 0, report };
}
