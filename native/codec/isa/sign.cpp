// The loops of sign1. A group of 16 elements is a vector of AVX-512, two of AVX2, and 16 lanes of the written
// sum.
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "codec/isa/blocks.h"
#include "codec/isa/stream.h"
#include "codec/sign1.h"

namespace gradmesh::GM_ISA {
namespace {

using codecs::sign1;

constexpr size_t kGroup = tree::kLanes;
static_assert(kGroup == 16, "a group's signs are two bytes");

// What a positive and a negative sign decode to.
struct Pair {
  float plus, minus;
};
HD Pair pair_of(const uint8_t* scale) {
  uint32_t bits;
  memcpy(&bits, scale, 4);
  return {exact::from_bits(sign1::decode(0, bits)), exact::from_bits(sign1::decode(1, bits))};
}

// Behind the whole groups: up to 15 elements whose signs end with the block's.
HD void tail_signs(const float* x, size_t count, uint8_t* signs, float* lanes) {
  for (size_t at = 0; at < count; at += 8) {
    uint32_t byte = 0;
    for (size_t i = at; i < count && i < at + 8; i++) byte |= sign1::sign(x[i]) << (i - at);
    signs[at / 8] = static_cast<uint8_t>(byte);
  }
  for (size_t i = 0; i < count; i++) lanes[i] = exact::add(lanes[i], exact::magnitude(x[i]));
}
HD float decoded(const uint8_t* signs, size_t i, Pair pair) {
  const uint32_t plus = exact::bits(pair.plus), minus = exact::bits(pair.minus);
  return exact::from_bits(plus ^ ((plus ^ minus) & (0u - (signs[i / 8] >> i % 8 & 1u))));
}

#if GM_ISA_avx512

// Writes the signs of whole groups and leaves the sums of their magnitudes in lanes.
HD void group_signs(const float* x, size_t count, uint8_t* signs, float* lanes) {
  __m512 sums = _mm512_setzero_ps();
  for (size_t i = 0; i < count; i += kGroup) {
    const __m512 value = _mm512_loadu_ps(x + i);
    sums = _mm512_add_ps(sums, _mm512_abs_ps(value));
    const uint16_t bits = static_cast<uint16_t>(_mm512_movepi32_mask(_mm512_castps_si512(value)));
    memcpy(signs + i / 8, &bits, 2);
  }
  _mm512_store_ps(lanes, sums);
}

struct Group {
  __m512 value;
};
struct Values {
  __m512 plus, minus;
};
HD Values values_of(Pair pair) { return {_mm512_set1_ps(pair.plus), _mm512_set1_ps(pair.minus)}; }
HD Group decode_group(const uint8_t* signs, Values values) {
  uint16_t bits;
  memcpy(&bits, signs, 2);
  return {_mm512_mask_blend_ps(bits, values.plus, values.minus)};
}
HD void write(float* target, Group group) { _mm512_storeu_ps(target, group.value); }
HD void add_group(float* target, Group group) {
  const __m512 sum = _mm512_add_ps(_mm512_loadu_ps(target), group.value);
  const __mmask16 nan = _mm512_cmp_ps_mask(sum, sum, _CMP_UNORD_Q);
  _mm512_storeu_ps(target, _mm512_mask_mov_ps(sum, nan, _mm512_set1_ps(exact::quiet_nan())));
}

#elif GM_ISA_avx2

HD void group_signs(const float* x, size_t count, uint8_t* signs, float* lanes) {
  const __m256 magnitude = _mm256_castsi256_ps(_mm256_set1_epi32(0x7fffffff));
  __m256 low = _mm256_setzero_ps(), high = _mm256_setzero_ps();
  for (size_t i = 0; i < count; i += kGroup) {
    const __m256 a = _mm256_loadu_ps(x + i), b = _mm256_loadu_ps(x + i + 8);
    low = _mm256_add_ps(low, _mm256_and_ps(a, magnitude));
    high = _mm256_add_ps(high, _mm256_and_ps(b, magnitude));
    signs[i / 8] = static_cast<uint8_t>(_mm256_movemask_ps(a));
    signs[i / 8 + 1] = static_cast<uint8_t>(_mm256_movemask_ps(b));
  }
  _mm256_store_ps(lanes, low);
  _mm256_store_ps(lanes + 8, high);
}

struct Group {
  __m256 low, high;
};
struct Values {
  __m256 plus, minus;
};
HD Values values_of(Pair pair) { return {_mm256_set1_ps(pair.plus), _mm256_set1_ps(pair.minus)}; }
HD __m256 decode_byte(uint8_t byte, Values values) {
  const __m256i bit = _mm256_setr_epi32(1, 2, 4, 8, 16, 32, 64, 128);
  const __m256i set = _mm256_cmpeq_epi32(_mm256_and_si256(_mm256_set1_epi32(byte), bit), bit);
  return _mm256_blendv_ps(values.plus, values.minus, _mm256_castsi256_ps(set));
}
HD Group decode_group(const uint8_t* signs, Values values) {
  return {decode_byte(signs[0], values), decode_byte(signs[1], values)};
}
HD void write(float* target, Group group) {
  _mm256_storeu_ps(target, group.low);
  _mm256_storeu_ps(target + 8, group.high);
}
HD __m256 canonical_sum(const float* target, __m256 value) {
  const __m256 sum = _mm256_add_ps(_mm256_loadu_ps(target), value);
  return _mm256_blendv_ps(sum, _mm256_set1_ps(exact::quiet_nan()), _mm256_cmp_ps(sum, sum, _CMP_UNORD_Q));
}
HD void add_group(float* target, Group group) {
  _mm256_storeu_ps(target, canonical_sum(target, group.low));
  _mm256_storeu_ps(target + 8, canonical_sum(target + 8, group.high));
}

#else

HD void group_signs(const float* x, size_t count, uint8_t* signs, float* lanes) {
  for (size_t i = 0; i < kGroup; i++) lanes[i] = 0.0f;
  for (size_t at = 0; at < count; at += kGroup) tail_signs(x + at, kGroup, signs + at / 8, lanes);
}

struct Group {
  float value[kGroup];
};
using Values = Pair;
HD Values values_of(Pair pair) { return pair; }
HD Group decode_group(const uint8_t* signs, Values values) {
  Group group;
  for (size_t i = 0; i < kGroup; i++) group.value[i] = decoded(signs, i, values);
  return group;
}
HD void write(float* target, Group group) { memcpy(target, group.value, sizeof group.value); }
HD void add_group(float* target, Group group) {
  for (size_t i = 0; i < kGroup; i++) target[i] = exact::canonical(exact::add(target[i], group.value[i]));
}

#endif

HD float encode_signs(const float* x, size_t count, uint8_t* signs) {
  alignas(64) float lanes[kGroup];
  const size_t whole = count / kGroup * kGroup;
  group_signs(x, whole, signs, lanes);
  tail_signs(x + whole, count - whole, signs + whole / 8, lanes);
  return tree::fold(lanes);
}

// Calls body(i, group) for the whole groups of a block, then tail(i, value) for the elements behind them.
template <class Body, class Tail>
HD void each_group(const uint8_t* signs, const uint8_t* scale, size_t count, Body body, Tail tail) {
  const Pair pair = pair_of(scale);
  const Values values = values_of(pair);
  const size_t whole = count / kGroup * kGroup;
  for (size_t i = 0; i < whole; i += kGroup) body(i, decode_group(signs + i / 8, values));
  for (size_t i = whole; i < count; i++) tail(i, decoded(signs, i, pair));
}

struct Sign1Block {
  static size_t block(const CodecOptions& options) { return options.block; }

