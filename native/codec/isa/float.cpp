// The loops of the floating-point formats without a block scale.
#include "codec/bf16.h"
#include "codec/fp16.h"
#include "codec/fp32.h"
#include "codec/isa/elementwise.h"
#include "codec/isa/odd_means.h"

namespace gradmesh::GM_ISA {
namespace {

using codecs::bf16;
using codecs::fp16;
using codecs::fp32;

// The wire is the elements themselves, and memcpy knows best how to write past the caches.
struct Fp32Loops : ElementwiseLoops<fp32> {
  static void encode(const CodecOptions&, const CodecKey&, const float* source, size_t elements,
                     uint8_t* wire) {
    if (elements > 0) memcpy(wire, source, elements * 4);
  }
  static void decode(const CodecOptions&, const CodecKey&, const uint8_t* wire, size_t elements,
                     float* target) {
    if (elements > 0) memcpy(target, wire, elements * 4);
  }
};

#if GM_ISA_avx512
// The upper halves of rounded words, 32 at a time.
template <>
struct Runs<bf16> : PlainRuns<bf16> {
  HD __m512i rounded(__m512i x) {
    const __m512i magnitude = _mm512_and_si512(x, _mm512_set1_epi32(0x7fffffff));
    const __mmask16 nan = _mm512_cmpgt_epi32_mask(magnitude, _mm512_set1_epi32(0x7f800000));
    const __m512i odd = _mm512_and_si512(_mm512_srli_epi32(x, 16), _mm512_set1_epi32(1));
    const __m512i up = _mm512_add_epi32(x, _mm512_add_epi32(odd, _mm512_set1_epi32(0x7fff)));
    return _mm512_mask_or_epi32(up, nan, x, _mm512_set1_epi32(0x400000));
  }
  HD void encode(const float* source, size_t count, uint8_t* wire) {
    alignas(64) static constexpr uint16_t kUpper[32] = {1,  3,  5,  7,  9,  11, 13, 15, 17, 19, 21,
                                                        23, 25, 27, 29, 31, 33, 35, 37, 39, 41, 43,
                                                        45, 47, 49, 51, 53, 55, 57, 59, 61, 63};
    const __m512i upper = _mm512_load_si512(kUpper);
    size_t i = 0;
    for (; i + 32 <= count; i += 32)
      _mm512_storeu_si512(wire + 2 * i,
                          _mm512_permutex2var_epi16(rounded(_mm512_loadu_si512(source + i)), upper,
                                                    rounded(_mm512_loadu_si512(source + i + 16))));
    PlainRuns<bf16>::encode(source + i, count - i, wire + 2 * i);
  }
};

// The instructions give the definition's bits, NaN included, whatever MXCSR says of denormals.
template <>
struct Runs<fp16> {
  HD __m512 number(const uint8_t* wire) {
    return _mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(wire)));
  }
  HD __m512 number_tail(const uint8_t* wire, __mmask16 mask) {
    return _mm512_cvtph_ps(_mm256_maskz_loadu_epi16(mask, wire));
  }
  HD __m512 sum(__m512 a, __m512 b) {
    const __m512 result = _mm512_add_ps(a, b);
    const __mmask16 nan = _mm512_cmp_ps_mask(result, result, _CMP_UNORD_Q);
    return _mm512_mask_mov_ps(result, nan, _mm512_set1_ps(exact::quiet_nan()));
  }
  HD __mmask16 mask_of(size_t count) { return static_cast<__mmask16>((1u << count) - 1); }

  HD void encode(const float* source, size_t count, uint8_t* wire) {
    constexpr int kNearest = _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC;
    size_t i = 0;
    for (; i + 16 <= count; i += 16)
      _mm256_storeu_si256(reinterpret_cast<__m256i*>(wire + 2 * i),
                          _mm512_cvtps_ph(_mm512_loadu_ps(source + i), kNearest));
    const __mmask16 mask = mask_of(count - i);
    _mm256_mask_storeu_epi16(wire + 2 * i, mask,
                             _mm512_cvtps_ph(_mm512_maskz_loadu_ps(mask, source + i), kNearest));
  }
  HD void decode(const uint8_t* wire, size_t count, float* target) {
    size_t i = 0;
    for (; i + 16 <= count; i += 16) _mm512_storeu_ps(target + i, number(wire + 2 * i));
    const __mmask16 mask = mask_of(count - i);
    _mm512_mask_storeu_ps(target + i, mask, number_tail(wire + 2 * i, mask));
  }
  HD void decode_add(const uint8_t* wire, size_t count, float* target) {
    size_t i = 0;
    for (; i + 16 <= count; i += 16)
      _mm512_storeu_ps(target + i, sum(_mm512_loadu_ps(target + i), number(wire + 2 * i)));
    const __mmask16 mask = mask_of(count - i);
    const __m512 before = _mm512_maskz_loadu_ps(mask, target + i);
    _mm512_mask_storeu_ps(target + i, mask, sum(before, number_tail(wire + 2 * i, mask)));
  }
};
#endif

