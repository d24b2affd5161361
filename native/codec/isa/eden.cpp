// The loops of eden; hadamard.h has the rotation.
#include "codec/eden.h"

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "codec/isa/blocks.h"
#include "codec/isa/hadamard.h"

namespace gradmesh::GM_ISA {
namespace {

using codecs::eden;
constexpr size_t kWordsMost = eden::kBlockMost / 32;

// The signs of `padded` elements from word `from` on; 32 to a word.
HD void fill_signs(const CodecKey& key, uint64_t from, size_t padded, uint32_t* words) {
  const uint64_t stream = eden::stream(key);
  const size_t count = padded / 32;
  if (count < 4) {  // half a block of random words
    for (size_t i = 0; i < count; i++) words[i] = eden::signs(key, from + i);
    return;
  }
  // A block of words is 128 elements, and `from` begins one.
  for (size_t i = 0; i < count; i += 4) {
    const prng::Words block = prng::block(key.seed, stream, (from + i) / 4);
    for (size_t j = 0; j < 4; j++) words[i + j] = block.word[j];
  }
}
HD uint32_t lane_signs(const uint32_t* words, size_t vector) {
  return words[vector / 2] >> (vector % 2 * 16);
}

// H, E, H of what load_vector(i) gives.
template <class Load>
HD void rotate_twice(const CodecKey& key, uint64_t word, float* h, size_t padded, Load load_vector) {
  uint32_t second[kWordsMost];
  fill_signs(key, eden::kSecond + word, padded, second);
  rotate_from(h, padded, load_vector);
  rotate_from(
      h, padded, [&](size_t i) __attribute__((always_inline)) {
        return negate_if(load(h + i * kLanes), lane_signs(second, i));
      });
}

// The quantizer as tables. Bucket j of magnitudes holds [j / 4, (j + 1) / 4), the last one all above; each
// has one boundary at most, so a level is what lies below the bucket, and one comparison.
struct Quantizer {
  alignas(64) float centroid[16];  // by code, repeated
  alignas(64) float boundary[16];  // of the bucket; what no number reaches for none
  alignas(64) int32_t below[16];   // boundaries below the bucket
};
constexpr Quantizer quantizer(uint32_t bits) {
  Quantizer table = {};
  const uint32_t levels = 1u << (bits - 1);
  for (uint32_t i = 0; i < 16; i++) {
    const float magnitude = eden::centroid_magnitude(bits, i % levels);
    table.centroid[i] = (i / levels & 1) != 0 ? -magnitude : magnitude;
    table.boundary[i] = 0x1.fffffep127f;
    const float low = static_cast<float>(i) * 0.25f, high = low + 0.25f;
    for (uint32_t j = 0; j + 1 < levels; j++) {
      const float boundary = eden::boundary(bits, j);
      if (boundary < low) table.below[i]++;
      if (boundary >= low && boundary < high) table.boundary[i] = boundary;
    }
  }
  return table;
}
template <uint32_t bits>
constexpr Quantizer kQuantizer = quantizer(bits);

#if defined(GM_ISA_avx512)

// Codes of 16 elements in 2 bits bytes, and their centroids.
template <uint32_t bits>
HD F16 quantize(F16 h, F16 inverse_norm, uint8_t* codes) {
  const __m512 z = mul(h, inverse_norm).v;
  if constexpr (bits == 1) {
    const uint16_t signs = static_cast<uint16_t>(_mm512_movepi32_mask(_mm512_castps_si512(z)));
    memcpy(codes, &signs, 2);
    return negate_if(spread(kQuantizer<bits>.centroid[0]), signs);
  } else {
    const __m512 magnitude = _mm512_abs_ps(z);
    const __m512i bucket = _mm512_min_epi32(
        _mm512_cvttps_epi32(_mm512_mul_ps(magnitude, _mm512_set1_ps(4.0f))), _mm512_set1_epi32(15));
    const __m512 boundary = _mm512_permutexvar_ps(bucket, _mm512_load_ps(kQuantizer<bits>.boundary));
    __m512i level = _mm512_permutexvar_epi32(bucket, _mm512_load_si512(kQuantizer<bits>.below));
    level = _mm512_mask_add_epi32(level, _mm512_cmp_ps_mask(magnitude, boundary, _CMP_GE_OQ), level,
                                  _mm512_set1_epi32(1));
    const __m512i sign = _mm512_srli_epi32(_mm512_castps_si512(z), 31);
    const __m512i code = _mm512_or_si512(level, _mm512_slli_epi32(sign, bits - 1));
    const __m512i shifts =
        _mm512_setr_epi32(0, bits, 2 * bits, 3 * bits, 4 * bits, 5 * bits, 6 * bits, 7 * bits, 0, bits,
                          2 * bits, 3 * bits, 4 * bits, 5 * bits, 6 * bits, 7 * bits);
    __m512i word = _mm512_sllv_epi32(code, shifts);  // eight codes to a word
    word = _mm512_or_si512(word, _mm512_shuffle_i32x4(word, word, 0xb1));
    word = _mm512_or_si512(word, _mm512_shuffle_epi32(word, _MM_PERM_BADC));
    word = _mm512_or_si512(word, _mm512_shuffle_epi32(word, _MM_PERM_CDAB));
    const uint64_t low = static_cast<uint32_t>(_mm_cvtsi128_si32(_mm512_castsi512_si128(word)));
    const uint64_t high = static_cast<uint32_t>(_mm_cvtsi128_si32(_mm512_extracti32x4_epi32(word, 2)));
    const uint64_t both = low | high << (8 * bits);
    memcpy(codes, &both, 2 * bits);
    return {_mm512_permutexvar_ps(code, _mm512_load_ps(kQuantizer<bits>.centroid))};
  }
}

template <uint32_t bits>
HD F16 dequantize(const uint8_t* codes) {
  if constexpr (bits == 1) {
    uint16_t signs;
    memcpy(&signs, codes, 2);
    return negate_if(spread(kQuantizer<bits>.centroid[0]), signs);
  }
  // Eight codes each; what lies behind them in a word, the repeated table makes harmless.
  uint32_t low, high;
  if constexpr (bits == 2) {
    memcpy(&low, codes, 4);
    high = low >> 16;
  } else {
    memcpy(&low, codes, 4);
    memcpy(&high, codes + 2 * bits - 4, 4);
    if constexpr (bits == 3) high >>= 8;
  }
  const __m512i word = _mm512_mask_set1_epi32(_mm512_set1_epi32(static_cast<int32_t>(low)), 0xff00,
                                              static_cast<int32_t>(high));
  const __m512i shifts =
      _mm512_setr_epi32(0, bits, 2 * bits, 3 * bits, 4 * bits, 5 * bits, 6 * bits, 7 * bits, 0, bits,
                        2 * bits, 3 * bits, 4 * bits, 5 * bits, 6 * bits, 7 * bits);
  return {_mm512_permutexvar_ps(_mm512_srlv_epi32(word, shifts), _mm512_load_ps(kQuantizer<bits>.centroid))};
}

#else

template <uint32_t bits>
HD F16 quantize(F16 h, F16 inverse_norm, uint8_t* codes) {
  alignas(64) float z[kLanes], centroids[kLanes];
  alignas(64) uint32_t code[kLanes];
  store(z, mul(h, inverse_norm));
  for (size_t i = 0; i < kLanes; i++) {
    uint32_t level = 0;
    const float magnitude = exact::magnitude(z[i]);
    for (uint32_t j = 0; j + 1 < 1u << (bits - 1); j++) level += magnitude >= eden::boundary(bits, j) ? 1 : 0;
    code[i] = level | (exact::bits(z[i]) >> 31) << (bits - 1);
  }
  uint64_t word = 0;
  for (uint32_t i = 0; i < kLanes; i++) {
    word |= static_cast<uint64_t>(code[i]) << (bits * i);
    centroids[i] = kQuantizer<bits>.centroid[code[i]];
  }
  memcpy(codes, &word, 2 * bits);
  return load(centroids);
}

template <uint32_t bits>
HD F16 dequantize(const uint8_t* codes) {
  alignas(64) float centroids[kLanes];
  uint64_t word = 0;
  memcpy(&word, codes, 2 * bits);
  for (uint32_t i = 0; i < kLanes; i++) centroids[i] = kQuantizer<bits>.centroid[word >> (bits * i) & 15];
  return load(centroids);
}

#endif

// Steps 6 and 7: codes of h[padded], and T.
template <uint32_t bits>
HD float quantize_block(const CodecOptions& options, const float* h, size_t padded, float norm,
                        uint32_t exponent, uint8_t* codes) {
  const F16 inverse_norm = spread(eden::inverse_norm(padded, norm));
  F16 fit = zero(), square = zero();
  for (size_t i = 0; i < padded; i += kLanes) {
    const F16 x = load(h + i);
    const F16 c = quantize<bits>(x, inverse_norm, codes + i / 8 * bits);
    fit = fma(x, c, fit);
    square = fma(c, c, square);
  }
  return eden::block_scale(options, padded, norm, tree_fold(fit), tree_fold(square), exponent);
}

// Not inlined: each needs the registers for itself. x[count] -> the codes of `padded` elements; returns T.
template <uint32_t bits>
__attribute__((noinline)) float encode_block(const CodecOptions& options, const CodecKey& key, const float* x,
                                             size_t at, size_t count, size_t padded, uint8_t* codes) {
  alignas(64) float h[eden::kBlockMost];
  uint32_t words[kWordsMost];
  const int32_t largest = largest_magnitude(x, count);
  if (largest == 0 || largest >= 0x7f800000) {
    memset(codes, 0, padded / 8 * bits);
    return exact::from_bits(largest == 0 ? 0 : exact::kNan);
  }
  if (count < padded) {
    memcpy(h, x, count * sizeof(float));
    memset(h + count, 0, (padded - count) * sizeof(float));
    x = h;
  }
  const uint32_t exponent = eden::exponent(largest);
  const F16 inverse = spread(eden::inverse_power(exponent));
  const uint64_t word = (key.first + at) / 32;
  fill_signs(key, word, padded, words);
  F16 norm = zero();
  rotate_twice(
      key, word, h, padded, [&](size_t i) __attribute__((always_inline)) {
        const F16 scaled = mul(load(x + i * kLanes), inverse);
        norm = fma(scaled, scaled, norm);
        return negate_if(scaled, lane_signs(words, i));
      });
  return quantize_block<bits>(options, h, padded, tree_fold(norm), exponent, codes);
}

template <uint32_t bits>
__attribute__((noinline)) void decode_block(const CodecKey& key, const uint8_t* codes, size_t at,
                                            size_t count, size_t padded, float scale, float* target) {
  if (not_finite(scale)) {
    for (size_t i = 0; i < count; i++) target[i] = exact::from_bits(exact::kNan);
    return;
  }
  alignas(64) float h[eden::kBlockMost];
  uint32_t words[kWordsMost];
  const uint64_t word = (key.first + at) / 32;
  fill_signs(key, word, padded, words);
  rotate_twice(
      key, word, h, padded, [&](size_t i) __attribute__((always_inline)) {
        return dequantize<bits>(codes + i * 2 * bits);
      });
  const F16 by = spread(scale);
  for (size_t i = 0; i < padded; i += kLanes)
    store(h + i, negate_if(mul(load(h + i), by), lane_signs(words, i / kLanes)));
  for (size_t i = 0; i < count; i++) target[i] = clamp_finite(h[i]);
}

struct Eden {
  static size_t block(const CodecOptions& options) { return options.block; }
  HD size_t scale_at(const CodecOptions& options, size_t at, size_t elements) {
    return eden::code_bytes(options, elements) + at / options.block * sizeof(float);
  }

