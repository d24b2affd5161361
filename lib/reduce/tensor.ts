/** What a collective reads and writes: elements of fp32, fp16 or bf16 in this machine's memory, or fp32 in its GPU's. */
import { GradmeshError } from "../base/errors.js";

/** By the ids of native/collective/schedule.h. */
export const dtypes = ["fp32", "fp16", "bf16"] as const;
export type Dtype = (typeof dtypes)[number];

/** 16-bit elements, which JavaScript has no array for: IEEE 754 binary16 (fp16) or bfloat16 (bf16). */
export interface HalfTensor {
  readonly dtype: "fp16" | "bf16";
  /** The elements' bits, [n]. */
  readonly data: Uint16Array;
}

/** Float32 elements in a GPU's memory that somebody else owns, as a framework's data pointer names them. */
export interface DeviceTensor {
  /** The GPU's number. */
  readonly device: number;
  /** A device address, a multiple of 16. */
  readonly address: number;
  readonly elements: number;
}

export type Tensor = Float32Array | HalfTensor | DeviceTensor;

export const isDeviceTensor = (tensor: Tensor): tensor is DeviceTensor => "device" in tensor;

export function dtypeOf(tensor: Tensor): Dtype {
  return tensor instanceof Float32Array || isDeviceTensor(tensor) ? "fp32" : tensor.dtype;
}

export function elementsOf(tensor: Tensor): number {
  if (isDeviceTensor(tensor)) return tensor.elements;
  return tensor instanceof Float32Array ? tensor.length : tensor.data.length;
}

/** The memory of a tensor on the host, as bytes. */
export function bytesOf(tensor: Float32Array | HalfTensor): Uint8Array {
  const { buffer, byteOffset, byteLength } = tensor instanceof Float32Array ? tensor : tensor.data;
  return new Uint8Array(buffer, byteOffset, byteLength);
}

/** @throws ERR_INVALID_ARGUMENT unless both are alike: in dtype, in length, and on the host or on one GPU. */
export function checkAlike(input: Tensor, output: Tensor): void {
  const refuse = (why: string): never => {
    throw new GradmeshError("ERR_INVALID_ARGUMENT", why);
  };
  const place = (tensor: Tensor) => (isDeviceTensor(tensor) ? tensor.device : -1);
  if (place(input) !== place(output))
    refuse("input and output lie on different devices; allowed: both on the host, or both on the same GPU");
  if (dtypeOf(input) !== dtypeOf(output))
    refuse(`input is ${dtypeOf(input)} and output ${dtypeOf(output)}; allowed: the same`);
  if (elementsOf(input) !== elementsOf(output))
    refuse(`input has ${elementsOf(input)} elements and output ${elementsOf(output)}; allowed: the same`);
}

/** A part of a tensor. */
export interface Range {
  /** First element. */
  readonly begin: number;
  readonly elements: number;
}

/**
 * The chunk of a tensor that belongs to a rank, in a reduce-scatter and an all-gather: whole blocks of the codec, as
 * even as they go, the tail with the last; native/collective/partition.h.
 */
export function chunkRange(elements: number, block: number, ranks: number, rank: number): Range {
  const blocks = Math.ceil(elements / block);
  const edge = (index: number) => {
    const share = Math.floor(blocks / ranks) * index + Math.floor(((blocks % ranks) * index) / ranks);
    return Math.min(elements, share * block);
  };
  return { begin: edge(rank), elements: edge(rank + 1) - edge(rank) };
}
