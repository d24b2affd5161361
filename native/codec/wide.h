// A 320-bit integer in two's complement, for sums that no machine integer holds: the slow path of
// int8_block's mean.
#pragma once
#include <cstdint>

#include "numeric/exact.h"

namespace gradmesh::codecs {

struct Wide {
  static constexpr int kWords = 5;
  uint64_t words[kWords];  // the least significant first

  HD Wide zero() { return {{0, 0, 0, 0, 0}}; }
  // value * 2^shift; the caller keeps value * 2^shift below 2^319.
  HD Wide shifted(uint64_t value, int shift) {
    Wide result = zero();
    const int word = shift / 64, bit = shift % 64;
    result.words[word] = value << bit;
    if (bit != 0 && word + 1 < kWords) result.words[word + 1] = value >> (64 - bit);
    return result;
  }
  HD bool negative(const Wide& a) { return a.words[kWords - 1] >> 63; }
  // a + b, or a - b = a + ~b + 1.
  HD Wide sum(const Wide& a, const Wide& b, bool subtract) {
    Wide result;
    uint64_t carry = subtract ? 1 : 0;
    for (int i = 0; i < kWords; i++) {
      const uint64_t term = subtract ? ~b.words[i] : b.words[i];
      const uint64_t partial = a.words[i] + term;
      result.words[i] = partial + carry;
      carry = (partial < term) | (result.words[i] < partial);
    }
    return result;
  }
  HD Wide magnitude(const Wide& a) { return negative(a) ? sum(zero(), a, true) : a; }
  // a <= b, for numbers that are not negative.
  HD bool at_most(const Wide& a, const Wide& b) { return !negative(sum(b, a, true)); }
};

}  // namespace gradmesh::codecs
