// Means of exact sums in doubles, for any number of elements: round_to_odd.h's quotient(double). Only files
// of isa/ include this.
#pragma once
#include <cstddef>

#include "codec/isa/stream.h"
#include "codec/round_to_odd.h"

namespace gradmesh::GM_ISA {
namespace {

// What a sum starts from: the one zero that leaves a -0 what it is.
HD void begin_sums(double* sums, size_t count) {
  for (size_t i = 0; i < count; i++) sums[i] = -0.0;
}
HD void add_to_sums(const float* __restrict values, size_t count, double* __restrict sums) {
  for (size_t i = 0; i < count; i++) sums[i] += static_cast<double>(values[i]);
}

// sums[count] -> sums[i] / ranks, rounded to odd.
HD void odd_means(const double* __restrict sums, size_t count, uint32_t ranks, float* __restrict means) {
  const double divisor = static_cast<double>(ranks);
  size_t i = 0;
#if GM_ISA_avx512
  for (; i + 8 <= count; i += 8) {
    const __m512d mean = _mm512_div_pd(_mm512_loadu_pd(sums + i), _mm512_set1_pd(divisor));
    const __m256 cut = _mm512_cvt_roundpd_ps(mean, _MM_FROUND_TO_ZERO | _MM_FROUND_NO_EXC);
    const __mmask8 rest = _mm512_cmp_pd_mask(_mm512_cvtps_pd(cut), mean, _CMP_NEQ_OQ);
    const __mmask8 nan = _mm512_cmp_pd_mask(mean, mean, _CMP_UNORD_Q);
    const __m256i bits = _mm256_castps_si256(cut);
    const __m256i odd = _mm256_mask_or_epi32(bits, rest, bits, _mm256_set1_epi32(1));
    _mm256_storeu_ps(means + i,
                     _mm256_mask_mov_ps(_mm256_castsi256_ps(odd), nan, _mm256_set1_ps(exact::quiet_nan())));
  }
#endif
  for (; i < count; i++) means[i] = exact::from_bits(codecs::round_to_odd::quotient(sums[i], divisor));
}

}  // namespace
}  // namespace gradmesh::GM_ISA
