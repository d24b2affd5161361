// F16: sixteen float lanes, the one vector type that kernels are written in. A register of AVX-512, two of
// AVX2, an array otherwise; every operation is the exact:: one of the same name, lane by lane. Parts of a
// vector (count < 16) read as +0 beyond count and are never read or written there.
#pragma once
#include <cstddef>
#include <cstdint>

#include "numeric/exact.h"
#include "numeric/tree.h"

#if defined(GM_ISA_avx512) || defined(GM_ISA_avx2)
#include <immintrin.h>
#endif

namespace gradmesh::ops::GM_ISA {

constexpr size_t kLanes = tree::kLanes;

#if defined(GM_ISA_avx512)

struct F16 {
  __m512 v;
};
HD F16 zero() { return {_mm512_setzero_ps()}; }
HD F16 spread(float x) { return {_mm512_set1_ps(x)}; }
HD F16 load(const float* p) { return {_mm512_loadu_ps(p)}; }
HD void store(float* p, F16 a) { _mm512_storeu_ps(p, a.v); }
HD __mmask16 first_lanes(size_t count) { return (__mmask16)((1u << count) - 1u); }
HD F16 load_part(const float* p, size_t count) { return {_mm512_maskz_loadu_ps(first_lanes(count), p)}; }
HD void store_part(float* p, F16 a, size_t count) { _mm512_mask_storeu_ps(p, first_lanes(count), a.v); }
HD F16 add(F16 a, F16 b) { return {_mm512_add_ps(a.v, b.v)}; }
HD F16 sub(F16 a, F16 b) { return {_mm512_sub_ps(a.v, b.v)}; }
HD F16 mul(F16 a, F16 b) { return {_mm512_mul_ps(a.v, b.v)}; }
HD F16 fma(F16 a, F16 b, F16 c) { return {_mm512_fmadd_ps(a.v, b.v, c.v)}; }

#elif defined(GM_ISA_avx2)

struct F16 {
  __m256 low, high;
};
HD F16 zero() { return {_mm256_setzero_ps(), _mm256_setzero_ps()}; }
HD F16 spread(float x) { return {_mm256_set1_ps(x), _mm256_set1_ps(x)}; }
HD F16 load(const float* p) { return {_mm256_loadu_ps(p), _mm256_loadu_ps(p + 8)}; }
HD void store(float* p, F16 a) {
  _mm256_storeu_ps(p, a.low);
  _mm256_storeu_ps(p + 8, a.high);
}
HD __m256i first_lanes(int count) {
  return _mm256_cmpgt_epi32(_mm256_set1_epi32(count), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}
HD F16 load_part(const float* p, size_t count) {
  const int n = (int)count;
  return {_mm256_maskload_ps(p, first_lanes(n)), _mm256_maskload_ps(p + 8, first_lanes(n - 8))};
}
HD void store_part(float* p, F16 a, size_t count) {
  const int n = (int)count;
  _mm256_maskstore_ps(p, first_lanes(n), a.low);
  _mm256_maskstore_ps(p + 8, first_lanes(n - 8), a.high);
}
HD F16 add(F16 a, F16 b) { return {_mm256_add_ps(a.low, b.low), _mm256_add_ps(a.high, b.high)}; }
HD F16 sub(F16 a, F16 b) { return {_mm256_sub_ps(a.low, b.low), _mm256_sub_ps(a.high, b.high)}; }
HD F16 mul(F16 a, F16 b) { return {_mm256_mul_ps(a.low, b.low), _mm256_mul_ps(a.high, b.high)}; }
HD F16 fma(F16 a, F16 b, F16 c) {
  return {_mm256_fmadd_ps(a.low, b.low, c.low), _mm256_fmadd_ps(a.high, b.high, c.high)};
}

#else

struct F16 {
  float lanes[kLanes];
};
HD F16 zero() { return {}; }
HD F16 spread(float x) {
  F16 a;
  for (size_t i = 0; i < kLanes; ++i) a.lanes[i] = x;
  return a;
}
HD F16 load_part(const float* p, size_t count) {
  F16 a = {};
  for (size_t i = 0; i < count; ++i) a.lanes[i] = p[i];
  return a;
}
HD void store_part(float* p, F16 a, size_t count) {
  for (size_t i = 0; i < count; ++i) p[i] = a.lanes[i];
}
HD F16 load(const float* p) { return load_part(p, kLanes); }
HD void store(float* p, F16 a) { store_part(p, a, kLanes); }
HD F16 add(F16 a, F16 b) {
  for (size_t i = 0; i < kLanes; ++i) a.lanes[i] = exact::add(a.lanes[i], b.lanes[i]);
  return a;
}
HD F16 sub(F16 a, F16 b) {
  for (size_t i = 0; i < kLanes; ++i) a.lanes[i] = exact::sub(a.lanes[i], b.lanes[i]);
  return a;
}
HD F16 mul(F16 a, F16 b) {
  for (size_t i = 0; i < kLanes; ++i) a.lanes[i] = exact::mul(a.lanes[i], b.lanes[i]);
  return a;
}
HD F16 fma(F16 a, F16 b, F16 c) {
  for (size_t i = 0; i < kLanes; ++i) c.lanes[i] = exact::fma(a.lanes[i], b.lanes[i], c.lanes[i]);
  return c;
}

#endif

// Lanes [0, count) of p for any count >= 1; whole vectors are the common case.
HD F16 load_some(const float* p, size_t count) { return count >= kLanes ? load(p) : load_part(p, count); }
HD void store_some(float* p, F16 a, size_t count) {
  if (count >= kLanes)
    store(p, a);
  else
    store_part(p, a, count);
}

// The end of a fixed tree (numeric/tree.h): sixteen lanes to one.
HD float tree_fold(F16 a) {
  alignas(64) float lanes[kLanes];
  store(lanes, a);
  return tree::fold(lanes);
}

}  // namespace gradmesh::ops::GM_ISA
