/**
 * Operators over rows x[n,d], each row what one peer sent: sums of rows, trimmed means, distances, and a step of
 * CenteredClip. n is at most 32. All is float32; sums have a written order, so every peer gets the same bits.
 */
import type { GraphBuilder } from "./builder.js";
import type { GraphTensor } from "./description.js";
import { expectShape, matrix } from "./operator-checks.js";

/** out[d] = the sum of weights[n] times rows, by ascending row; a row of weight 0 is not read. */
export function combineRows(
  graph: GraphBuilder,
  x: GraphTensor,
  weights: GraphTensor,
  out: GraphTensor,
): void {
  const [rows, columns] = matrix("combine_rows", "x", x);
  expectShape("combine_rows", "weights", weights, [rows]);
  expectShape("combine_rows", "out", out, [columns]);
  graph.node("combine_rows", [x, weights], [out], [rows, columns]);
}

/**
 * out[d] = in each column the mean of what is left without the `faulty` lowest and highest; with floor((n - 1) / 2) the
 * median, of an even n the mean of the two in the middle.
 */
export function trimmedMean(graph: GraphBuilder, x: GraphTensor, faulty: number, out: GraphTensor): void {
  const [rows, columns] = matrix("trimmed_mean", "x", x);
  expectShape("trimmed_mean", "out", out, [columns]);
  graph.node("trimmed_mean", [x], [out], [rows, columns, faulty]);
}

/** out[n,n] = the squared Euclidean distance of each pair of rows. */
export function pairDistances(graph: GraphBuilder, x: GraphTensor, out: GraphTensor): void {
  const [rows, columns] = matrix("pair_distances", "x", x);
  expectShape("pair_distances", "out", out, [rows, rows]);
  graph.node("pair_distances", [x], [out], [rows, columns]);
}

/**
 * center[d] in place = center + the sum of factors[n] (row - center); then distances[n], squared, of each row to it
 * (CenteredClip, arXiv 2012.10333). With factors 0 the center stays.
 */
export function centeredClip(
  graph: GraphBuilder,
  inputs: { x: GraphTensor; factors: GraphTensor },
  state: { center: GraphTensor; distances: GraphTensor },
): void {
  const [rows, columns] = matrix("centered_clip", "x", inputs.x);
  expectShape("centered_clip", "factors", inputs.factors, [rows]);
  expectShape("centered_clip", "center", state.center, [columns]);
  expectShape("centered_clip", "distances", state.distances, [rows]);
  graph.node("centered_clip", [inputs.x, inputs.factors], [state.center, state.distances], [rows, columns]);
}
