// One block of int8_block, int4_block or int2_block to its codes and back: int_block.h in loops, and with
// AVX-512 in groups of 64 elements. Only files of isa/ include this.
#pragma once
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "codec/int_block.h"
#include "codec/isa/int_pack.h"

namespace gradmesh::GM_ISA {
namespace {

constexpr size_t kBlockMost = 4096;  // elements

template <int kBits>
struct IntCodes {
  using Block = codecs::IntBlock<kBits>;

#if GM_ISA_avx512
  // Reading runs ahead of the work by so much: a block's maximum must be known before it is coded, and
  // meanwhile the processor does not look further by itself.
  HD void prefetch(const float* x) {
    _mm_prefetch(reinterpret_cast<const char*>(reinterpret_cast<uintptr_t>(x) + 8192), _MM_HINT_T0);
  }
  HD __m512i magnitudes(const float* x) {
    prefetch(x);
    return _mm512_and_si512(_mm512_castps_si512(_mm512_loadu_ps(x)), _mm512_set1_epi32(0x7fffffff));
  }
  HD int32_t largest64(const float* x, size_t count) {
    __m512i a = magnitudes(x), b = magnitudes(x + 16), c = magnitudes(x + 32), d = magnitudes(x + 48);
    for (size_t i = 64; i < count; i += 64) {
      a = _mm512_max_epi32(a, magnitudes(x + i));
      b = _mm512_max_epi32(b, magnitudes(x + i + 16));
      c = _mm512_max_epi32(c, magnitudes(x + i + 32));
      d = _mm512_max_epi32(d, magnitudes(x + i + 48));
    }
    return _mm512_reduce_max_epi32(_mm512_max_epi32(_mm512_max_epi32(a, b), _mm512_max_epi32(c, d)));
  }
  // fixed_point() and drawn() before the clamp: the conversion rounds to nearest, ties to even.
  HD __m512i integers(const float* x, __m512 factor, const uint16_t* halves) {
    const __m512i r = _mm512_cvtps_epi32(_mm512_mul_ps(_mm512_loadu_ps(x), factor));
    if (halves == nullptr) return r;
    const __m512i h = _mm512_cvtepu16_epi32(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(halves)));
    return _mm512_srai_epi32(_mm512_add_epi32(r, h), 16);
  }
  // count is a multiple of 16. Integers saturate at 8 bits when they are narrowed, so the clamp may come
  // after it.
  HD void quantize16(const float* x, size_t count, float inverse, const uint16_t* halves, uint8_t* q) {
    const __m512 factor = _mm512_set1_ps(inverse);
    const __m512i most = _mm512_set1_epi8(static_cast<char>(Block::kMost));
    const __m512i least = _mm512_set1_epi8(static_cast<char>(-Block::kMost));
    const auto group = [&](size_t i) __attribute__((always_inline)) {
      return integers(x + i, factor, halves == nullptr ? nullptr : halves + i);
    };
    size_t i = 0;
    for (; i + 64 <= count; i += 64) {
      const __m512i bytes = bytes_of(group(i), group(i + 16), group(i + 32), group(i + 48));
      store64<kBits>(_mm512_min_epi8(_mm512_max_epi8(bytes, least), most), q + i / Block::kPerByte);
    }
    for (; i < count; i += 16) {
      const __m512i bytes = bytes_of(group(i), most, most, most);
      alignas(64) uint8_t packed[64];
      store64<kBits>(_mm512_min_epi8(_mm512_max_epi8(bytes, least), most), packed);
      memcpy(q + i / Block::kPerByte, packed, 16 / Block::kPerByte);
    }
  }
#endif

  HD int32_t largest(const float* x, size_t count) {
#if GM_ISA_avx512
    if (count % 64 == 0) return largest64(x, count);
    if (count % 16 == 0) {
      __m512i result = magnitudes(x);
      for (size_t i = 16; i < count; i += 16) result = _mm512_max_epi32(result, magnitudes(x + i));
      return _mm512_reduce_max_epi32(result);
    }
#endif
    int32_t result = 0;
    for (size_t i = 0; i < count; i++) {
      const int32_t magnitude = Block::magnitude(x[i]);
      result = magnitude > result ? magnitude : result;
    }
    return result;
  }
  HD void quantize(const float* x, size_t count, float inverse, const uint16_t* halves, uint8_t* q) {
    alignas(64) int8_t whole[kBlockMost];
    if (halves == nullptr)
      for (size_t i = 0; i < count; i++) whole[i] = static_cast<int8_t>(Block::nearest(x[i], inverse));
    else
      for (size_t i = 0; i < count; i++)
        whole[i] = static_cast<int8_t>(Block::stochastic(x[i], inverse, halves[i]));
    pack<kBits>(whole, count, q);
  }