struct Fp16Loops : ElementwiseLoops<fp16> {
  HD fp16::Wire word(const uint8_t* wire, size_t i) {
    fp16::Wire word;
    memcpy(&word, wire + 2 * i, 2);
    return word;
  }
  // Exact in doubles, up to so many contributions; else in integers.
  static void mean(const CodecOptions& options, const CodecKey& key, const uint8_t* const* wires,
                   uint32_t ranks, size_t elements, uint8_t* wire) {
    alignas(64) float mean[kTile];
    each_tile(
        elements, [&](size_t at, size_t count) __attribute__((always_inline)) {
          if (ranks <= fp16::kDoublesMost) {
            mean_tile(wires, ranks, at, count, mean);
            Run::encode(mean, count, wire + 2 * at);
          } else {
            mean_integers(wires, ranks, at, count, wire);
          }
        });
  }
  HD void mean_tile(const uint8_t* const* wires, uint32_t ranks, size_t at, size_t count,
                    float* __restrict mean) {
    alignas(64) double sums[kTile];
    begin_sums(sums, count);
    for (uint32_t rank = 0; rank < ranks; rank++) {
      Run::decode(wires[rank] + 2 * at, count, mean);
      add_to_sums(mean, count, sums);
    }
    odd_means(sums, count, ranks, mean);
  }
  __attribute__((noinline)) static void mean_integers(const uint8_t* const* wires, uint32_t ranks, size_t at,
                                                      size_t count, uint8_t* wire) {
    for (size_t i = at; i < at + count; i++) {
      int64_t sum = 0;
      for (uint32_t rank = 0; rank < ranks; rank++) sum = fp16::add(sum, word(wires[rank], i));
      const fp16::Wire mean = fp16::finish(sum, ranks);
      memcpy(wire + 2 * i, &mean, 2);
    }
  }

  static size_t sum_bytes(const CodecOptions&, size_t elements) { return elements * 8; }
  static void accumulate(const CodecOptions&, const CodecKey&, const uint8_t* __restrict wire,
                         size_t elements, uint8_t* sum) {
    int64_t* __restrict sums = reinterpret_cast<int64_t*>(sum);
    for (size_t i = 0; i < elements; i++) sums[i] = fp16::add(sums[i], word(wire, i));
  }
  static void finish(const CodecOptions&, const CodecKey&, const uint8_t* sum, uint32_t ranks,
                     size_t elements, uint8_t* wire) {
    const int64_t* const sums = reinterpret_cast<const int64_t*>(sum);
    constexpr size_t kGroup = 64;
    for (size_t at = 0; at < elements; at += kGroup) {
      const size_t count = elements - at < kGroup ? elements - at : kGroup;
      if (finish_doubles(sums + at, ranks, count, wire + 2 * at)) continue;
      for (size_t i = at; i < at + count; i++) {
        const fp16::Wire mean = fp16::finish(sums[i], ranks);
        memcpy(wire + 2 * i, &mean, 2);
      }
    }
  }
  // Where all is finite, and sums are below 2^52 units. False elsewhere.
  HD bool finish_doubles(const int64_t* __restrict accumulators, uint32_t ranks, size_t count,
                         uint8_t* wire) {
    if (ranks > fp16::kDoublesMost) return false;
    alignas(64) double sums[64];
    alignas(64) float mean[64];
    int64_t special = 0;
    for (size_t i = 0; i < count; i++) {
      special |= accumulators[i] & (fp16::kInfinite | fp16::kMinusInfinite | fp16::kNotANumber);
      const int64_t units = accumulators[i] >> 4;
      const double zero = accumulators[i] & fp16::kNotNegative ? 0.0 : -0.0;
      sums[i] = units == 0 ? zero : static_cast<double>(units) * 0x1p-24;
    }
    if (special != 0) return false;
    odd_means(sums, count, ranks, mean);
    Run::encode(mean, count, wire);
    return true;
  }
};

}  // namespace

// extern: const alone would hide them from dispatch.cpp.
extern const CodecLoops fp32_loops, bf16_loops, fp16_loops;
const CodecLoops fp32_loops = {Fp32Loops::encode,
                               Fp32Loops::decode,
                               Fp32Loops::decode_add,
                               Fp32Loops::decode_add_encode,
                               Fp32Loops::mean,
                               nullptr,
                               nullptr,
                               nullptr};
const CodecLoops bf16_loops = elementwise_loops<codecs::bf16>();
const CodecLoops fp16_loops = {
    Fp16Loops::encode, Fp16Loops::decode,    Fp16Loops::decode_add, Fp16Loops::decode_add_encode,
    Fp16Loops::mean,   Fp16Loops::sum_bytes, Fp16Loops::accumulate, Fp16Loops::finish};

}  // namespace gradmesh::GM_ISA
