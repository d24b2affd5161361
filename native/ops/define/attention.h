// Where the heads of causal self-attention lie, and its one step between two products.
#pragma once
#include <cstddef>
#include <cstdint>

#include "numeric/exact.h"

namespace gradmesh::ops::define {

// One head of one sequence: where its rows are in qkv[B*T,3C], out[B*T,C] and probabilities[B,H,T,T].
struct Head {
  size_t positions, width;  // T, D = C / H
  size_t row, row_qkv;      // floats from one position to the next: C and 3C
  size_t first, first_qkv;  // the offset of its first element
  size_t first_probability;
};

// Heads are counted through a sequence's heads first, then through the sequences.
HD Head head_of(size_t positions, size_t heads, size_t columns, uint64_t index) {
  const size_t sequence = index / heads, head = index % heads;
  Head h;
  h.positions = positions, h.width = columns / heads;
  h.row = columns, h.row_qkv = 3 * columns;
  h.first = sequence * positions * columns + head * h.width;
  h.first_qkv = sequence * positions * 3 * columns + head * h.width;
  h.first_probability = index * positions * positions;
  return h;
}

HD float attention_scale(size_t width) { return exact::div(1.0f, exact::sqrt((float)width)); }

// d_score = P (d_P - the sum of P d_P) scale
HD float attention_slope(float probability, float d_probability, float total, float scale) {
  return exact::mul(exact::mul(probability, exact::sub(d_probability, total)), scale);
}

}  // namespace gradmesh::ops::define
