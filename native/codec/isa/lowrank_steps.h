// The steps of lowrank.h in vectors. Factors may lie in a wire, so they are bytes without alignment. Only
// files of isa/ include this.
#pragma once
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "codec/lowrank.h"
#include "numeric/lanes.h"

namespace gradmesh::GM_ISA {
namespace {

using codecs::lowrank;

// A factor: vectors of `length` floats.
struct Factor {
  uint8_t* bytes;
  size_t length;
};
HD Factor factor(const float* floats, size_t length) {
  return {reinterpret_cast<uint8_t*>(const_cast<float*>(floats)), length};
}
HD uint8_t* place(const Factor& f, size_t c, size_t i) {
  return f.bytes + (c * f.length + i) * sizeof(float);
}
HD float get(const Factor& f, size_t c, size_t i) {
  float x;
  memcpy(&x, place(f, c, i), sizeof x);
  return x;
}
HD void set(const Factor& f, size_t c, size_t i, float x) { memcpy(place(f, c, i), &x, sizeof x); }
HD F16 load_at(const Factor& f, size_t c, size_t i) {
  return load_some(reinterpret_cast<const float*>(place(f, c, i)), f.length - i);
}
HD void store_at(const Factor& f, size_t c, size_t i, F16 x) {
  store_some(reinterpret_cast<float*>(place(f, c, i)), x, f.length - i);
}

// p[c .. c + cs)[i .. i + rs) from rows of M that begin at row, stride floats apart.
template <size_t rs, size_t cs>
HD void left_block(const float* row, size_t stride, const Factor& q, size_t c, const Factor& p, size_t i) {
  F16 sum[rs][cs];
  for (size_t r = 0; r < rs; r++)
    for (size_t k = 0; k < cs; k++) sum[r][k] = zero();
  const size_t whole = q.length / kLanes * kLanes;
  const auto step = [&](size_t j, auto load_row, auto load_q) __attribute__((always_inline)) {
    F16 in[rs];
#pragma GCC unroll 4
    for (size_t r = 0; r < rs; r++) in[r] = load_row(row + r * stride + j);
#pragma GCC unroll 4
    for (size_t k = 0; k < cs; k++) {
      const F16 by = load_q(reinterpret_cast<const float*>(place(q, c + k, j)));
#pragma GCC unroll 4
      for (size_t r = 0; r < rs; r++) sum[r][k] = fma(in[r], by, sum[r][k]);
    }
  };
  const auto all = [](const float* x) __attribute__((always_inline)) { return load(x); };
  const auto part = [&](const float* x) __attribute__((always_inline)) {
    return load_part(x, q.length - whole);
  };
  for (size_t j = 0; j < whole; j += kLanes) step(j, all, all);
  if (whole < q.length) step(whole, part, part);
  for (size_t r = 0; r < rs; r++)
    for (size_t k = 0; k < cs; k++) set(p, c + k, i + r, exact::canonical(tree_fold(sum[r][k])));
}
template <size_t rs>
HD void left_rows(const float* row, size_t stride, const Factor& q, size_t rank, const Factor& p, size_t i) {
  size_t c = 0;
  for (; c + 4 <= rank; c += 4) left_block<rs, 4>(row, stride, q, c, p, i);
  for (; c < rank; c++) left_block<rs, 1>(row, stride, q, c, p, i);
}

// Adds rs rows of M, from row i on, to q.
template <size_t rs>
HD void right_rows(const float* row, size_t stride, const Factor& p, size_t i, size_t rank, const Factor& q) {
  for (size_t j = 0; j < q.length; j += kLanes) {
    const size_t left = q.length - j;
    F16 in[rs];
#pragma GCC unroll 8
    for (size_t r = 0; r < rs; r++) in[r] = load_some(row + r * stride + j, left);
    for (size_t c = 0; c < rank; c++) {
      F16 sum = load_at(q, c, j);
#pragma GCC unroll 8
      for (size_t r = 0; r < rs; r++) sum = fma(in[r], spread(get(p, c, i + r)), sum);
      store_at(q, c, j, sum);
    }
  }
}
HD void right_begin(const Factor& q, size_t rank) { memset(q.bytes, 0, q.length * rank * sizeof(float)); }
HD void right_end(const Factor& q, size_t rank) {
  const Factor all = {q.bytes, q.length * rank};
  for (size_t i = 0; i < all.length; i += kLanes) store_at(all, 0, i, canonical(load_at(all, 0, i)));
}

// Rows i .. i + rs of p q^T: out(r, j, vector, elements), elements <= 16.
template <size_t rs, class Out>
HD void expand_rows(const Factor& p, size_t i, const Factor& q, size_t rank, Out out) {
  for (size_t j = 0; j < q.length; j += kLanes) {
    const size_t left = q.length - j;
    F16 sum[rs];
#pragma GCC unroll 8
    for (size_t r = 0; r < rs; r++) sum[r] = zero();
    for (size_t c = 0; c < rank; c++) {
      const F16 by = load_at(q, c, j);
#pragma GCC unroll 8
      for (size_t r = 0; r < rs; r++) sum[r] = fma(spread(get(p, c, i + r)), by, sum[r]);
    }
#pragma GCC unroll 8
    for (size_t r = 0; r < rs; r++) out(r, j, canonical(sum[r]), left < kLanes ? left : kLanes);
  }
}

HD float dot(const Factor& f, size_t a, size_t b) {
  F16 sum = zero();
  for (size_t i = 0; i < f.length; i += kLanes) sum = fma(load_at(f, a, i), load_at(f, b, i), sum);
  return tree_fold(sum);
}
HD uint32_t largest(const Factor& f, size_t c) {
  int32_t largest = 0;
  for (size_t i = 0; i < f.length; i++) {
    const int32_t magnitude = static_cast<int32_t>(exact::bits(get(f, c, i)) & 0x7fffffffu);
    largest = magnitude > largest ? magnitude : largest;
  }
  return static_cast<uint32_t>(largest);
}
HD void fill(const Factor& f, size_t c, uint32_t bits) {
  for (size_t i = 0; i < f.length; i++) set(f, c, i, exact::from_bits(bits));
}
HD void multiply(const Factor& f, size_t c, float by) {
  for (size_t i = 0; i < f.length; i += kLanes) store_at(f, c, i, mul(load_at(f, c, i), spread(by)));
}
HD void subtract_earlier(const Factor& f, size_t c) {
  for (size_t b = 0; b < c; b++) {
    const F16 along = spread(-dot(f, b, c));
    for (size_t i = 0; i < f.length; i += kLanes)
      store_at(f, c, i, fma(along, load_at(f, b, i), load_at(f, c, i)));
  }
}
HD void orthogonalize_vectors(const Factor& f, size_t rank) {
  for (size_t c = 0; c < rank; c++) {
    const uint32_t before = largest(f, c);
    if (before == 0 || before >= lowrank::kInfinity) {
      fill(f, c, before == 0 ? 0 : exact::kNan);
      continue;
    }
    multiply(f, c, lowrank::inverse_power(before));
    subtract_earlier(f, c);
    const uint32_t after = largest(f, c);
    if (after < lowrank::kDependent || after >= lowrank::kInfinity) {
      fill(f, c, after < lowrank::kDependent ? 0 : exact::kNan);
      continue;
    }
    subtract_earlier(f, c);
    multiply(f, c, exact::rsqrt(dot(f, c, c)));
  }
}

// Whole matrices.
HD void left_all(const float* m, size_t rows, const Factor& q, size_t rank, const Factor& p) {
  size_t i = 0;
  for (; i + 2 <= rows; i += 2) left_rows<2>(m + i * q.length, q.length, q, rank, p, i);
  for (; i < rows; i++) left_rows<1>(m + i * q.length, q.length, q, rank, p, i);
}
HD void right_all(const float* m, size_t rows, const Factor& p, size_t rank, const Factor& q) {
  size_t i = 0;
  right_begin(q, rank);
  for (; i + 8 <= rows; i += 8) right_rows<8>(m + i * q.length, q.length, p, i, rank, q);
  for (; i < rows; i++) right_rows<1>(m + i * q.length, q.length, p, i, rank, q);
  right_end(q, rank);
}
template <class Out>  // out(i, j, vector, elements)
HD void expand_all(const Factor& p, size_t rows, const Factor& q, size_t rank, Out out) {
  constexpr size_t kRows = 4;
  size_t i = 0;
  const auto row = [&](size_t r, size_t j, F16 x, size_t count) __attribute__((always_inline)) {
    out(i + r, j, x, count);
  };
  for (; i + kRows <= rows; i += kRows) expand_rows<kRows>(p, i, q, rank, row);
  for (; i < rows; i++) expand_rows<1>(p, i, q, rank, row);
}

}  // namespace
}  // namespace gradmesh::GM_ISA
