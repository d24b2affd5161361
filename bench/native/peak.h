// How many fused multiply-adds one thread of this machine can do, measured beside what is compared with it.
#pragma once
#include <algorithm>
#include <chrono>

#include "numeric/backend.h"

#if defined(GM_X86)
#include <immintrin.h>
#endif

namespace peak {

inline double seconds() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

// The best of several tries, in GFLOP/s. Each chain below is twelve independent ones, which keep both units
// busy.
template <class Chain>
double best_rate(double flops, Chain chain) {
  double best = 0;
  for (int i = 0; i < 20; i++) {
    const double start = seconds();
    chain();
    best = std::max(best, flops / (seconds() - start) / 1e9);
  }
  return best;
}

#if defined(GM_X86)
inline constexpr int kChains = 12, kTurns = 100000;
__attribute__((target("avx2,fma"))) inline void chain_avx2() {
  __m256 sums[kChains];
  const __m256 factor = _mm256_set1_ps(0.999f);
  for (auto& sum : sums) sum = _mm256_set1_ps(1.0f);
  for (int i = 0; i < kTurns; i++) {
#pragma GCC unroll 12
    for (auto& sum : sums) {
      sum = _mm256_fmadd_ps(sum, factor, factor);
      __asm__ volatile("" : "+x"(sum));  // so that no turn is computed ahead or left out
    }
  }
}
__attribute__((target("avx512f"))) inline void chain_avx512() {
  __m512 sums[kChains];
  const __m512 factor = _mm512_set1_ps(0.999f);
  for (auto& sum : sums) sum = _mm512_set1_ps(1.0f);
  for (int i = 0; i < kTurns; i++) {
#pragma GCC unroll 12
    for (auto& sum : sums) {
      sum = _mm512_fmadd_ps(sum, factor, factor);
      __asm__ volatile("" : "+v"(sum));
    }
  }
}
#endif

// GFLOP/s of the active backend's vectors; 0 where it has none.
inline double measure() {
#if defined(GM_X86)
  if (gradmesh::backend::active() == gradmesh::backend::Backend::avx512)
    return best_rate(2.0 * 16 * kChains * kTurns, chain_avx512);
  if (gradmesh::backend::active() == gradmesh::backend::Backend::avx2)
    return best_rate(2.0 * 8 * kChains * kTurns, chain_avx2);
#endif
  return 0;
}

}  // namespace peak
