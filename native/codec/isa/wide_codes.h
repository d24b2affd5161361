// 32 elements of small formats at a time in AVX-512 registers: the same codes and numbers as the definitions,
// by other operations; tests compare them. Only files of isa/ include this.
#pragma once
#include <cstddef>
#include <cstdint>

#include "codec/e3m0.h"
#include "codec/isa/stream.h"
#include "codec/mx.h"
#include "codec/nf4.h"

namespace gradmesh::GM_ISA {
namespace {

// What an instruction set has for a codec with power-of-two scales; the others give nothing.
template <class Codec>
struct Wide32 {
  static constexpr bool kHas = false;
  static constexpr uint32_t kMostByte = 0;
  HD void encode(const float*, float, uint8_t*) {}
  HD void decode(const uint8_t*, uint32_t, float*) {}
};

#if !GM_ISA_avx512
HD int32_t wide_largest(const float*, size_t) { return 0; }
#else

// The largest magnitude of source[count], count a multiple of 32, not 0.
HD __m512i wide_magnitudes(const float* source) {
  const __m512i mask = _mm512_set1_epi32(0x7fffffff);
  return _mm512_max_epi32(_mm512_and_si512(_mm512_loadu_si512(source), mask),
                          _mm512_and_si512(_mm512_loadu_si512(source + 16), mask));
}
HD int32_t wide_largest(const float* source, size_t count) {
  __m512i largest = wide_magnitudes(source);
  for (size_t i = 32; i < count; i += 32) largest = _mm512_max_epi32(largest, wide_magnitudes(source + i));
  return _mm512_reduce_max_epi32(largest);
}

// 32 numbers, and what their codes share. What can be done on bytes is done there: it costs a quarter.
struct Numbers {
  __m512 first, second;

  HD Numbers scaled(const float* source, float factor) {
    const __m512 all = _mm512_set1_ps(factor);
    return {_mm512_mul_ps(_mm512_loadu_ps(source), all), _mm512_mul_ps(_mm512_loadu_ps(source + 16), all)};
  }
  // Which are negative, or -0.
  HD __mmask32 signs(const Numbers& y) {
    return _mm512_kunpackw(_mm512_movepi32_mask(_mm512_castps_si512(y.second)),
                           _mm512_movepi32_mask(_mm512_castps_si512(y.first)));
  }
};
// The lowest bytes of 32 words.
HD __m256i low_bytes(__m512i first, __m512i second) {
  return _mm256_set_m128i(_mm512_cvtepi32_epi8(second), _mm512_cvtepi32_epi8(first));
}
HD void store_bytes(__m256i bytes, uint8_t* codes) {
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(codes), bytes);
}
// Codes of 4 bits, from the low bits of 32 bytes.
HD void store_nibbles(__m256i bytes, uint8_t* codes) {
  const __m256i pairs = _mm256_maddubs_epi16(bytes, _mm256_set1_epi16(0x1001));  // low + 16 * high
  _mm_storeu_si128(reinterpret_cast<__m128i*>(codes), _mm256_cvtepi16_epi8(pairs));
}

// fp8::Format::encode of 16 numbers that are below 2^(kMostExponent + 1), without sign and clamp, in the low
// byte of each word. Adding a number whose last bit is worth the code's does the rounding, and leaves the
// code but for its exponent in the low bits; kBias takes away what the exponent has too much. It is even:
// ties stay what they are.
template <class Format>
HD __m512i format_codes(__m512 y) {
  constexpr int kShift = 23 - Format::kMantissaBits;
  constexpr int kLeast = (Format::kLeastExponent + 127) << 23;
  constexpr int kBias = -(kLeast >> kShift) & 0xff;
  static_assert(kBias % 2 == 0, "an odd number would turn ties to even into ties to odd");
  const __m512i field = _mm512_and_si512(_mm512_castps_si512(y), _mm512_set1_epi32(0x7f800000));
  const __m512i exponent = _mm512_max_epi32(field, _mm512_set1_epi32(kLeast));
  const __m512i magic = _mm512_add_epi32(exponent, _mm512_set1_epi32((kShift << 23) + kBias));
  const __m512i sum = _mm512_castps_si512(_mm512_add_ps(_mm512_abs_ps(y), _mm512_castsi512_ps(magic)));
  return _mm512_add_epi32(sum, _mm512_srli_epi32(exponent, kShift));
}

// The 16 codes of 4 bits in 8 bytes, one a word; above them each word has others' bits.
HD __m512i spread_nibbles(const uint8_t* codes) {
  const __m512i both = _mm512_castsi128_si512(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(codes)));
  const __m512i half = _mm512_set_epi32(1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0);
  const __m512i shift = _mm512_set_epi32(28, 24, 20, 16, 12, 8, 4, 0, 28, 24, 20, 16, 12, 8, 4, 0);
  return _mm512_srlv_epi32(_mm512_permutexvar_epi32(half, both), shift);
}
HD void decode_nibbles(const uint8_t* codes, __m512 values, float scale, float* target) {
  const __m512 factor = _mm512_set1_ps(scale);
  _mm512_storeu_ps(target, _mm512_mul_ps(_mm512_permutexvar_ps(spread_nibbles(codes), values), factor));
  _mm512_storeu_ps(target + 16,
                   _mm512_mul_ps(_mm512_permutexvar_ps(spread_nibbles(codes + 8), values), factor));
}

