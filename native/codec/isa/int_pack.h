// Small integers in two's complement and the bytes that hold them, packed from the lowest bits on, for 2, 4
// and 8 bits. Only files of isa/ include this.
#pragma once
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "numeric/convert.h"
#include "numeric/intrinsics.h"

namespace gradmesh::GM_ISA {
namespace {

#if GM_ISA_avx512
// 4 times 16 integers, in order, to 64 bytes, saturated to [-128, 127]. The packs work within 128 bits, so
// that quarter l of their result holds quarter l of each argument: a transposition of 4 by 4 double words
// puts it right.
HD __m512i bytes_of(__m512i a, __m512i b, __m512i c, __m512i d) {
  const __m512i order = _mm512_set_epi32(15, 11, 7, 3, 14, 10, 6, 2, 13, 9, 5, 1, 12, 8, 4, 0);
  return _mm512_permutexvar_epi32(order,
                                  _mm512_packs_epi16(_mm512_packs_epi32(a, b), _mm512_packs_epi32(c, d)));
}
// Packs 64 bytes of integers, of which the low kBits are kept.
template <int kBits>
HD void store64(__m512i q, uint8_t* target) {
  if constexpr (kBits == 8) {
    _mm512_storeu_si512(target, q);
  } else {
    const __m512i low = _mm512_and_si512(q, _mm512_set1_epi8((1 << kBits) - 1));
    const __m512i pairs = _mm512_maddubs_epi16(low, _mm512_set1_epi16(kBits == 4 ? 0x1001 : 0x0401));
    if constexpr (kBits == 4) {
      _mm256_storeu_si256(reinterpret_cast<__m256i*>(target), _mm512_cvtepi16_epi8(pairs));
    } else {
      const __m512i fours = _mm512_madd_epi16(pairs, _mm512_set1_epi32(0x00100001));
      _mm_storeu_si128(reinterpret_cast<__m128i*>(target), _mm512_cvtepi32_epi8(fours));
    }
  }
}
// 16 elements of 2 or 4 bits, each in the low bits of its lane; the bits above them are others'.
template <int kBits>
HD __m512i codes16(const uint8_t* source) {
  static_assert(kBits == 2 || kBits == 4);
  const __m512i lane = _mm512_set_epi32(15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0);
  if constexpr (kBits == 2) {
    uint32_t word;
    memcpy(&word, source, 4);
    return _mm512_srlv_epi32(_mm512_set1_epi32(static_cast<int>(word)), _mm512_slli_epi32(lane, 1));
  } else {
    const __m512i words = _mm512_castsi128_si512(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(source)));
    const __m512i halves = _mm512_permutexvar_epi32(_mm512_srli_epi32(lane, 3), words);
    return _mm512_srlv_epi32(halves, _mm512_slli_epi32(_mm512_and_si512(lane, _mm512_set1_epi32(7)), 2));
  }
}
// 16 elements of kBits as integers.
template <int kBits>
HD __m512i integers16(const uint8_t* source) {
  if constexpr (kBits == 8)
    return _mm512_cvtepi8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(source)));
  else
    return _mm512_srai_epi32(_mm512_slli_epi32(codes16<kBits>(source), 32 - kBits), 32 - kBits);
}
#endif

// source[count] of any integers, of which the low kBits are kept -> ceil(count * kBits / 8) bytes, spare bits
// 0.
template <int kBits>
HD void pack(const int8_t* __restrict source, size_t count, uint8_t* __restrict target) {
  constexpr size_t per_byte = 8 / kBits;
  constexpr uint32_t mask = (1u << kBits) - 1;
  if constexpr (per_byte == 1) {
    memcpy(target, source, count);
  } else {
#if GM_ISA_avx512
    if (count % 64 == 0) {
      for (size_t i = 0; i < count; i += 64)
        store64<kBits>(_mm512_loadu_si512(source + i), target + i / per_byte);
      return;
    }
#endif
    for (size_t i = 0; i < count / per_byte; i++) {
      uint32_t byte = 0;
      for (size_t j = 0; j < per_byte; j++)
        byte |= (static_cast<uint32_t>(source[i * per_byte + j]) & mask) << j * kBits;
      target[i] = static_cast<uint8_t>(byte);
    }
    if (count % per_byte == 0) return;
    uint32_t byte = 0;
    for (size_t i = count / per_byte * per_byte; i < count; i++)
      byte |= (static_cast<uint32_t>(source[i]) & mask) << i % per_byte * kBits;
    target[count / per_byte] = static_cast<uint8_t>(byte);
  }
}

// The integer in bits place * kBits and up of a byte.
template <int kBits>
HD int8_t integer_in(uint8_t byte, size_t place) {
  const int8_t top = static_cast<int8_t>(byte << (8 - kBits - place * kBits));
  return static_cast<int8_t>(top >> (8 - kBits));
}
// The other way.
template <int kBits>
HD void unpack(const uint8_t* __restrict source, size_t count, int8_t* __restrict target) {
  constexpr size_t per_byte = 8 / kBits;
  if constexpr (per_byte == 1) {
    memcpy(target, source, count);
  } else {
#if GM_ISA_avx512
    if (count % 16 == 0) {
      for (size_t i = 0; i < count; i += 16)
        _mm_storeu_si128(reinterpret_cast<__m128i*>(target + i),
                         _mm512_cvtepi32_epi8(integers16<kBits>(source + i / per_byte)));
      return;
    }
#endif
    for (size_t i = 0; i < count / per_byte; i++)
      for (size_t j = 0; j < per_byte; j++) target[i * per_byte + j] = integer_in<kBits>(source[i], j);
    for (size_t i = count / per_byte * per_byte; i < count; i++)
      target[i] = integer_in<kBits>(source[i / per_byte], i % per_byte);
  }
}

}  // namespace
}  // namespace gradmesh::GM_ISA
