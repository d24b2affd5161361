/** The error of a sum of coded contributions: coded again at every hop of a ring, or once and added exactly. */
import { native } from "../lib/native/load.js";

/** Squared error over squared norm. */
export function normalizedError(truth: ArrayLike<number>, found: ArrayLike<number>): number {
  let [error, norm] = [0, 0];
  for (let i = 0; i < truth.length; i++) {
    error += (truth[i]! - found[i]!) ** 2;
    norm += truth[i]! ** 2;
  }
  return error / norm;
}

interface Key {
  readonly rank: number;
  readonly first: number;
}

const SEED = 1;
const STEP = 1;
const MEAN_RANK = 65535;

/** One codec, opened. */
export class Coder {
  /** With the options that are defaults left out. */
  readonly spec: string;
  readonly blockElements: number;
  readonly exactSum: boolean;
  readonly #id: number;

  /** @throws ERR_INVALID_ARGUMENT for a specification of no codec. */
  constructor(spec: string) {
    this.#id = native.codecOpen(spec);
    const described = JSON.parse(native.codecDescribe(this.#id));
    this.spec = described.spec;
    this.blockElements = described.blockElements;
    this.exactSum = described.exactSum;
  }

  bits(elements: number): number {
    return (8 * native.codecBytes(this.#id, elements)) / elements;
  }

  async encode(source: Float32Array, { rank, first }: Key = { rank: 0, first: 0 }): Promise<Uint8Array> {
    const wire = new Uint8Array(native.codecBytes(this.#id, source.length));
    await native.codecEncode(this.#id, SEED, STEP, rank, first, source, wire);
    return wire;
  }

  async decode(
    wire: Uint8Array,
    elements: number,
    { rank, first }: Key = { rank: 0, first: 0 },
  ): Promise<Float32Array> {
    const target = new Float32Array(elements);
    await native.codecDecode(this.#id, SEED, STEP, rank, first, wire, target);
    return target;
  }

  async mean(wires: readonly Uint8Array[], elements: number): Promise<Uint8Array> {
    const wire = new Uint8Array(native.codecBytes(this.#id, elements));
    await native.codecMean(this.#id, SEED, STEP, 0, wires, elements, wire);
    return wire;
  }
}

/** The sum of the contributions, in doubles. */
export function sumOf(contributions: readonly ArrayLike<number>[]): Float64Array {
  const sum = new Float64Array(contributions[0]!.length);
  for (const each of contributions) for (let i = 0; i < sum.length; i++) sum[i]! += each[i]!;
  return sum;
}

const sameBytes = (a: Uint8Array, b: Uint8Array) => Buffer.compare(a, b) === 0;

export interface RingResult {
  /** Of the sum as rank 0 holds it. */
  readonly error: number;
  /** Whether ranks 0 and 1 hold the same bytes. */
  readonly areEqual: boolean;
}

/**
 * A ring all-reduce of coded bytes: each chunk goes around, at every hop decoded, added to and coded again; its last rank
 * keeps its own sum, and the others decode what that rank codes.
 */
export async function ringError(coder: Coder, contributions: readonly Float32Array[]): Promise<RingResult> {
  const ranks = contributions.length;
  const elements = contributions[0]!.length;
  const { blockElements } = coder;
  const chunk = Math.ceil(elements / ranks / blockElements) * blockElements;
  const held = [new Float32Array(elements), new Float32Array(elements)] as const;
  for (let number = 0; number * chunk < elements; number++) {
    const first = number * chunk;
    const count = Math.min(chunk, elements - first);
    const part = (rank: number) => contributions[rank]!.subarray(first, first + count);
    let sum = part(number % ranks).slice();
    for (let hop = 1; hop < ranks; hop++) {
      const key = { rank: (number + hop - 1) % ranks, first };
      const decoded = await coder.decode(await coder.encode(sum, key), count, key);
      const own = part((number + hop) % ranks);
      sum = decoded.map((value, i) => value + own[i]!);
    }
    const owner = (number + ranks - 1) % ranks;
    const key = { rank: owner, first };
    const gathered = await coder.decode(await coder.encode(sum, key), count, key);
    for (const [rank, target] of held.entries()) target.set(rank === owner ? sum : gathered, first);
  }
  const bytes = held.map(({ buffer }) => new Uint8Array(buffer));
  return { error: normalizedError(sumOf(contributions), held[0]), areEqual: sameBytes(bytes[0]!, bytes[1]!) };
}

export interface OnceResult {
  /** Of the exact sum of what was coded once. */
  readonly error: number;
  /** Of the mean after it was coded too, as all ranks get it. */
  readonly meanError: number;
  /** Whether the mean is the same bytes when the contributions arrive in the opposite order; null where order counts. */
  readonly isOrderFree: boolean | null;
}

/** A direct all-reduce: each contribution is coded once; the chunk's owner adds them and codes the mean. */
export async function onceError(coder: Coder, contributions: readonly Float32Array[]): Promise<OnceResult> {
  const elements = contributions[0]!.length;
  const keys = contributions.map((_, rank) => ({ rank, first: 0 }));
  const wires = await Promise.all(contributions.map((source, rank) => coder.encode(source, keys[rank])));
  const decoded = await Promise.all(wires.map((wire, rank) => coder.decode(wire, elements, keys[rank])));
  const truth = sumOf(contributions);
  const coded = await coder.mean(wires, elements);
  const mean = await coder.decode(coded, elements, { rank: MEAN_RANK, first: 0 });
  const scaled = Float64Array.from(mean, (value) => value * contributions.length);
  return {
    error: normalizedError(truth, sumOf(decoded)),
    meanError: normalizedError(truth, scaled),
    isOrderFree: coder.exactSum ? sameBytes(coded, await coder.mean(wires.toReversed(), elements)) : null,
  };
}
