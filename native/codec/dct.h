// The orthonormal two-dimensional DCT-II of a tile, and its inverse, in a written order of sums.
//
// One dimension of `side` N <= 64 is C x with C[k][n] = cos(pi (2n + 1) k / (2 N)), and C[0][n] = cos(pi /
// 4). This is sqrt(N / 2) times an orthonormal matrix; the factor of both dimensions, scale(), is applied
// once at the end.
//
// forward, x[N] -> X[N]:
// - N even: s[n] = x[n] + x[N - 1 - n] and d[n] = x[n] - x[N - 1 - n] for n < N / 2. X[2j + 1] = the sum of
//   C[2j + 1][n] d[n], and the even X are forward of s, with N / 2.
// - N odd: X[k] = the sum of C[k][n] x[n].
// inverse, X[N] -> x[N]:
// - N even: e = inverse of the even X, with N / 2; o[n] = the sum over j of C[2j + 1][n] X[2j + 1];
//   x[n] = e[n] + o[n] and x[N - 1 - n] = e[n] - o[n] for n < N / 2.
// - N odd: x[n] = the sum of C[k][n] X[k].
// Every sum has one accumulator, starts at +0 and takes exact::fma(C, .., sum) by ascending index. For N = 64
// that is 1365 products instead of 4096.
//
// A tile of `rows` x `columns` is taken forward down the columns first, then along the rows. Back from few
// coefficients, (u, v) of value c in a given order: t[u][j] starts at +0 and takes exact::fma(C[v][j], c,
// t[u][j]) in that order, for every j; then inverse down the columns of t.
#pragma once
#include <cstddef>
#include <cstdint>

#include "numeric/exact.h"

namespace gradmesh::dct {

constexpr size_t kSideMost = 64;
constexpr size_t kTileMost = kSideMost * kSideMost;

// cos(pi m / (2 N)) for N of 33 .. 64 begins at N (N - 1) / 2 - 528. A smaller side is a divisor of one of
// them.
constexpr size_t kCosines = 1552;
HD constexpr size_t cosines_of(size_t side) { return side * (side - 1) / 2 - 528; }
constexpr float kCosQuarter = 0x1.6a09e6p-1f;  // cos(pi / 4)

// The largest divisor of `length` that is at most 64: the side of its tiles.
HD constexpr uint32_t side_of(uint32_t length) {
  uint32_t side = length < kSideMost ? length : static_cast<uint32_t>(kSideMost);
  while (length % side != 0) side--;
  return side;
}

// cos(pi m / (2 side)) for any m; `cosines` is the table.
HD constexpr float cosine(const float* cosines, uint32_t side, uint32_t m) {
  m %= 4 * side;
  if (m > 2 * side) m = 4 * side - m;
  const bool negative = m > side;
  if (negative) m = 2 * side - m;
  if (m == side) return 0.0f;
  const uint32_t multiple = static_cast<uint32_t>(kSideMost) / side;
  const float x = cosines[cosines_of(side * multiple) + m * multiple];
  return negative ? -x : x;
}
// C[k][n].
HD constexpr float basis(const float* cosines, uint32_t side, uint32_t k, uint32_t n) {
  return k == 0 ? kCosQuarter : cosine(cosines, side, (2 * n + 1) * k);
}

// The matrices of all levels, in the order in which forward takes them: for each even N, N / 2 rows of C[2j +
// 1][n], n < N / 2 (it is symmetric: the inverse takes the same); at the end, for odd N, C[k][n] by rows.
// 1365 floats for 64, at most 63 * 63.
constexpr size_t kMatricesMost = 63 * 63;
HD constexpr uint32_t matrices_count(uint32_t side) {
  uint32_t count = 0;
  for (; side % 2 == 0; side /= 2) count += side * side / 4;
  return count + side * side;
}
// Float number i of them.
HD constexpr float matrix_element(const float* cosines, uint32_t side, uint32_t i) {
  for (; side % 2 == 0 && i >= side * side / 4; side /= 2) i -= side * side / 4;
  if (side % 2 != 0) return basis(cosines, side, i / side, i % side);
  const uint32_t half = side / 2;
  return basis(cosines, side, 2 * (i / half) + 1, i % half);
}
HD constexpr void fill_matrices(const float* cosines, uint32_t side, float* matrices) {
  const uint32_t count = matrices_count(side);
  for (uint32_t i = 0; i < count; i++) matrices[i] = matrix_element(cosines, side, i);
}

// What makes forward and inverse of a rows x columns tile orthonormal; exactly 1/32 for 64 x 64. The root of
// an integer of at most 4096 that is a square is exact, and so is its quotient where it is a power of two.
HD float scale(uint32_t rows, uint32_t columns) {
  return exact::div(2.0f, exact::sqrt(static_cast<float>(rows * columns)));
}

// One dimension of `side` elements that lie `stride` apart; work is 2 * side floats. The definition: loops
// and kernels do the same for many at once.
HD void forward(const float* matrices, uint32_t side, float* x, size_t stride, float* work) {
  float* const result = work + side;
  uint32_t step = 1, left = side;
  for (uint32_t n = 0; n < side; n++) work[n] = x[n * stride];
  for (; left % 2 == 0; left /= 2, step *= 2) {
    const uint32_t half = left / 2;
    for (uint32_t n = 0; n < half; n++) {
      const float a = work[n], b = work[left - 1 - n];
      work[n] = exact::add(a, b);
      work[left - 1 - n] = exact::sub(a, b);
    }
    for (uint32_t j = 0; j < half; j++) {
      float sum = 0.0f;
      for (uint32_t n = 0; n < half; n++) sum = exact::fma(*matrices++, work[left - 1 - n], sum);
      result[(2 * j + 1) * step] = sum;
    }
  }
  for (uint32_t k = 0; k < left; k++) {
    float sum = 0.0f;
    for (uint32_t n = 0; n < left; n++) sum = exact::fma(*matrices++, work[n], sum);
    result[k * step] = sum;
  }
  for (uint32_t k = 0; k < side; k++) x[k * stride] = result[k];
}

HD void inverse(const float* matrices, uint32_t side, float* x, size_t stride, float* work) {
  float* const odd = work + side;
  uint32_t step = 1, left = side;
  for (; left % 2 == 0; left /= 2, step *= 2) matrices += left * left / 4;
  for (uint32_t n = 0; n < left; n++) {
    float sum = 0.0f;
    for (uint32_t k = 0; k < left; k++) sum = exact::fma(matrices[k * left + n], x[k * step * stride], sum);
    work[n] = sum;
  }
  for (; left < side; left *= 2) {
    step /= 2;
    matrices -= left * left;
    for (uint32_t n = 0; n < left; n++) {
      odd[n] = 0.0f;
      for (uint32_t j = 0; j < left; j++)
        odd[n] = exact::fma(matrices[n * left + j], x[(2 * j + 1) * step * stride], odd[n]);
    }
    for (uint32_t n = 0; n < left; n++) {
      const float even = work[n];
      work[n] = exact::add(even, odd[n]);
      work[2 * left - 1 - n] = exact::sub(even, odd[n]);
    }
  }
  for (uint32_t n = 0; n < side; n++) x[n * stride] = work[n];
}

}  // namespace gradmesh::dct