template <class Format>
struct WideFormat {
  static constexpr bool kHas = true;
  HD void encode(const float* source, float inverse, uint8_t* codes) {
    const Numbers y = Numbers::scaled(source, inverse);
    const __m256i magnitude = low_bytes(format_codes<Format>(y.first), format_codes<Format>(y.second));
    const __m256i clamped =
        _mm256_min_epu8(magnitude, _mm256_set1_epi8(static_cast<char>(Format::kMostCode)));
    const __m256i sign = _mm256_maskz_set1_epi8(Numbers::signs(y), static_cast<char>(Format::kSign));
    const __m256i code = _mm256_or_si256(clamped, sign);
    if (Format::kBits == 8) return store_bytes(code, codes);
    store_nibbles(code, codes);
  }
};

// Numbers of E4M3 are numbers of binary16, 2^-8 as large, with the fields one bit further up; those of E5M2
// are the upper bytes of binary16. vcvtph2ps is exact.
template <>
struct Wide32<codecs::mxfp8_e4m3> : WideFormat<fp8::e4m3> {
  static constexpr uint32_t kMostByte = 246;  // so that 2^8 times the scale is a float
  HD void decode(const uint8_t* codes, uint32_t byte, float* target) {
    const __m512i word = _mm512_cvtepu8_epi16(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(codes)));
    const __m512i magnitude = _mm512_and_si512(word, _mm512_set1_epi16(0x7f));
    const __m512i sign =
        _mm512_and_si512(_mm512_slli_epi16(word, 8), _mm512_set1_epi16(static_cast<short>(0x8000)));
    const __m512i halves = _mm512_or_si512(_mm512_slli_epi16(magnitude, 7), sign);
    const __mmask32 nan = _mm512_cmpeq_epi16_mask(magnitude, _mm512_set1_epi16(0x7f));
    // 2^8 first: the product of a denormal scale and 2^-8 would be rounded.
    const __m512 factor = _mm512_set1_ps(exact::mul(codecs::scale_of(byte), 0x1p8f));
    const __m512 quiet = _mm512_set1_ps(exact::quiet_nan());
    const __m512 first = _mm512_mul_ps(_mm512_cvtph_ps(_mm512_castsi512_si256(halves)), factor);
    const __m512 second = _mm512_mul_ps(_mm512_cvtph_ps(_mm512_extracti64x4_epi64(halves, 1)), factor);
    _mm512_storeu_ps(target, _mm512_mask_mov_ps(first, static_cast<__mmask16>(nan), quiet));
    _mm512_storeu_ps(target + 16, _mm512_mask_mov_ps(second, static_cast<__mmask16>(nan >> 16), quiet));
  }
};

