/**
 * Peers that train a network on handwritten digits and send pseudo-gradients, some of which are lies that the field has
 * named: what a rule makes of them. Inner steps are plain SGD, without state, so that one trainer computes all peers' work.
 */

import { applyRule, RowGraphs } from "../../lib/engine/robust-rules.js";
import { rowsOf } from "../../lib/reduce/gather-wires.js";
import type { RobustAggregate } from "../../lib/strategy/robust.js";
import { mlpFactory } from "../../lib/trainer/digits.js";
import type { Trainer } from "../../lib/trainer/trainer.js";
import { normals } from "./exchanges.js";

export const PEERS = 16;
const SEED = 5;
const ROUNDS = 25;
const INNER_STEPS = 5;
const CLASSES = 10;

/** What the liars know: everything. */
interface Scene {
  /** What honest peers send, of those after the liars by rank. */
  readonly honest: readonly Float32Array[];
  /** What this liar would have sent. */
  readonly own: Float32Array;
  /** The same, from images whose label y became 9 - y. */
  readonly flipped: () => Promise<Float32Array>;
  /** What it would have sent in the first round. */
  readonly first: Float32Array;
}

export type Attack = (scene: Scene) => Promise<Float32Array>;

function moments(rows: readonly Float32Array[]): { mean: Float32Array; deviation: Float32Array } {
  const elements = rows[0]!.length;
  const [mean, deviation] = [new Float32Array(elements), new Float32Array(elements)];
  for (let i = 0; i < elements; i += 1) {
    let [sum, squares] = [0, 0];
    for (const row of rows) sum += row[i]!;
    for (const row of rows) squares += (row[i]! - sum / rows.length) ** 2;
    mean[i] = sum / rows.length;
    deviation[i] = Math.sqrt(squares / rows.length);
  }
  return { mean, deviation };
}

/** ALIE's z for 16 peers of whom 7 lie (arXiv 1902.06156): the normal quantile of (n - f - s) / (n - f), s = n / 2 + 1 - f. */
const LITTLE = 0.76;

export const attacks = {
  signFlip: async ({ own }) => own.map((value) => -1000 * value),
  labelFlip: ({ flipped }) => flipped(),
  constant: async ({ own }) => (await normals(SEED, 99, own.length)).map((value) => 1000 * value),
  delayed: async ({ first }) => first,
  /** A little is enough (arXiv 1902.06156). */
  alie: async ({ honest }) => {
    const { mean, deviation } = moments(honest);
    return mean.map((value, i) => value - LITTLE * deviation[i]!);
  },
  /** Inner product manipulation (arXiv 1903.03936). */
  ipm: async ({ honest }) => moments(honest).mean.map((value) => -2 * value),
} as const satisfies Record<string, Attack>;

/** Columns of the last layer, class c for class 9 - c: training on it is training on flipped labels. */
function reverseClasses(tensor: Float32Array, { layout }: Trainer): Float32Array {
  const turned = tensor.slice();
  for (const { shape, offset, elements } of layout.slots.slice(-2)) {
    if (shape.at(-1) !== CLASSES) throw new Error(`the last layer is [${shape}]`);
    for (let i = 0; i < elements; i += CLASSES)
      turned
        .subarray(offset + i, offset + i + CLASSES)
        .set(tensor.slice(offset + i, offset + i + CLASSES).reverse());
  }
  return turned;
}

export class Lab {
  readonly #trainer: Trainer;
  readonly #initial: Float32Array;
  readonly #graphs: RowGraphs;

  private constructor(trainer: Trainer) {
    this.#trainer = trainer;
    this.#initial = trainer.parameters.slice();
    this.#graphs = new RowGraphs(PEERS, trainer.layout.elements, 1);
  }

  static async create(): Promise<Lab> {
    const options = {
      hidden: [16],
      batch: 128,
      optimizer: "sgd",
      learningRate: 0.5,
      warmupSteps: 0,
      totalSteps: 100_000,
      partition: { kind: "iid" },
    };
    return new Lab(await mlpFactory()({ seed: SEED, shard: 0, shards: 1, options, threads: 1 } as never));
  }

  /** The pseudo-gradient of a peer's inner steps from `anchor`. */
  async #work(anchor: Float32Array, peer: number, round: number): Promise<Float32Array> {
    const { parameters } = this.#trainer;
    parameters.set(anchor);
    for (let step = round * INNER_STEPS; step < (round + 1) * INNER_STEPS; step += 1)
      await this.#trainer.step({ step, draw: SEED + 1 + peer } as never);
    return anchor.map((value, i) => value - parameters[i]!);
  }

  async #send(
    anchor: Float32Array,
    round: number,
    first: readonly Float32Array[],
    liars: number,
    attack: Attack,
  ) {
    const own: Float32Array[] = [];
    for (let peer = 0; peer < PEERS; peer += 1) own.push(await this.#work(anchor, peer, round));
    const honest = own.slice(liars);
    const lies: Float32Array[] = [];
    for (let peer = 0; peer < liars; peer += 1) {
      const flipped = async () =>
        reverseClasses(await this.#work(reverseClasses(anchor, this.#trainer), peer, round), this.#trainer);
      lies.push(await attack({ honest, own: own[peer]!, flipped, first: first[peer] ?? own[peer]! }));
    }
    return { own, sent: [...lies, ...honest] };
  }

  /** The part of the held out images that is told right after some rounds, in percent. */
  async accuracy(aggregate: RobustAggregate, liars: number, attack: Attack): Promise<number> {
    const anchor = this.#initial.slice();
    const [gathered, result] = [new Float32Array(PEERS * anchor.length), new Float32Array(anchor.length)];
    let first: readonly Float32Array[] = [];
    for (let round = 0; round < ROUNDS; round += 1) {
      const { own, sent } = await this.#send(anchor, round, first, liars, attack);
      if (round === 0) first = own;
      for (const [rank, row] of rowsOf(gathered, anchor.length).entries()) row.set(sent[rank]!);
      await applyRule(this.#graphs, aggregate, gathered, result);
      for (const [i, value] of result.entries()) anchor[i]! -= value;
    }
    this.#trainer.parameters.set(anchor);
    return 100 * (await this.#trainer.evaluate()).accuracy!;
  }

  close(): void {
    this.#graphs.close();
    this.#trainer.close();
  }
}
