// A 320-bit integer in two's complement, for sums that no machine integer holds (fixed_sum.h).
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
  // a / 2^shift without its fraction, for an a that is not negative; the caller keeps the result below 2^64.
  HD uint64_t shifted_down(const Wide& a, int shift) {
    const int word = shift / 64, bit = shift % 64;
    const uint64_t low = a.words[word] >> bit;
    return bit == 0 || word + 1 == kWords ? low : low | a.words[word + 1] << (64 - bit);
  }
  // Whether a has a bit set below 2^shift.
  HD bool any_below(const Wide& a, int shift) {
    const int word = shift / 64;
    uint64_t any = a.words[word] & ((uint64_t{1} << shift % 64) - 1);
    for (int i = 0; i < word; i++) any |= a.words[i];
    return any != 0;
  }
  HD int bit_length(const Wide& a) {
    for (int i = kWords - 1; i >= 0; i--)
      if (a.words[i] != 0) return 64 * i + 64 - __builtin_clzll(a.words[i]);
    return 0;
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
