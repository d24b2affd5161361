// The transforms of dct.h for the 64 columns of a tile at once: vectors hold outputs, never the terms of one
// sum. Buffers are rows of 64 floats. Only files of isa/ include this.
#pragma once
#include <cstddef>
#include <cstdint>

#include "codec/dct.h"
#include "numeric/lanes.h"

namespace gradmesh::GM_ISA {
namespace {

constexpr float kDctCosines[] = {
#include "codec/dct_cosines.inc"
};
static_assert(sizeof kDctCosines == dct::kCosines * sizeof(float));

constexpr size_t kRow = dct::kSideMost;  // floats of a buffer's row
constexpr size_t kRowVectors = kRow / kLanes;

// Everything that depends on one side: matrices, and C[k][n] as rows of a buffer.
struct DctSide {
  alignas(64) float matrices[dct::kMatricesMost];
  alignas(64) float basis[kRow * kRow];
};
HD constexpr void fill_side(uint32_t side, DctSide* tables) {
  dct::fill_matrices(kDctCosines, side, tables->matrices);
  for (uint32_t k = 0; k < side; k++)
    for (uint32_t n = 0; n < kRow; n++)
      tables->basis[k * kRow + n] = n < side ? dct::basis(kDctCosines, side, k, n) : 0.0f;
}

// Rows y[o] = the sum over t of m[o m_row + t m_term] x[t], for `rows` consecutive o and `vectors` vectors of
// a row.
struct DctProduct {
  const float* m;
  size_t m_row, m_term;
  const float* x;
  ptrdiff_t x_step;  // floats from one row to the next
  float* y;
  ptrdiff_t y_step;
  size_t outputs, terms;
};
template <size_t rows, size_t vectors>
HD void product_block(const DctProduct& p, size_t first) {
  F16 sum[rows][vectors];
  for (size_t r = 0; r < rows; r++)
    for (size_t v = 0; v < vectors; v++) sum[r][v] = zero();
  const float* m = p.m + first * p.m_row;
  const float* x = p.x;
  for (size_t t = 0; t < p.terms; t++, m += p.m_term, x += p.x_step) {
    F16 in[vectors];
#pragma GCC unroll 4
    for (size_t v = 0; v < vectors; v++) in[v] = load(x + v * kLanes);
#pragma GCC unroll 8
    for (size_t r = 0; r < rows; r++) {
      const F16 factor = spread(m[r * p.m_row]);
#pragma GCC unroll 4
      for (size_t v = 0; v < vectors; v++) sum[r][v] = fma(factor, in[v], sum[r][v]);
    }
  }
  for (size_t r = 0; r < rows; r++)
    for (size_t v = 0; v < vectors; v++)
      store(p.y + static_cast<ptrdiff_t>(first + r) * p.y_step + v * kLanes, sum[r][v]);
}
template <size_t vectors>
HD void product(const DctProduct& p) {
  constexpr size_t kRows = 16 / vectors;
  size_t o = 0;
  for (; o + kRows <= p.outputs; o += kRows) product_block<kRows, vectors>(p, o);
  for (; o + 2 <= p.outputs; o += 2) product_block<2, vectors>(p, o);
  for (; o < p.outputs; o++) product_block<1, vectors>(p, o);
}

// a, b -> a + b, a - b.
template <size_t vectors>
HD void sum_and_difference(float* a, float* b) {
  for (size_t v = 0; v < vectors * kLanes; v += kLanes) {
    const F16 x = load(a + v), y = load(b + v);
    store(a + v, add(x, y));
    store(b + v, sub(x, y));
  }
}

// x[side] -> y[side], rows of `vectors` vectors; x is used up.
template <size_t vectors>
HD void forward_rows(const float* matrices, size_t side, float* x, float* y) {
  constexpr ptrdiff_t kStep = kRow;
  ptrdiff_t step = kStep;
  size_t left = side;
  for (; left % 2 == 0; left /= 2, step *= 2) {
    const size_t half = left / 2;
    for (size_t n = 0; n < half; n++) sum_and_difference<vectors>(x + n * kRow, x + (left - 1 - n) * kRow);
    product<vectors>({matrices, half, 1, x + (left - 1) * kRow, -kStep, y + step, 2 * step, half, half});
    matrices += half * half;
  }
  product<vectors>({matrices, left, 1, x, kStep, y, step, left, left});
}
// x[side] -> y[side].
template <size_t vectors>
HD void inverse_rows(const float* matrices, size_t side, const float* x, float* y) {
  constexpr ptrdiff_t kStep = kRow;
  ptrdiff_t step = kStep;
  size_t left = side;
  for (; left % 2 == 0; left /= 2, step *= 2) matrices += left * left / 4;
  product<vectors>({matrices, 1, left, x, step, y, kStep, left, left});
  for (; left < side; left *= 2) {
    step /= 2;
    matrices -= left * left;
    product<vectors>({matrices, left, 1, x + step, 2 * step, y + (2 * left - 1) * kRow, -kStep, left, left});
    for (size_t n = 0; n < left; n++)
      sum_and_difference<vectors>(y + n * kRow, y + (2 * left - 1 - n) * kRow);
  }
}

// Of `count` columns; what lies in a last, partial vector is transformed too.
HD void forward_columns(const float* matrices, size_t side, size_t count, float* x, float* y) {
  if (side == kRow && count == kRow) return forward_rows<kRowVectors>(matrices, kRow, x, y);
  for (size_t at = 0; at < count; at += kLanes) forward_rows<1>(matrices, side, x + at, y + at);
}
HD void inverse_columns(const float* matrices, size_t side, size_t count, const float* x, float* y) {
  if (side == kRow && count == kRow) return inverse_rows<kRowVectors>(matrices, kRow, x, y);
  for (size_t at = 0; at < count; at += kLanes) inverse_rows<1>(matrices, side, x + at, y + at);
}

// y[j][i] = x[i][j] for a 16 x 16 part.
#if defined(GM_ISA_avx512)
HD void transpose16(const float* x, float* y) {
  __m512 a[16], b[16];
#pragma GCC unroll 16
  for (int i = 0; i < 16; i++) a[i] = _mm512_loadu_ps(x + i * kRow);
#pragma GCC unroll 16
  for (int i = 0; i < 16; i += 2) {
    b[i] = _mm512_unpacklo_ps(a[i], a[i + 1]);
    b[i + 1] = _mm512_unpackhi_ps(a[i], a[i + 1]);
  }
#pragma GCC unroll 16
  for (int i = 0; i < 16; i += 4) {
    a[i] = _mm512_shuffle_ps(b[i], b[i + 2], 0x44);
    a[i + 1] = _mm512_shuffle_ps(b[i], b[i + 2], 0xee);
    a[i + 2] = _mm512_shuffle_ps(b[i + 1], b[i + 3], 0x44);
    a[i + 3] = _mm512_shuffle_ps(b[i + 1], b[i + 3], 0xee);
  }
  // a[4 q + c] holds, in its part p of four lanes, column 4 p + c of rows 4 q .. 4 q + 3.
#pragma GCC unroll 4
  for (int c = 0; c < 4; c++) {
    b[c] = _mm512_shuffle_f32x4(a[c], a[4 + c], 0x88);
    b[4 + c] = _mm512_shuffle_f32x4(a[8 + c], a[12 + c], 0x88);
    b[8 + c] = _mm512_shuffle_f32x4(a[c], a[4 + c], 0xdd);
    b[12 + c] = _mm512_shuffle_f32x4(a[8 + c], a[12 + c], 0xdd);
  }
#pragma GCC unroll 4
  for (int c = 0; c < 4; c++) {
    _mm512_storeu_ps(y + c * kRow, _mm512_shuffle_f32x4(b[c], b[4 + c], 0x88));
    _mm512_storeu_ps(y + (8 + c) * kRow, _mm512_shuffle_f32x4(b[c], b[4 + c], 0xdd));
    _mm512_storeu_ps(y + (4 + c) * kRow, _mm512_shuffle_f32x4(b[8 + c], b[12 + c], 0x88));
    _mm512_storeu_ps(y + (12 + c) * kRow, _mm512_shuffle_f32x4(b[8 + c], b[12 + c], 0xdd));
  }
}
#else
HD void transpose16(const float* x, float* y) {
  for (size_t i = 0; i < kLanes; i++)
    for (size_t j = 0; j < kLanes; j++) y[j * kRow + i] = x[i * kRow + j];
}
#endif
// In whole parts of 16 x 16: rows of x beyond `rows` give columns of y that nobody reads.
HD void transpose(const float* x, size_t rows, size_t columns, float* y) {
  for (size_t i = 0; i < rows; i += kLanes)
    for (size_t j = 0; j < columns; j += kLanes) transpose16(x + i * kRow + j, y + j * kRow + i);
}

}  // namespace
}  // namespace gradmesh::GM_ISA