  // halves[count] are the block's half-words, or null: to nearest.
  HD void encode(const CodecOptions& options, const float* x, size_t count, int32_t largest,
                 const uint16_t* halves, uint8_t* q, uint8_t* scale_at) {
    const auto scale = Block::scale_for(Block::pow2(options), largest);
    Block::store_scale(options, scale_at, scale.word);
    if (scale.inverse == 0.0f) {
      memset(q, 0, Block::q_bytes(count));
      return;
    }
#if GM_ISA_avx512
    // The product with 2^16 is exact, and inverse * 2^16 is a float unless inverse is above 2^111.
    if (count % 16 == 0) {
      if (halves == nullptr) return quantize16(x, count, scale.inverse, nullptr, q);
      if (scale.inverse < 0x1p100f)
        return quantize16(x, count, exact::mul(scale.inverse, 0x1p16f), halves, q);
    }
#endif
    quantize(x, count, scale.inverse, halves, q);
  }

  // target[i] = decoded, or canonical(base[i] + decoded) where base is not null; base may be target.
  HD void decode(const uint8_t* q, size_t count, float scale, const float* base, float* target) {
#if GM_ISA_avx512
    if (count % 16 == 0) {
      decode16<false>(q, count, scale, base, target);
      return;
    }
#endif
    alignas(64) int8_t whole[kBlockMost];
    unpack<kBits>(q, count, whole);
    if (base == nullptr)
      for (size_t i = 0; i < count; i++) target[i] = Block::decode(whole[i], scale);
    else
      for (size_t i = 0; i < count; i++)
        target[i] = exact::canonical(exact::add(base[i], Block::decode(whole[i], scale)));
  }
  // The same with a base, for sums that are only coded again, and the largest magnitude of them.
  HD int32_t decode_add(const uint8_t* q, size_t count, float scale, const float* base, float* target) {
#if GM_ISA_avx512
    if (count % 16 == 0) return decode16<true>(q, count, scale, base, target);
#endif
    decode(q, count, scale, base, target);
    return largest(target, count);
  }

#if GM_ISA_avx512
  // A sum that is only coded again (kLargest) may keep any NaN: its block is a NaN block.
  template <bool kLargest>
  HD __m512 canonical16(__m512 x) {
    if (kLargest) return x;
    const __m512 nan = _mm512_castsi512_ps(_mm512_set1_epi32(static_cast<int>(exact::kNan)));
    return _mm512_mask_mov_ps(x, _mm512_cmp_ps_mask(x, x, _CMP_UNORD_Q), nan);
  }
  template <bool kLargest>
  HD int32_t decode16(const uint8_t* q, size_t count, float scale, const float* base, float* target) {
    const __m512 factor = _mm512_set1_ps(scale);
    // A decoded element of 2 or 4 bits is a look-up in the 16 products of all codes.
    const __m512i codes = kBits == 4
                              ? _mm512_set_epi32(-1, -2, -3, -4, -5, -6, -7, -8, 7, 6, 5, 4, 3, 2, 1, 0)
                              : _mm512_set_epi32(-1, -2, 1, 0, -1, -2, 1, 0, -1, -2, 1, 0, -1, -2, 1, 0);
    const __m512 table = canonical16<kLargest>(_mm512_mul_ps(_mm512_cvtepi32_ps(codes), factor));
    __m512i largest = _mm512_setzero_si512();
    for (size_t i = 0; i < count; i += 16) {
      __m512 x;
      if constexpr (kBits == 8) {
        x = canonical16<kLargest>(_mm512_mul_ps(_mm512_cvtepi32_ps(integers16<8>(q + i)), factor));
      } else {
        x = _mm512_permutexvar_ps(codes16<kBits>(q + i / Block::kPerByte), table);
      }
      if (kLargest) prefetch(base + i);
      if (base != nullptr) x = canonical16<kLargest>(_mm512_add_ps(_mm512_loadu_ps(base + i), x));
      if (kLargest)
        largest = _mm512_max_epi32(largest,
                                   _mm512_and_si512(_mm512_castps_si512(x), _mm512_set1_epi32(0x7fffffff)));
      _mm512_storeu_ps(target + i, x);
    }
    return kLargest ? _mm512_reduce_max_epi32(largest) : 0;
  }
#endif
};

}  // namespace
}  // namespace gradmesh::GM_ISA
