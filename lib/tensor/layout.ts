/** Where each named tensor lies in a bucket: one flat Float32Array that holds all of them, one after another. */
import { GradmeshError } from "../base/errors.js";

/** The place of one tensor in a bucket; offset and elements count float32 elements. */
export interface TensorSlot {
  readonly name: string;
  readonly shape: readonly number[];
  readonly offset: number;
  readonly elements: number;
}

/** A tensor with its values: a live view, so writing to `data` changes the tensor itself. Row-major float32. */
export interface NamedTensor {
  readonly name: string;
  readonly shape: readonly number[];
  readonly data: Float32Array;
}

/** How many elements a shape holds; the empty shape is a scalar with one. */
export function elementsOf(shape: readonly number[]): number {
  return shape.reduce((product, extent) => product * extent, 1);
}

/** Names, shapes and places of the tensors of one bucket, in bucket order, without gaps. */
export class TensorLayout {
  readonly slots: readonly TensorSlot[];
  /** Elements of the whole bucket. */
  readonly elements: number;
  readonly #byName = new Map<string, TensorSlot>();

  /** @throws ERR_INVALID_ARGUMENT for a name used twice or an extent that is no positive integer. */
  constructor(tensors: readonly { readonly name: string; readonly shape: readonly number[] }[]) {
    let offset = 0;
    this.slots = tensors.map(({ name, shape }) => {
      if (this.#byName.has(name)) {
        throw new GradmeshError("ERR_INVALID_ARGUMENT", `layout: the tensor name "${name}" is used twice`);
      }
      if (!shape.every((extent) => Number.isSafeInteger(extent) && extent > 0)) {
        throw new GradmeshError(
          "ERR_INVALID_ARGUMENT",
          `layout: the shape [${shape}] of "${name}" has an extent that is no positive integer`,
        );
      }
      const slot = { name, shape, offset, elements: elementsOf(shape) };
      this.#byName.set(name, slot);
      offset += slot.elements;
      return slot;
    });
    this.elements = offset;
  }

  /** The slot of this name. @throws ERR_INVALID_ARGUMENT when there is none. */
  slot(name: string): TensorSlot {
    const slot = this.#byName.get(name);
    if (slot === undefined) {
      throw new GradmeshError("ERR_INVALID_ARGUMENT", `layout: there is no tensor "${name}"`);
    }
    return slot;
  }

  /** The elements of one tensor of the bucket; a view, not a copy. */
  view(bucket: Float32Array, name: string): Float32Array {
    this.#expectBucket(bucket);
    const { offset, elements } = this.slot(name);
    return bucket.subarray(offset, offset + elements);
  }

  /** Every tensor of the bucket as a named view, in bucket order. */
  tensors(bucket: Float32Array): NamedTensor[] {
    this.#expectBucket(bucket);
    return this.slots.map(({ name, shape, offset, elements }) => ({
      name,
      shape,
      data: bucket.subarray(offset, offset + elements),
    }));
  }

  #expectBucket(bucket: Float32Array): void {
    if (bucket.length !== this.elements) {
      throw new GradmeshError(
        "ERR_INVALID_ARGUMENT",
        `layout: the bucket has ${bucket.length} elements, the layout ${this.elements}`,
      );
    }
  }
}
