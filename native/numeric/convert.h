// Conversions whose result C++, x86 and CUDA do not agree on by themselves, defined once: rounding to
// integers, floats that no integer holds, and the bits of a NaN that arithmetic made.
#pragma once
#include <cstdint>

#include "numeric/exact.h"

namespace exact {

inline constexpr uint32_t kNan = 0x7fc00000u;

// The nearest integer, ties to even, for |x| <= 2^22: adding 1.5 * 2^23 leaves exactly the integer bits,
// rounded by the addition itself. (trunc(x + 0.5) is wrong at 0.49999997, where x + 0.5 already rounds up
// to 1.)
HD int32_t round_small(float x) { return static_cast<int32_t>(bits(add(x, 12582912.0f)) - 0x4b400000u); }

// The same for |x| <= 2^31, by 1.5 * 2^52.
HD int32_t round_small(double x) {
  const double shifted = x + 6755399441055744.0;
  uint64_t u;
  memcpy(&u, &shifted, 8);
  return static_cast<int32_t>(static_cast<uint32_t>(u));
}

// The nearest integer, ties to even, of x clamped to [low, high]; 0 for NaN. Clamped before it is converted:
// what a float too large becomes differs between x86 (INT_MIN) and CUDA (saturated). |low|, |high| <= 2^22,
// and low <= 0 <= high.
HD int32_t to_integer(float x, int32_t low, int32_t high) {
  const float least = static_cast<float>(low), most = static_cast<float>(high);
  const float number = x == x ? x : 0.0f;
  const float above = number < least ? least : number;
  return round_small(above > most ? most : above);
}

// x, or the one NaN 0x7fc00000 for any NaN. Sums and quotients that leave a kernel pass through here where
// NaN may occur: Inf - Inf is 0xffc00000 on x86 and 0x7fffffff on CUDA, and NaN + NaN keeps the payload of
// either operand.
HD float canonical(float x) { return x == x ? x : from_bits(kNan); }

}  // namespace exact
