// Exact sums of coded numbers, for every codec whose elements are integers times powers of two: each
// contribution gives an element `term * 2^position`, in a unit of the codec's own, and up to 65536 of them
// add without rounding. So a sum has no order: arrival, threads and devices cannot matter. The only rounding
// is the one that codes the mean.
//
// FixedSum<kTermBits, kPositions> is for |term| <= 2^kTermBits (below 2^32) and 0 <= position < kPositions. A
// sum is held in limbs: int64 numbers of weight 2^(32 limb). A term goes whole to the limb of its position /
// 32, shifted by position % 32; limbs have signs of their own and room above, so that adding one is a single
// addition and no carry is needed. Where that room is too small (terms of more than 15 bits), the upper part
// of the shifted term goes to the next limb.
//
// Accumulators of `elements` in blocks of `block`, as accumulate() and finish() of codec.h use them:
//   one uint64 header a block: bit `limb` says that the block's part of that row is in use, kNan that the sum
//   is not a number; then kLimbs rows of `elements` int64, each row at a multiple of 64 bytes.
// What a row holds before its header bit is set is never read. So only headers_bytes() need to be zero at
// first, and memory of rows that no contribution reaches is never touched: mostly all but one or two rows.
#pragma once
#include <cstddef>
#include <cstdint>

#include "codec/wide.h"
#include "numeric/convert.h"

namespace gradmesh::codecs {

template <int kTermBits, int kPositions>
struct FixedSum {
  static constexpr uint32_t kContributionsMost = 65536;
  static constexpr int kLimbBits = 32;
  // 31 bits of shift and 16 of contributions above a term's own, and the sign.
  static constexpr bool kSplit = kTermBits + 31 + 16 > 62;
  static constexpr uint32_t kLimbs = (kPositions - 1) / kLimbBits + 1 + (kSplit ? 1 : 0);
  static constexpr uint64_t kNan = uint64_t{1} << 63;
  static_assert(kTermBits >= 1 && kTermBits <= 32, "a term shifted by 31 fits an int64");
  static_assert(kTermBits + kPositions + 16 < 64 * Wide::kWords, "a sum fits Wide");

  // The accumulators' places.
  HD size_t blocks(size_t elements, size_t block) { return elements / block + (elements % block != 0); }
  HD size_t rounded(size_t bytes) { return (bytes + 63) / 64 * 64; }
  HD size_t headers_bytes(size_t elements, size_t block) { return rounded(blocks(elements, block) * 8); }
  HD size_t row_bytes(size_t elements) { return rounded(elements * 8); }
  HD size_t bytes(size_t elements, size_t block) {
    return headers_bytes(elements, block) + kLimbs * row_bytes(elements);
  }
  // Where row 0 starts for the element number `at`; row l is l * row_bytes(elements) bytes behind.
  HD size_t row_at(size_t elements, size_t block, size_t at) {
    return headers_bytes(elements, block) + at * 8;
  }

  // Adding a term. kSplit: part 0 goes to the limb, part 1 to the next one; else part 0 is all.
  HD uint32_t limb_of(uint32_t position) { return position / kLimbBits; }
  HD uint64_t limbs_of(uint32_t position) { return uint64_t{kSplit ? 3u : 1u} << limb_of(position); }
  HD int64_t shifted(int64_t term, uint32_t position) { return term * (int64_t{1} << position % kLimbBits); }
  HD int64_t part(int64_t shifted_term, int which) {
    if (!kSplit) return shifted_term;
    return which == 0 ? static_cast<int64_t>(static_cast<uint32_t>(shifted_term)) : shifted_term >> kLimbBits;
  }

