// Many Philox blocks at once: the loops' form of prng::block(), with the same words. Only files of isa/
// include this.
#pragma once
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "base/prng.h"
#include "numeric/intrinsics.h"

namespace gradmesh::GM_ISA {
namespace {

constexpr size_t kPhiloxLanes = 16;

// words[4 i + j] = word j of Philox block first + i of the stream, for i < 16.
#if GM_ISA_avx512
// The upper and lower halves of the products of 16 unsigned words.
HD __m512i products(__m512i a, __m512i factor, __m512i* low) {
  const __m512i even = _mm512_mul_epu32(a, factor), odd = _mm512_mul_epu32(_mm512_srli_epi64(a, 32), factor);
  *low = _mm512_mask_blend_epi32(0xaaaa, even, _mm512_slli_epi64(odd, 32));
  return _mm512_mask_blend_epi32(0xaaaa, _mm512_srli_epi64(even, 32), odd);
}
// From four vectors of 16 lanes to 16 groups of four words in a row.
HD void store_groups(__m512i a, __m512i b, __m512i c, __m512i d, uint32_t* words) {
  const __m512i ab = _mm512_unpacklo_epi32(a, b), AB = _mm512_unpackhi_epi32(a, b);
  const __m512i cd = _mm512_unpacklo_epi32(c, d), CD = _mm512_unpackhi_epi32(c, d);
  // Quarter l of rows[k] is group 4 l + k.
  const __m512i rows[4] = {_mm512_unpacklo_epi64(ab, cd), _mm512_unpackhi_epi64(ab, cd),
                           _mm512_unpacklo_epi64(AB, CD), _mm512_unpackhi_epi64(AB, CD)};
  const __m512i low01 = _mm512_shuffle_i32x4(rows[0], rows[1], 0x44),
                low23 = _mm512_shuffle_i32x4(rows[2], rows[3], 0x44);
  const __m512i top01 = _mm512_shuffle_i32x4(rows[0], rows[1], 0xee),
                top23 = _mm512_shuffle_i32x4(rows[2], rows[3], 0xee);
  _mm512_storeu_si512(words, _mm512_shuffle_i32x4(low01, low23, 0x88));
  _mm512_storeu_si512(words + 16, _mm512_shuffle_i32x4(low01, low23, 0xdd));
  _mm512_storeu_si512(words + 32, _mm512_shuffle_i32x4(top01, top23, 0x88));
  _mm512_storeu_si512(words + 48, _mm512_shuffle_i32x4(top01, top23, 0xdd));
}
HD void random_words16(uint64_t seed, uint64_t stream, uint64_t first, uint32_t* words) {
  const __m512i lane = _mm512_set_epi32(15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0);
  const __m512i left = _mm512_set1_epi32(static_cast<int>(0xd2511f53u));
  const __m512i right = _mm512_set1_epi32(static_cast<int>(0xcd9e8d57u));
  __m512i a = _mm512_add_epi32(_mm512_set1_epi32(static_cast<int>(first)), lane);
  __m512i b = _mm512_set1_epi32(static_cast<int>(first >> 32));
  b = _mm512_mask_add_epi32(b, _mm512_cmplt_epu32_mask(a, lane), b, _mm512_set1_epi32(1));  // the carry
  __m512i c = _mm512_set1_epi32(static_cast<int>(stream)),
          d = _mm512_set1_epi32(static_cast<int>(stream >> 32));
  uint32_t key_low = static_cast<uint32_t>(seed), key_high = static_cast<uint32_t>(seed >> 32);
  for (int round = 0; round < 10; round++) {
    __m512i left_low, right_low;
    const __m512i left_high = products(a, left, &left_low), right_high = products(c, right, &right_low);
    a = _mm512_ternarylogic_epi32(right_high, b, _mm512_set1_epi32(static_cast<int>(key_low)), 0x96);
    c = _mm512_ternarylogic_epi32(left_high, d, _mm512_set1_epi32(static_cast<int>(key_high)), 0x96);
    b = right_low;
    d = left_low;
    key_low += 0x9e3779b9u;
    key_high += 0xbb67ae85u;
  }
  store_groups(a, b, c, d, words);
}
#else
// Not inlined: gcc vectorizes the loops only while they stand alone.
__attribute__((noinline, unused)) void random_words16(uint64_t seed, uint64_t stream, uint64_t first,
                                                      uint32_t* __restrict words) {
  constexpr size_t n = kPhiloxLanes;
  uint32_t a[n], b[n], c[n], d[n];
  for (size_t i = 0; i < n; i++) {
    const uint64_t block = first + i;
    a[i] = static_cast<uint32_t>(block);
    b[i] = static_cast<uint32_t>(block >> 32);
    c[i] = static_cast<uint32_t>(stream);
    d[i] = static_cast<uint32_t>(stream >> 32);
  }
  uint32_t key_low = static_cast<uint32_t>(seed), key_high = static_cast<uint32_t>(seed >> 32);
  for (int round = 0; round < 10; round++) {
    for (size_t i = 0; i < n; i++) {
      const uint64_t left = static_cast<uint64_t>(a[i]) * 0xd2511f53u;
      const uint64_t right = static_cast<uint64_t>(c[i]) * 0xcd9e8d57u;
      a[i] = static_cast<uint32_t>(right >> 32) ^ b[i] ^ key_low;
      c[i] = static_cast<uint32_t>(left >> 32) ^ d[i] ^ key_high;
      b[i] = static_cast<uint32_t>(right);
      d[i] = static_cast<uint32_t>(left);
    }
    key_low += 0x9e3779b9u;
    key_high += 0xbb67ae85u;
  }
  for (size_t i = 0; i < n; i++) {
    words[4 * i] = a[i];
    words[4 * i + 1] = b[i];
    words[4 * i + 2] = c[i];
    words[4 * i + 3] = d[i];
  }
}
#endif

}  // namespace
}  // namespace gradmesh::GM_ISA
