// The written meaning of "the largest": floats compared by their bits, as integers, so that the result has no
// order of its own and no instruction's view of NaN in it. -Inf < ... < -0 < +0 < ... < Inf; a NaN without
// the sign bit is above Inf, one with it below -Inf.
#pragma once
#include "numeric/exact.h"

namespace order {

// Monotone: a comes before b exactly when key(a) < key(b).
HD int32_t key(float x) {
  const int32_t u = (int32_t)exact::bits(x);
  return u ^ ((u >> 31) & 0x7fffffff);
}
HD float from_key(int32_t k) { return exact::from_bits((uint32_t)(k ^ ((k >> 31) & 0x7fffffff))); }

// The key below every other one.
constexpr int32_t kLowest = (int32_t)0x80000000;

}  // namespace order
