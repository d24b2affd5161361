/**
 * Error feedback at the sender (Seide et al. 2014; arXiv 1901.09847, 2508.15706) and momentum residue (DeMo, arXiv
 * 2411.19870), which are one rule: e = decay e + x travels, coded, and what all others decode of it leaves e.
 *
 * What travels is e itself, not its decoded wire: coding a decoded wire again gives other bytes with codecs that transform
 * or scale by a mean (dct_topk, eden, lowrank, sign1), while coding e twice under one key gives the same ones. So the
 * collective codes e, here it is coded once more, and what is subtracted is what the others decode, to the bit. That holds
 * for collectives that code each contribution once, under its rank: direct and gather; a ring codes partial sums.
 */
import { openCodec } from "../native/codec.js";
import { native } from "../native/load.js";
import { axpby } from "../tensor/elements.js";
import type { Graph } from "../tensor/graph.js";
import { rangeGraph } from "./ranges.js";

/** Under which the collective codes this peer's contribution. */
export interface CodingKey {
  readonly seed: number;
  readonly step: number;
  readonly rank: number;
}

/** Elements that are coded at a time, at least: the residue passes through the caches several times. */
const SEGMENT_ELEMENTS = 65_536;

export class SenderFeedback {
  /** e, float32 [n], zero at first. It changes by commit() alone, and by whoever restores a state. */
  readonly state: Float32Array;
  readonly #next: Float32Array;
  readonly #contribution: Float32Array;
  readonly #factors: Float32Array;
  readonly #decay: number;
  readonly #advance: Graph;

  /** @param decay from 0 to 1, of what was left out; it counts as a float32. */
  constructor(elements: number, decay: number, threads: number) {
    this.state = new Float32Array(elements);
    this.#next = new Float32Array(elements);
    this.#contribution = new Float32Array(elements);
    this.#decay = decay;
    this.#factors = Float32Array.of(decay, 1);
    this.#advance = rangeGraph(elements, [{ begin: 0, elements }], threads, (graph, views) => {
      axpby(
        graph,
        views.bucket("state"),
        views.bucket("x"),
        views.scalars("factors", 2),
        views.bucket("sum"),
      );
    });
  }

  /**
   * What this peer contributes for x, float32 [n]: decay e + x, in memory that stays until the next call. e stays too.
   * @param spec a contractive codec. @throws ERR_INVALID_ARGUMENT for another.
   */
  async prepare(x: Float32Array, spec: string, { seed, step, rank }: CodingKey): Promise<Float32Array> {
    const codec = openCodec(spec);
    const contribution = this.#contribution;
    await this.#advance.run({ state: this.state, x, factors: this.#factors, sum: contribution });
    this.#next.set(this.state);
    const segment = Math.ceil(SEGMENT_ELEMENTS / codec.blockElements) * codec.blockElements;
    for (let begin = 0; begin < x.length; begin += segment) {
      const part = (tensor: Float32Array) => tensor.subarray(begin, begin + segment);
      const source = part(x);
      const wire = new Uint8Array(native.codecBytes(codec.id, source.length));
      const sent = new Float32Array(source.length);
      // The same fused multiply-add as above makes the same e of the state, which is then coded as the collective does.
      await native.codecFeedback(
        codec.id,
        seed,
        step,
        rank,
        begin,
        this.#decay,
        1,
        source,
        part(this.#next),
        wire,
        sent,
      );
    }
    return contribution;
  }

  /** The round took what was prepared last: e is what it left out. */
  commit(): void {
    this.state.set(this.#next);
  }

  close(): void {
    this.#advance.close();
  }
}