template <>
struct Wide32<codecs::mxfp8_e5m2> : WideFormat<fp8::e5m2> {
  static constexpr uint32_t kMostByte = 254;
  HD __m512 numbers(__m256i halves, __m512 factor) {
    const __m512 product = _mm512_mul_ps(_mm512_cvtph_ps(halves), factor);
    const __mmask16 nan = _mm512_cmp_ps_mask(product, product, _CMP_UNORD_Q);
    return _mm512_mask_mov_ps(product, nan, _mm512_set1_ps(exact::quiet_nan()));
  }
  HD void decode(const uint8_t* codes, uint32_t byte, float* target) {
    const __m512i word = _mm512_cvtepu8_epi16(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(codes)));
    const __m512i halves = _mm512_slli_epi16(word, 8);
    const __m512 factor = _mm512_set1_ps(codecs::scale_of(byte));
    _mm512_storeu_ps(target, numbers(_mm512_castsi512_si256(halves), factor));
    _mm512_storeu_ps(target + 16, numbers(_mm512_extracti64x4_epi64(halves, 1), factor));
  }
};

template <>
struct Wide32<codecs::mxfp4> : WideFormat<fp8::e2m1> {
  static constexpr uint32_t kMostByte = 254;
  HD void decode(const uint8_t* codes, uint32_t byte, float* target) {
    const __m512 values = _mm512_setr_ps(0.0f, 0.5f, 1.0f, 1.5f, 2.0f, 3.0f, 4.0f, 6.0f, -0.0f, -0.5f, -1.0f,
                                         -1.5f, -2.0f, -3.0f, -4.0f, -6.0f);
    decode_nibbles(codes, values, codecs::scale_of(byte), target);
  }
};

template <>
struct Wide32<codecs::mxint8> {
  static constexpr bool kHas = true;
  static constexpr uint32_t kMostByte = 254;
  HD __m512i integers(const float* source, __m512 inverse) {
    // Added to 1.5 * 2^17, whose last bit is worth 2^-6, a number below 2 leaves its rounded multiple in the
    // low bits.
    const __m512 magic = _mm512_set1_ps(0x1.8p17f);
    const __m512 sum = _mm512_add_ps(_mm512_mul_ps(_mm512_loadu_ps(source), inverse), magic);
    const __m512i integer = _mm512_sub_epi32(_mm512_castps_si512(sum), _mm512_castps_si512(magic));
    return _mm512_max_epi32(_mm512_min_epi32(integer, _mm512_set1_epi32(127)), _mm512_set1_epi32(-127));
  }
  HD void encode(const float* source, float inverse, uint8_t* codes) {
    const __m512 factor = _mm512_set1_ps(inverse);
    store_bytes(low_bytes(integers(source, factor), integers(source + 16, factor)), codes);
  }
  HD void decode(const uint8_t* codes, uint32_t byte, float* target) {
    const __m512 factor = _mm512_set1_ps(exact::mul(codecs::scale_of(byte), 0x1p-6f));
    for (size_t i = 0; i < 32; i += 16) {
      const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(codes + i));
      _mm512_storeu_ps(target + i, _mm512_mul_ps(_mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(bytes)), factor));
    }
  }
};

