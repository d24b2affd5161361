/** An operator graph as data: what it computes, node by node, for printing, hashing and a verifier's bisection. */
import { createHash } from "node:crypto";
import { GradmeshError } from "../base/errors.js";
import type { OpName } from "../native/abi.gen.js";
import { elementsOf } from "./layout.js";

export type TensorKind = "f32" | "i32";

/** A tensor of a graph. Bound ones lie in a buffer given at each run; the others in the graph's own arena. */
export interface GraphTensor {
  readonly id: number;
  readonly name: string;
  readonly shape: readonly number[];
  readonly elements: number;
  readonly kind: TensorKind;
  /** Index of the binding, or -1 for the arena. */
  readonly binding: number;
  /** First element within the binding; 0 in the arena, where native code finds the place. */
  readonly offset: number;
}

/** The same tensor, its elements in order, with other extents. @throws ERR_INVALID_ARGUMENT for another number of them. */
export function reshape(tensor: GraphTensor, shape: readonly number[]): GraphTensor {
  if (elementsOf(shape) === tensor.elements) return { ...tensor, shape };
  throw new GradmeshError(
    "ERR_INVALID_ARGUMENT",
    `reshape: "${tensor.name}" has shape [${tensor.shape}], which cannot become [${shape}]`,
  );
}

/** A buffer that the caller gives at each run. */
export interface GraphBinding {
  readonly index: number;
  readonly name: string;
  readonly elements: number;
  readonly kind: TensorKind;
}

/** One operator application; tensors by id, integers and floats in the order of native/ops/ops.def. */
export interface GraphNode {
  readonly op: OpName;
  readonly inputs: readonly number[];
  readonly outputs: readonly number[];
  readonly integers: readonly number[];
  readonly floats: readonly number[];
}

/** A whole graph as data: what it computes, node by node, without a machine or a thread count. */
export interface GraphDescription {
  readonly bindings: readonly GraphBinding[];
  readonly tensors: readonly GraphTensor[];
  readonly nodes: readonly GraphNode[];
}

/** One line a node: `0007 matmul(block0.norm1.y, ...) -> (block0.qkv.y) [1024,128,384,1]`. */
export function printGraph({ tensors, nodes }: GraphDescription): string {
  const names = (ids: readonly number[]) => ids.map((id) => tensors[id]?.name).join(", ");
  return nodes
    .map(({ op, inputs, outputs, integers, floats }, index) => {
      const numbers = [...integers, ...floats].join(",");
      return `${String(index).padStart(4, "0")} ${op}(${names(inputs)}) -> (${names(outputs)}) [${numbers}]\n`;
    })
    .join("");
}

/** SHA-256 of everything that decides what the graph computes, 64 hex characters. */
export function graphDigest({ bindings, tensors, nodes }: GraphDescription): string {
  const facts = [
    bindings.map(({ name, elements, kind }) => [name, elements, kind]),
    tensors.map(({ shape, kind, binding, offset }) => [shape, kind, binding, offset]),
    nodes.map(({ op, inputs, outputs, integers, floats }) => [op, inputs, outputs, integers, floats]),
  ];
  return createHash("sha256").update(JSON.stringify(facts)).digest("hex");
}
