/** Which tensors of a bucket PowerSGD (arXiv 1905.13727) sends as two factors, and which as they are; pure. */
import type { TensorLayout, TensorSlot } from "../tensor/layout.js";

/** A tensor seen as a matrix: all extents but the last are rows. */
export interface FactoredTensor {
  readonly slot: TensorSlot;
  readonly rows: number;
  readonly columns: number;
  /** Of its factors: the recipe's, and below both extents. */
  readonly rank: number;
}

export interface FactorPlan {
  readonly factored: readonly FactoredTensor[];
  /** Vectors, and matrices whose factors would be no shorter. */
  readonly plain: readonly TensorSlot[];
  /** Elements of the first all-reduce: the left factors P [rows, rank] of all matrices, then the plain tensors. */
  readonly firstElements: number;
  /** Elements of the second: the right factors Q [columns, rank]. */
  readonly secondElements: number;
}

/** @param rank of the recipe, at least 1. */
export function planFactors(layout: TensorLayout, rank: number): FactorPlan {
  const factored: FactoredTensor[] = [];
  const plain: TensorSlot[] = [];
  for (const slot of layout.slots) {
    const columns = slot.shape.at(-1) ?? 1;
    const rows = slot.elements / columns;
    if (rank * (rows + columns) < slot.elements) factored.push({ slot, rows, columns, rank });
    else plain.push(slot);
  }
  const left = factored.reduce((sum, matrix) => sum + matrix.rows * matrix.rank, 0);
  return {
    factored,
    plain,
    firstElements: plain.reduce((sum, { elements }) => sum + elements, left),
    secondElements: factored.reduce((sum, matrix) => sum + matrix.columns * matrix.rank, 0),
  };
}