  HD void encode(const CodecOptions& options, const CodecKey&, const float* source, size_t at, size_t count,
                 uint8_t* wire, size_t elements) {
    const float sum = encode_signs(source, count, wire + at / 8);
    const float scale = sign1::finite(sum) ? sign1::mean_of(sum, count) : sign1::scale_of(source, count, sum);
    memcpy(wire + sign1::scale_at(options, at, elements), &scale, 4);
  }
  HD void decode(const CodecOptions& options, const CodecKey&, const uint8_t* wire, size_t at, size_t count,
                 size_t elements, float* target) {
    each_group(
        wire + at / 8, wire + sign1::scale_at(options, at, elements),
        count, [&](size_t i, Group group) __attribute__((always_inline)) { write(target + i, group); },
        [&](size_t i, float value) __attribute__((always_inline)) { target[i] = value; });
  }
};

struct Sign1Loops : BlockLoops<Sign1Block> {
  static void decode(const CodecOptions& options, const CodecKey& key, const uint8_t* wire, size_t elements,
                     float* target) {
    if (elements * sizeof(float) < kStreamBytes)
      return BlockLoops<Sign1Block>::decode(options, key, wire, elements, target);
    alignas(64) float tile[kBlockElementsMost];
    each_block(
        options, elements, [&](size_t at, size_t count) __attribute__((always_inline)) {
          Sign1Block::decode(options, key, wire, at, count, elements, tile);
          stream_out(reinterpret_cast<uint8_t*>(target + at), reinterpret_cast<const uint8_t*>(tile),
                     count * sizeof(float));
        });
    stream_end();
  }
  static void decode_add(const CodecOptions& options, const CodecKey&, const uint8_t* wire, size_t elements,
                         float* target) {
    each_block(
        options, elements, [&](size_t at, size_t count) __attribute__((always_inline)) {
          each_group(
              wire + at / 8, wire + sign1::scale_at(options, at, elements), count,
              [&](size_t i, Group group)
                  __attribute__((always_inline)) { add_group(target + at + i, group); },
              [&](size_t i, float value) __attribute__((always_inline)) {
                target[at + i] = exact::canonical(exact::add(target[at + i], value));
              });
        });
  }
};

}  // namespace

extern const CodecLoops sign1_loops;
const CodecLoops sign1_loops = {Sign1Loops::encode,
                                Sign1Loops::decode,
                                Sign1Loops::decode_add,
                                Sign1Loops::decode_add_encode,
                                Sign1Loops::mean,
                                nullptr,
                                nullptr,
                                nullptr};

}  // namespace gradmesh::GM_ISA
