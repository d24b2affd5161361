/** What the functions of operators.ts check: each error names the operator, the tensor and the shapes. */
import { GradmeshError } from "../base/errors.js";
import type { OpName } from "../native/abi.gen.js";
import type { GraphTensor } from "./description.js";

/** Throws ERR_INVALID_ARGUMENT naming operator and tensor unless the shape is the wanted one (-1: any extent). */
export function expectShape(op: OpName, role: string, tensor: GraphTensor, wanted: readonly number[]): void {
  const { shape } = tensor;
  const fits =
    shape.length === wanted.length && wanted.every((extent, i) => extent < 0 || extent === shape[i]);
  if (fits) return;
  const expected = wanted.map((extent) => (extent < 0 ? "any" : extent)).join(",");
  throw new GradmeshError(
    "ERR_INVALID_ARGUMENT",
    `${op}: ${role} "${tensor.name}" has shape [${shape}], not [${expected}]`,
  );
}

/** An i32 tensor [elements]. */
export function expectIntegers(op: OpName, role: string, tensor: GraphTensor, elements: number): void {
  expectShape(op, role, tensor, [elements]);
  if (tensor.kind === "i32") return;
  throw new GradmeshError(
    "ERR_INVALID_ARGUMENT",
    `${op}: ${role} "${tensor.name}" is ${tensor.kind}, not i32`,
  );
}

/** Elementwise operators take any shape, as long as all tensors hold as many elements. */
export function expectElements(op: OpName, tensors: readonly GraphTensor[]): number {
  const elements = tensors[0]!.elements;
  const misfit = tensors.find((tensor) => tensor.elements !== elements);
  if (misfit === undefined) return elements;
  throw new GradmeshError(
    "ERR_INVALID_ARGUMENT",
    `${op}: "${misfit.name}" has shape [${misfit.shape}], "${tensors[0]!.name}" has [${tensors[0]!.shape}]`,
  );
}

/** The extents of a tensor of two dimensions. */
export function matrix(op: OpName, role: string, tensor: GraphTensor): [rows: number, columns: number] {
  expectShape(op, role, tensor, [-1, -1]);
  return [tensor.shape[0]!, tensor.shape[1]!];
}
