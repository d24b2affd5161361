/**
 * Error feedback at a chunk's owner: what the coding of the mean left out goes into the next mean (one residue of one
 * element each, whatever the number of peers). A residue whose chunk passes to another rank goes into this peer's next
 * contribution, over its share in the mean, since the mean takes that share of it.
 */
import type { Codec } from "../native/codec.js";
import { chunkRange, type Range } from "../reduce/tensor.js";
import { commonMultiple } from "../strategy/cost.js";
import { axpby, copy } from "../tensor/elements.js";
import type { Graph } from "../tensor/graph.js";
import { rangeGraph } from "./ranges.js";

/** In place of the ranks: parts of the residue are of other chunks than this peer's last one. */
const SCATTERED = -1;

export class OwnerFeedback {
  /** The residue [n] and then, where it is not all zero, the rank and the ranks for whom its chunk was cut. */
  readonly state: Float32Array;
  readonly #elements: number;
  readonly #decay: number;
  readonly #next: Float32Array;
  readonly #moved: Float32Array;
  readonly #add: Graph;
  /** This peer's chunk, where it kept the residue of others', since it contributes nothing; else null. */
  #keptBeside: Range | null = null;

  constructor(elements: number, decay: number, threads: number) {
    this.#elements = elements;
    this.#decay = decay;
    this.state = new Float32Array(elements + 2);
    this.#next = new Float32Array(elements);
    this.#moved = new Float32Array(elements);
    this.#add = rangeGraph(elements, [{ begin: 0, elements }], threads, (graph, views) => {
      const sum = axpby(graph, views.bucket("moved"), views.bucket("delta"), views.scalars("factors", 2));
      copy(graph, sum, views.bucket("delta"));
    });
  }

  get residue(): Float32Array {
    return this.state.subarray(0, this.#elements);
  }

  /** What the collective takes. */
  call(): { state: Float32Array; next: Float32Array; decay: number } {
    this.#next.fill(0);
    return { state: this.residue, next: this.#next, decay: this.#decay };
  }

  /**
   * Adds to this peer's contribution what it held for chunks that are another's now, decayed as an owner's residue is.
   * @param share this peer's part in the mean: 1 / ranks of a plain one; with 0 it keeps them.
   */
  async fold(
    delta: Float32Array,
    rank: number,
    ranks: number,
    blockElements: number,
    share: number,
  ): Promise<void> {
    this.#keptBeside = null;
    const [rankThen, ranksThen] = this.state.subarray(this.#elements);
    if (ranksThen === 0 || (rankThen === rank && ranksThen === ranks)) return;
    const own = chunkRange(this.#elements, blockElements, ranks, rank);
    this.#moved.set(this.residue);
    this.#moved.fill(0, own.begin, own.begin + own.elements);
    if (share === 0) this.#keptBeside = own;
    else await this.#add.run({ moved: this.#moved, delta, factors: Float32Array.of(this.#decay / share, 1) });
  }

  /** The round committed: the residue is what the collective left, and what was kept beside it. */
  commit(rank: number, ranks: number): void {
    const own = this.#keptBeside;
    this.state.set(this.#next);
    this.state.set([rank, own === null ? ranks : SCATTERED], this.#elements);
    if (own === null) return;
    const end = own.begin + own.elements;
    this.state.set(this.#moved.subarray(0, own.begin));
    this.state.set(this.#moved.subarray(end), end);
  }

  close(): void {
    this.#add.close();
  }
}

/** Elements at whose multiples the chunks of a reduction with these codecs are cut. */
export function chunkBlock(...codecs: readonly Codec[]): number {
  return codecs.map(({ blockElements }) => blockElements).reduce(commonMultiple);
}
