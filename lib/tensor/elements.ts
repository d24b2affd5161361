/**
 * Operators on the elements of whole tensors, whatever their shapes: one by one, chosen by index, and summed up.
 * All is float32 unless said otherwise; a trailing `out` writes there instead of the arena.
 */
import type { GraphBuilder } from "./builder.js";
import type { GraphTensor } from "./description.js";
import { expectElements, expectIntegers, expectShape } from "./operator-checks.js";

/** out = a + b, elementwise. */
export function add(graph: GraphBuilder, a: GraphTensor, b: GraphTensor, out?: GraphTensor): GraphTensor {
  return elementwise(graph, "add", a, b, out);
}

/** out = a - b, elementwise. */
export function subtract(
  graph: GraphBuilder,
  a: GraphTensor,
  b: GraphTensor,
  out?: GraphTensor,
): GraphTensor {
  return elementwise(graph, "subtract", a, b, out);
}

function elementwise(
  graph: GraphBuilder,
  op: "add" | "subtract",
  a: GraphTensor,
  b: GraphTensor,
  out = graph.arena(op, a.shape),
): GraphTensor {
  graph.node(op, [a, b], [out], [expectElements(op, [a, b, out])]);
  return out;
}

/** out = c[0] x + c[1] y, the sum rounded once; x, y of as many elements, coefficients c[2]. */
export function axpby(
  graph: GraphBuilder,
  x: GraphTensor,
  y: GraphTensor,
  coefficients: GraphTensor,
  out = graph.arena("axpby", x.shape),
): GraphTensor {
  expectShape("axpby", "coefficients", coefficients, [2]);
  graph.node("axpby", [x, y, coefficients], [out], [expectElements("axpby", [x, y, out])]);
  return out;
}

/** out = factor[0] x; factor[1]. */
export function scaleBy(
  graph: GraphBuilder,
  x: GraphTensor,
  factor: GraphTensor,
  out = graph.arena("scale_by", x.shape),
): GraphTensor {
  expectShape("scale_by", "factor", factor, [1]);
  graph.node("scale_by", [x, factor], [out], [expectElements("scale_by", [x, out])]);
  return out;
}

/** out[i] = x[indices[i]]: x of any shape, counted flat, indices i32[k], in any order -> [k]. */
export function gather(
  graph: GraphBuilder,
  x: GraphTensor,
  indices: GraphTensor,
  out = graph.arena("gather", [indices.elements]),
): GraphTensor {
  expectIntegers("gather", "indices", indices, indices.elements);
  expectShape("gather", "out", out, [indices.elements]);
  graph.node("gather", [x, indices], [out], [x.elements, indices.elements]);
  return out;
}

/**
 * target[indices[i]] = values[i], in place, the others stay: target of any shape, counted flat, and bound;
 * values[k], indices i32[k]. A run whose indices do not ascend, each once, is refused: ERR_INVALID_ARGUMENT.
 */
export function scatter(
  graph: GraphBuilder,
  values: GraphTensor,
  indices: GraphTensor,
  target: GraphTensor,
): void {
  expectShape("scatter", "values", values, [values.elements]);
  expectIntegers("scatter", "indices", indices, values.elements);
  graph.node("scatter", [values, indices], [target], [target.elements, values.elements]);
}

/** out[1] = the sum of a b, of tensors of as many elements, in the fixed tree. */
export function dot(
  graph: GraphBuilder,
  a: GraphTensor,
  b: GraphTensor,
  out = graph.arena("dot", [1]),
): GraphTensor {
  expectShape("dot", "out", out, [1]);
  graph.node("dot", [a, b], [out], [expectElements("dot", [a, b])]);
  return out;
}

/** out = x. */
export function copy(graph: GraphBuilder, x: GraphTensor, out = graph.arena("copy", x.shape)): GraphTensor {
  graph.node("copy", [x], [out], [expectElements("copy", [x, out])]);
  return out;
}

/** The mean of all elements of x, as [1]. */
export function mean(graph: GraphBuilder, x: GraphTensor, out = graph.arena("mean", [1])): GraphTensor {
  expectShape("mean", "out", out, [1]);
  graph.node("mean", [x], [out], [x.elements]);
  return out;
}

/** out[2] = the factor min(1, limit / norm) and the Euclidean norm of x; limit 0 does not clip. */
export function clipScale(
  graph: GraphBuilder,
  x: GraphTensor,
  limit: number,
  out = graph.arena("clip_scale", [2]),
): GraphTensor {
  expectShape("clip_scale", "out", out, [2]);
  graph.node("clip_scale", [x], [out], [x.elements], [limit]);
  return out;
}
