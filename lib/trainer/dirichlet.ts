/**
 * Shards of labelled data that are not alike: Federated learning's non-IID case of arXiv 1909.06335, where each shard's
 * classes are drawn from a Dirichlet distribution around the whole's.
 */
import { GradmeshError } from "../base/errors.js";
import { uniform } from "../base/random.js";
import { PARTITION_STREAM } from "./shard.js";

/**
 * Pólya's urn: draws one after another of which i comes with probability (concentration prior[i] + drawn[i]) / (their
 * sum) are the same draws as from probabilities that themselves come from Dirichlet(concentration prior). So the draws
 * need + * / alone, which are the same on every machine, and no logarithms of a gamma distribution's.
 */
class Urn {
  readonly drawn: number[];
  readonly #weights: readonly number[];

  constructor(prior: readonly number[], concentration: number) {
    this.drawn = prior.map(() => 0);
    this.#weights = prior.map((part) => part * concentration);
  }

  /** Draws among those with something left; at least one has. @param u in [0, 1). */
  draw(u: number, left: readonly number[]): number {
    const weights = this.#weights.map((weight, i) => (left[i]! > 0 ? weight + this.drawn[i]! : 0));
    let rest = u * weights.reduce((sum, weight) => sum + weight, 0);
    let chosen = -1;
    for (const [i, weight] of weights.entries()) {
      if (left[i]! === 0) continue;
      chosen = i;
      if (rest < weight) break;
      rest -= weight;
    }
    this.drawn[chosen]! += 1;
    return chosen;
  }
}

export interface DirichletOptions {
  /** Concentration of the classes in a shard: near 0 a shard has one class, at 100 it is like the whole. */
  readonly alpha: number;
  /** Concentration of the shards' sizes; undefined: all as large. */
  readonly sizeAlpha?: number | undefined;
}

/** How many of `samples` each shard gets, 1 or more. */
function sizesOf(
  samples: number,
  shards: number,
  sizeAlpha: number | undefined,
  random: () => number,
): number[] {
  if (sizeAlpha === undefined) return Array.from({ length: shards }, () => Math.floor(samples / shards));
  const urn = new Urn(new Array<number>(shards).fill(1 / shards), sizeAlpha);
  const any = new Array<number>(shards).fill(1);
  for (let i = shards; i < samples; i++) urn.draw(random(), any);
  return urn.drawn.map((drawn) => drawn + 1);
}

/**
 * Which samples each shard has, disjoint, drawn without replacement by the seed alone. Shards draw in turns, so that a
 * class that is used up is so for all alike; what a shard then draws is of the classes that are left.
 * @param labels class of each sample, from 0.
 * @throws ERR_CONFIG for more shards than samples.
 */
export function dirichletShards(
  labels: Int32Array,
  shards: number,
  { alpha, sizeAlpha }: DirichletOptions,
  seed: number,
): Int32Array[] {
  if (shards > labels.length) {
    throw new GradmeshError("ERR_CONFIG", `trainer: ${shards} shards of ${labels.length} samples`);
  }
  let draws = 0;
  const random = () => uniform(seed, PARTITION_STREAM, draws++);
  const classes = labels.reduce((most, label) => Math.max(most, label + 1), 0);
  const samplesOf = Array.from({ length: classes }, (): number[] => []);
  for (const [sample, label] of labels.entries()) samplesOf[label]!.push(sample);
  const left = samplesOf.map(({ length }) => length);
  const prior = left.map((count) => count / labels.length);
  const parts = sizesOf(labels.length, shards, sizeAlpha, random).map((size) => ({
    size,
    urn: new Urn(prior, alpha),
    samples: [] as number[],
  }));
  for (let open = parts; open.length > 0; open = open.filter(({ size, samples }) => samples.length < size)) {
    for (const { urn, samples } of open) {
      const label = urn.draw(random(), left);
      left[label]! -= 1;
      samples.push(samplesOf[label]![left[label]!]!);
    }
  }
  return parts.map(({ samples }) => Int32Array.from(samples));
}
