// The Hadamard transform of eden.h's step 4 in vectors, sixteen of them in registers. Only files of isa/
// include this.
#pragma once
#include <cstddef>
#include <cstdint>

#include "codec/eden.h"
#include "numeric/lanes.h"

namespace gradmesh::GM_ISA {
namespace {

// rotate_from(h, padded, load_vector): h[padded] = H of the vectors that load_vector(i) gives.
#if defined(GM_ISA_avx512) || defined(GM_ISA_avx2)

constexpr size_t kRadix = 16;  // vectors that one pass holds in registers: four stages

// log2(radix) stages over `radix` vectors in registers.
template <size_t radix>
HD void stages(F16* v) {
#pragma GCC unroll 4
  for (size_t half = 1; half < radix; half *= 2)
#pragma GCC unroll 16
    for (size_t i = 0; i < radix; i++) {
      if ((i & half) != 0) continue;
      const F16 a = v[i], b = v[i + half];
      v[i] = add(a, b);
      v[i + half] = sub(a, b);
    }
}

// The stages within vectors and among `radix` vectors in a row; load_vector(i) gives vector i.
template <size_t radix, class Load>
HD void first_pass(float* h, size_t vectors, Load load_vector) {
  for (size_t at = 0; at < vectors; at += radix) {
    F16 v[radix];
#pragma GCC unroll 16
    for (size_t i = 0; i < radix; i++)
      v[i] = butterfly<8>(butterfly<4>(butterfly<2>(butterfly<1>(load_vector(at + i)))));
    stages<radix>(v);
#pragma GCC unroll 16
    for (size_t i = 0; i < radix; i++) store(h + (at + i) * kLanes, v[i]);
  }
}
// The remaining stages, among `radix` vectors that lie kRadix vectors apart; store_vector(i, v) takes vector
// i.
template <size_t radix, class Store>
HD void last_pass(const float* h, Store store_vector) {
  for (size_t at = 0; at < kRadix; at++) {
    F16 v[radix];
#pragma GCC unroll 16
    for (size_t i = 0; i < radix; i++) v[i] = load(h + (at + i * kRadix) * kLanes);
    stages<radix>(v);
#pragma GCC unroll 16
    for (size_t i = 0; i < radix; i++) store_vector(at + i * kRadix, v[i]);
  }
}

template <class Load>
HD void rotate_from(float* h, size_t padded, Load load_vector) {
  const size_t vectors = padded / kLanes;
  const auto keep = [h](size_t i, F16 v) __attribute__((always_inline)) { store(h + i * kLanes, v); };
  if (vectors == 4) return first_pass<4>(h, vectors, load_vector);
  if (vectors == 8) return first_pass<8>(h, vectors, load_vector);
  first_pass<kRadix>(h, vectors, load_vector);
  if (vectors == 32) last_pass<2>(h, keep);
  if (vectors == 64) last_pass<4>(h, keep);
  if (vectors == 128) last_pass<8>(h, keep);
  if (vectors == 256) last_pass<16>(h, keep);
}

#else

template <class Load>
HD void rotate_from(float* h, size_t padded, Load load_vector) {
  for (size_t i = 0; i < padded / kLanes; i++) store(h + i * kLanes, load_vector(i));
  codecs::eden::rotate(h, padded);
}

#endif

}  // namespace
}  // namespace gradmesh::GM_ISA
