// The matrix product that every operator with one is made of: c[i, j] = the sum over k of a[i, k] b[k, j],
// each output with one accumulator that starts at +0 and takes exact::fma by ascending k.
//
// A tile of kTileRows x 48 (AVX-512) or 16 (else) outputs stays in registers; b is copied to a panel, so that
// a tile reads it in order. Sums longer than kBlockTerms are cut into blocks; between two blocks the
// accumulators are stored and loaded again, which changes no bit. Only the outputs are spread over registers
// and threads, never the terms of one sum.
#pragma once
#include "ops/isa/vector.h"
#include "ops/kernels.h"

namespace gradmesh::ops::GM_ISA {

// Which terms and outputs take part. In a causal product row i is a position that sees positions up to its
// own.
enum class Terms {
  all,      // every k
  up_to,    // k <= i: a is lower triangular, what lies above is not read
  from,     // k >= i: a is the transpose of a lower triangular matrix
  outputs,  // every k, but only outputs j <= i are needed (others may be written, with anything)
};

struct Product {
  const float* a;  // element (i, k) at i a_row + k a_term; one of the two is 1
  size_t a_row, a_term;
  const float* b;  // element (k, j) at k b_term + j b_column; one of the two is 1
  size_t b_term, b_column;
  float* c;  // element (i, j) at i c_row + j
  size_t c_row;
  size_t rows, columns, terms;
  const float* bias;  // added to the finished sum of column j; null for none
  Terms which;
};

// Outputs [row_begin, row_end) x [column_begin, column_end); panel holds product_scratch() floats (shapes.h).
void multiply(const Product& p, size_t row_begin, size_t row_end, size_t column_begin, size_t column_end,
              float* panel);

}  // namespace gradmesh::ops::GM_ISA