template <>
struct Wide32<codecs::e3m0> {
  static constexpr bool kHas = true;
  static constexpr uint32_t kMostByte = 254;
  // The exponent field of the nearest power of two, a mantissa of a half going to the even one.
  HD __m512i nearest_field(__m512i magnitude) {
    const __m512i odd = _mm512_and_si512(_mm512_srli_epi32(magnitude, 23), _mm512_set1_epi32(1));
    return _mm512_srli_epi32(_mm512_add_epi32(_mm512_add_epi32(magnitude, _mm512_set1_epi32(0x3fffff)), odd),
                             23);
  }
  HD void encode(const float* source, float inverse, uint8_t* codes) {
    const Numbers y = Numbers::scaled(source, inverse);
    const __m512i first = _mm512_castps_si512(_mm512_abs_ps(y.first));
    const __m512i second = _mm512_castps_si512(_mm512_abs_ps(y.second));
    const __m512i least = _mm512_set1_epi32(0x3c000000);  // 2^-7
    const __mmask32 some =
        _mm512_kunpackw(_mm512_cmpgt_epi32_mask(second, least), _mm512_cmpgt_epi32_mask(first, least));
    const __m256i field = low_bytes(nearest_field(first), nearest_field(second));
    const __m256i exponent = _mm256_subs_epu8(field, _mm256_set1_epi8(120));
    const __m256i code =
        _mm256_maskz_max_epu8(some, _mm256_min_epu8(exponent, _mm256_set1_epi8(7)), _mm256_set1_epi8(1));
    const __m256i sign = _mm256_maskz_set1_epi8(some & Numbers::signs(y), 8);
    store_nibbles(_mm256_or_si256(code, sign), codes);
  }
  HD void decode(const uint8_t* codes, uint32_t byte, float* target) {
    const __m512 values =
        _mm512_setr_ps(0.0f, 0x1p-6f, 0x1p-5f, 0x1p-4f, 0x1p-3f, 0x1p-2f, 0x1p-1f, 1.0f, -0.0f, -0x1p-6f,
                       -0x1p-5f, -0x1p-4f, -0x1p-3f, -0x1p-2f, -0x1p-1f, -1.0f);
    decode_nibbles(codes, values, codecs::scale_of(byte), target);
  }
};

// nf4's codes of numbers: a search in the midpoints, of which number code + step - 1 parts the codes below
// code + step from the others. Each step has a table of its own, so that the code found so far is the place
// in it.
struct Nf4Search {
  __m512 first, tables[3];  // for steps 8; 4, 2, 1

  HD Nf4Search make() {
    return {_mm512_set1_ps(codecs::nf4::midpoint(7)), {table_from(3), table_from(1), table_from(0)}};
  }
  // Midpoints from number `first` on; the places behind the last one are never looked up.
  HD __m512 table_from(uint32_t first) {
    const auto at = [first](uint32_t i) __attribute__((always_inline)) {
      return codecs::nf4::midpoint(first + i < 15 ? first + i : 15);
    };
    return _mm512_setr_ps(at(0), at(1), at(2), at(3), at(4), at(5), at(6), at(7), at(8), at(9), at(10),
                          at(11), at(12), at(13), at(14), at(15));
  }
  HD __m512 values() {
    const auto at = [](uint32_t i) __attribute__((always_inline)) { return codecs::nf4::value(i); };
    return _mm512_setr_ps(at(0), at(1), at(2), at(3), at(4), at(5), at(6), at(7), at(8), at(9), at(10),
                          at(11), at(12), at(13), at(14), at(15));
  }
  HD __m512i codes(const Nf4Search& search, __m512 y) {
    const __mmask16 above = _mm512_cmp_ps_mask(y, search.first, _CMP_GT_OQ);
    __m512i code = _mm512_maskz_set1_epi32(above, 8);
    for (int i = 0; i < 3; i++) {
      const __m512 bound = _mm512_permutexvar_ps(code, search.tables[i]);
      const __mmask16 upper = _mm512_cmp_ps_mask(y, bound, _CMP_GT_OQ);
      code = _mm512_mask_add_epi32(code, upper, code, _mm512_set1_epi32(4 >> i));
    }
    return code;
  }
};
#endif

}  // namespace
}  // namespace gradmesh::GM_ISA