  // The sum whose limbs are limbs[0], limbs[stride], ..., of which those in `used` hold something.
  HD Wide sum_of(const int64_t* limbs, size_t stride, uint64_t used) {
    Wide sum = Wide::zero();
    int64_t carry = 0;
    for (uint32_t limb = 0; limb < 2 * Wide::kWords; limb++) {
      const int64_t value = carry + (limb < kLimbs && (used >> limb & 1) ? limbs[limb * stride] : 0);
      sum.words[limb / 2] |= static_cast<uint64_t>(static_cast<uint32_t>(value)) << limb % 2 * 32;
      carry = value >> 32;
    }
    return sum;
  }
};

// From the exact sum to the mean's code: sum / (ranks * 2^shift), where shift is the position of the mean's
// scale.
namespace fixed_sum {

HD int bit_length(uint64_t x) { return x == 0 ? 0 : 64 - __builtin_clzll(x); }

// The smallest s with largest <= limit * 2^s, for numbers that are not 0; limit = ranks * (the largest code),
// below 2^32. With d = bit_length(largest) - bit_length(limit): largest < limit * 2^(d + 1) and largest >
// limit * 2^(d - 1), so it is d or d + 1. largest is below 2^63 here.
HD int shift_of(uint64_t largest, uint64_t limit) {
  const int d = bit_length(largest) - bit_length(limit);
  const bool fits = d >= 0 ? largest <= limit << d : largest << -d <= limit;
  return fits ? d : d + 1;
}
// The same, but at least `least`, which is not negative.
HD int shift_of(const Wide& largest, uint64_t limit, int least) {
  const int d = Wide::bit_length(largest) - bit_length(limit);
  const int shift = d < least ? least : d;
  return Wide::at_most(largest, Wide::shifted(limit, shift)) ? shift : shift + 1;
}
// The largest s with ranks * 2^s <= largest, that is floor(log2(largest / ranks)); largest is not 0.
HD int log2_of(const Wide& largest, uint32_t ranks) {
  const int d = Wide::bit_length(largest) - bit_length(ranks);
  const bool fits =
      d >= 0 ? Wide::at_most(Wide::shifted(ranks, d), largest) : ranks <= largest.words[0] << -d;
  return fits ? d : d - 1;
}

// magnitude / (divisor * 2^shift): its whole part, and whether something is left. Any rounding follows from
// this with a shift that is one less than the last bit kept (nearest()), or more: `whole | rest` is the
// quotient rounded to odd, which rounds to fewer bits (two less, or more) as the exact quotient does.
struct Quotient {
  uint64_t whole;
  bool rest;
};
// whole * divisor is below 2^64. A negative shift is one of a sum that is small: it fits a word after it.
HD Quotient divide(const Wide& magnitude, uint64_t divisor, int shift) {
  const uint64_t scaled = shift < 0                   ? magnitude.words[0] << -shift
                          : shift < 64 * Wide::kWords ? Wide::shifted_down(magnitude, shift)
                                                      : 0;
  const bool below =
      shift > 0 && Wide::any_below(magnitude, shift < 64 * Wide::kWords ? shift : 64 * Wide::kWords - 1);
  return {scaled / divisor, scaled % divisor != 0 || below};
}
// The nearest integer, ties to even, of a quotient that was taken in halves.
HD uint64_t nearest(const Quotient& halves) {
  const uint64_t whole = halves.whole >> 1;
  return whole + ((halves.whole & 1) && (halves.rest || (whole & 1)) ? 1 : 0);
}

// sum * 2^extra / (ranks * 2^shift), rounded to nearest, ties to even, in doubles; `divisor` is ranks *
// 2^(shift - extra). For |sum| <= kSumMost, ranks <= 65536, 0 <= extra <= 16, and a shift that shift_of()
// gave for the largest sum of the block and limit = ranks * most (most <= 127), or a larger one that is at
// most 1. Why that is exact: sum and divisor are doubles. The quotient is at most most * 2^extra, so the
// division rounds it by at most most * 2^(extra - 53), below 2^-30. A tie k + 1/2 is a double, so a true tie
// stays one. A quotient that is no tie is at least 1 / (2 ranks) away from every tie where shift <= extra,
// and 1/4 of that where shift is 1; else 2^extra / (2 ranks * 2^shift), as over that common denominator both
// are integers. There the largest |sum|, at most 2^50, is above most * ranks * 2^(shift - 1), so the distance
// is above most * 2^(extra - 52), more than the division's rounding. So the division neither makes a tie, nor
// breaks one, nor crosses one; the conversion then rounds once.
static constexpr int64_t kSumMost = int64_t{1} << 50;
HD int32_t divide(double sum, double divisor) { return exact::round_small(sum / divisor); }
// ranks * 2^power for -1022 <= power <= 1000.
HD double divisor(uint32_t ranks, int power) {
  const uint64_t bits = static_cast<uint64_t>(power + 1023) << 52;
  double result;
  memcpy(&result, &bits, 8);
  return static_cast<double>(ranks) * result;
}

}  // namespace fixed_sum
}  // namespace gradmesh::codecs