  static void encode(const CodecOptions& options, const CodecKey& key, const float* source, size_t at,
                     size_t count, uint8_t* wire, size_t elements) {
    const size_t padded = eden::padded(options, count);
    uint8_t* codes = wire + at / 8 * options.bits;
    float scale;
    switch (options.bits) {
      case 1:
        scale = encode_block<1>(options, key, source, at, count, padded, codes);
        break;
      case 2:
        scale = encode_block<2>(options, key, source, at, count, padded, codes);
        break;
      case 3:
        scale = encode_block<3>(options, key, source, at, count, padded, codes);
        break;
      default:
        scale = encode_block<4>(options, key, source, at, count, padded, codes);
        break;
    }
    memcpy(wire + scale_at(options, at, elements), &scale, sizeof scale);
  }
  static void decode(const CodecOptions& options, const CodecKey& key, const uint8_t* wire, size_t at,
                     size_t count, size_t elements, float* target) {
    const size_t padded = eden::padded(options, count);
    const uint8_t* codes = wire + at / 8 * options.bits;
    float scale;
    memcpy(&scale, wire + scale_at(options, at, elements), sizeof scale);
    switch (options.bits) {
      case 1:
        return decode_block<1>(key, codes, at, count, padded, scale, target);
      case 2:
        return decode_block<2>(key, codes, at, count, padded, scale, target);
      case 3:
        return decode_block<3>(key, codes, at, count, padded, scale, target);
      default:
        return decode_block<4>(key, codes, at, count, padded, scale, target);
    }
  }
};

}  // namespace

extern const CodecLoops eden_loops;
const CodecLoops eden_loops = block_loops<Eden>();

}  // namespace gradmesh::GM_ISA
