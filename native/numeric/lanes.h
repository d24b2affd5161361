// F16: sixteen float lanes, the one vector type that operators and transforms are written in. A register of
// AVX-512, two of AVX2, an array otherwise; every operation is the exact:: one of the same name, lane by
// lane. Loads and stores need no alignment, not even that of a float. Parts of a vector (count < 16) read as
// +0 beyond count and are never read or written there. Only files of isa/ include this.
#pragma once
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "numeric/convert.h"
#include "numeric/exact.h"
#include "numeric/intrinsics.h"
#include "numeric/tree.h"

namespace gradmesh::GM_ISA {
namespace {

constexpr size_t kLanes = tree::kLanes;

#if defined(GM_ISA_avx512)

struct F16 {
  __m512 v;
};
HD F16 zero() { return {_mm512_setzero_ps()}; }
HD F16 spread(float x) { return {_mm512_set1_ps(x)}; }
HD F16 load(const float* p) { return {_mm512_loadu_ps(p)}; }
HD void store(float* p, F16 a) { _mm512_storeu_ps(p, a.v); }
HD F16 load_part(const float* p, size_t count) {
  return {_mm512_maskz_loadu_ps(static_cast<__mmask16>((1u << count) - 1u), p)};
}
HD void store_part(float* p, F16 a, size_t count) {
  _mm512_mask_storeu_ps(p, static_cast<__mmask16>((1u << count) - 1u), a.v);
}
HD F16 add(F16 a, F16 b) { return {_mm512_add_ps(a.v, b.v)}; }
HD F16 sub(F16 a, F16 b) { return {_mm512_sub_ps(a.v, b.v)}; }
HD F16 mul(F16 a, F16 b) { return {_mm512_mul_ps(a.v, b.v)}; }
HD F16 div(F16 a, F16 b) { return {_mm512_div_ps(a.v, b.v)}; }
HD F16 fma(F16 a, F16 b, F16 c) { return {_mm512_fmadd_ps(a.v, b.v, c.v)}; }
HD F16 canonical(F16 a) {
  const __m512 nan = _mm512_castsi512_ps(_mm512_set1_epi32(exact::kNan));
  return {_mm512_mask_mov_ps(a.v, _mm512_cmp_ps_mask(a.v, a.v, _CMP_UNORD_Q), nan)};
}
// Lanes whose bit is set get the other sign.
HD F16 negate_if(F16 a, uint32_t lanes) {
  const __m512i bits = _mm512_castps_si512(a.v);
  const __m512i sign = _mm512_set1_epi32(static_cast<int32_t>(0x80000000u));
  return {_mm512_castsi512_ps(_mm512_mask_xor_epi32(bits, static_cast<__mmask16>(lanes), bits, sign))};
}
// Lane i with i & stride = 0: a[i] + a[i + stride]; the other: a[i - stride] - a[i]. fma by 1 and -1 is add
// and sub.
template <int stride>
HD F16 butterfly(F16 a) {
  constexpr __mmask16 kUpper = stride == 1 ? 0xaaaa : stride == 2 ? 0xcccc : stride == 4 ? 0xf0f0 : 0xff00;
  const __m512 one = _mm512_set1_ps(1.0f);
  const __m512 by = _mm512_mask_sub_ps(one, kUpper, _mm512_setzero_ps(), one);
  __m512 other;
  if constexpr (stride == 1) other = _mm512_permute_ps(a.v, 0xb1);
  if constexpr (stride == 2) other = _mm512_permute_ps(a.v, 0x4e);
  if constexpr (stride == 4) other = _mm512_shuffle_f32x4(a.v, a.v, 0xb1);
  if constexpr (stride == 8) other = _mm512_shuffle_f32x4(a.v, a.v, 0x4e);
  return {_mm512_fmadd_ps(a.v, by, other)};
}

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
  const int n = static_cast<int>(count);
  return {_mm256_maskload_ps(p, first_lanes(n)), _mm256_maskload_ps(p + 8, first_lanes(n - 8))};
}
HD void store_part(float* p, F16 a, size_t count) {
  const int n = static_cast<int>(count);
  _mm256_maskstore_ps(p, first_lanes(n), a.low);
  _mm256_maskstore_ps(p + 8, first_lanes(n - 8), a.high);
}
HD F16 add(F16 a, F16 b) { return {_mm256_add_ps(a.low, b.low), _mm256_add_ps(a.high, b.high)}; }
HD F16 sub(F16 a, F16 b) { return {_mm256_sub_ps(a.low, b.low), _mm256_sub_ps(a.high, b.high)}; }
HD F16 mul(F16 a, F16 b) { return {_mm256_mul_ps(a.low, b.low), _mm256_mul_ps(a.high, b.high)}; }
HD F16 div(F16 a, F16 b) { return {_mm256_div_ps(a.low, b.low), _mm256_div_ps(a.high, b.high)}; }
HD F16 fma(F16 a, F16 b, F16 c) {
  return {_mm256_fmadd_ps(a.low, b.low, c.low), _mm256_fmadd_ps(a.high, b.high, c.high)};
}
HD __m256 canonical(__m256 a) {
  const __m256 nan = _mm256_castsi256_ps(_mm256_set1_epi32(exact::kNan));
  return _mm256_blendv_ps(a, nan, _mm256_cmp_ps(a, a, _CMP_UNORD_Q));
}
HD F16 canonical(F16 a) { return {canonical(a.low), canonical(a.high)}; }
HD __m256 negate_if(__m256 a, uint32_t lanes) {
  const __m256i bits = _mm256_setr_epi32(1, 2, 4, 8, 16, 32, 64, 128);
  const __m256i chosen = _mm256_cmpeq_epi32(_mm256_and_si256(_mm256_set1_epi32((int)lanes), bits), bits);
  const __m256i sign = _mm256_slli_epi32(chosen, 31);
  return _mm256_xor_ps(a, _mm256_castsi256_ps(sign));
}
HD F16 negate_if(F16 a, uint32_t lanes) { return {negate_if(a.low, lanes), negate_if(a.high, lanes >> 8)}; }
template <int stride>
HD __m256 butterfly(__m256 a) {
  const float b = stride == 2 ? 1.0f : -1.0f, c = stride == 1 ? 1.0f : -1.0f, d = -1.0f;
  const __m256 by = stride == 4 ? _mm256_setr_ps(1.0f, 1.0f, 1.0f, 1.0f, d, d, d, d)
                                : _mm256_setr_ps(1.0f, b, c, d, 1.0f, b, c, d);
  __m256 other;
  if constexpr (stride == 1) other = _mm256_permute_ps(a, 0xb1);
  if constexpr (stride == 2) other = _mm256_permute_ps(a, 0x4e);
  if constexpr (stride == 4) other = _mm256_permute2f128_ps(a, a, 0x01);
  return _mm256_fmadd_ps(a, by, other);
}
template <int stride>
HD F16 butterfly(F16 a) {
  if constexpr (stride == 8)
    return {_mm256_add_ps(a.low, a.high), _mm256_sub_ps(a.low, a.high)};
  else
    return {butterfly<stride>(a.low), butterfly<stride>(a.high)};
}

#else

struct F16 {
  float lanes[kLanes];
};
HD F16 zero() { return {}; }
HD F16 spread(float x) {
  F16 a;
  for (size_t i = 0; i < kLanes; i++) a.lanes[i] = x;
  return a;
}
HD F16 load_part(const float* p, size_t count) {
  F16 a = {};
  memcpy(a.lanes, p, count * sizeof(float));
  return a;
}
HD void store_part(float* p, F16 a, size_t count) { memcpy(p, a.lanes, count * sizeof(float)); }
HD F16 load(const float* p) { return load_part(p, kLanes); }
HD void store(float* p, F16 a) { store_part(p, a, kLanes); }
HD F16 add(F16 a, F16 b) {
  for (size_t i = 0; i < kLanes; i++) a.lanes[i] = exact::add(a.lanes[i], b.lanes[i]);
  return a;
}
HD F16 sub(F16 a, F16 b) {
  for (size_t i = 0; i < kLanes; i++) a.lanes[i] = exact::sub(a.lanes[i], b.lanes[i]);
  return a;
}
HD F16 mul(F16 a, F16 b) {
  for (size_t i = 0; i < kLanes; i++) a.lanes[i] = exact::mul(a.lanes[i], b.lanes[i]);
  return a;
}
HD F16 div(F16 a, F16 b) {
  for (size_t i = 0; i < kLanes; i++) a.lanes[i] = exact::div(a.lanes[i], b.lanes[i]);
  return a;
}
HD F16 fma(F16 a, F16 b, F16 c) {
  for (size_t i = 0; i < kLanes; i++) c.lanes[i] = exact::fma(a.lanes[i], b.lanes[i], c.lanes[i]);
  return c;
}
HD F16 canonical(F16 a) {
  for (size_t i = 0; i < kLanes; i++) a.lanes[i] = exact::canonical(a.lanes[i]);
  return a;
}
HD F16 negate_if(F16 a, uint32_t lanes) {
  for (size_t i = 0; i < kLanes; i++)
    a.lanes[i] = exact::from_bits(exact::bits(a.lanes[i]) ^ (lanes >> i & 1u) << 31);
  return a;
}

#endif

// Of lanes [0, count) for any count >= 1; the others read as +0 and are not written.
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

// The largest magnitude, as integer bits.
HD int32_t largest_magnitude(const float* x, size_t count) {
  int32_t largest = 0;
  for (size_t i = 0; i < count; i++) {
    const int32_t magnitude = static_cast<int32_t>(exact::bits(x[i]) & 0x7fffffffu);
    largest = magnitude > largest ? magnitude : largest;
  }
  return largest;
}

}  // namespace
}  // namespace gradmesh::GM_ISA
