// Values in 2 bits: a sign, and which of two magnitudes, the means of the smaller and of the larger ones of a
// block. This file defines every bit of it, for m values, m >= 1; kept.h says where the bits lie.
//
// Why: of a block's largest elements all are large, and of either sign. Levels at even distances from 0 to
// the largest (int2_block, or +-1/4 and +-3/4 of it) leave more squared error than the sign and one mean do:
// of the 64 largest of 4096 normal values 17 % and 2.0 % against 1.2 %, two means 0.38 %. One scale with
// levels in a fixed ratio can be as good, but the best ratio differs with k and with how heavy the tails are.
//
// Encoding:
// - factor is 1, or 2^-13 where the sum of all |x| overflows (as in sign1); magnitudes y = |x| * factor; sums
//   go in the order of numeric/tree.h, where a value that is not meant counts as +0.
// - The first threshold is the mean of all y. A value is above where y > threshold. `low` is the mean of
//   those that are not, `high` of those that are; where there are none of one kind, the other's mean.
// - Three times: threshold = low + (high - low) / 2, and low and high anew (Lloyd 1982, for two levels).
// - Level 0 is low / factor, level 1 high / factor. The code of a value is 1 if it is above the last
//   threshold, plus 2 if its sign bit is set.
// - With NaN or Inf among the values both levels are NaN and nothing is above; all m decode to NaN. Else all
//   stays finite: a sum of n of the largest floats times 2^-13 is rounded to less than n * 2^115 in any
//   order, so its mean is at most the largest float times 2^-13.
//
// Error: whatever the threshold, sum x^2 - n_low low^2 - n_high high^2, where each level is least squares for
// its own; by convexity that is at most sum x^2 - (sum |x|)^2 / m, what sign1 leaves. So contractive as sign1
// is: at most 1 - 1 / m of sum x^2, besides what rounding the means adds, below 2^-28 of it. Where a level is
// a denormal and is rounded, the error is at most sum x^2.
//
// Decoding is defined for any bytes: a NaN level gives 0x7fc00000, any other its bits with the code's sign.
#pragma once
#include <cstddef>
#include <cstdint>

#include "codec/sign1.h"
#include "numeric/convert.h"
#include "numeric/exact.h"
#include "numeric/tree.h"

namespace gradmesh::codecs {

struct two_means {
  static constexpr int kSplits = 4;

  // Everything is in units of y.
  struct Split {
    float factor, threshold, low, high;
  };
  // From the finite sum of all m magnitudes times factor.
  HD Split first(float sum, float factor, size_t m) {
    const float mean = sign1::mean_of(sum, m);
    return {factor, mean, mean, mean};
  }
  HD Split not_a_number() {
    const float nan = exact::from_bits(exact::kNan);
    return {1.0f, nan, nan, nan};
  }

  HD float scaled(const Split& split, float x) { return exact::mul(exact::magnitude(x), split.factor); }
  HD bool above(const Split& split, float x) { return scaled(split, x) > split.threshold; }

  // The threshold of split number `round`, and then its levels, from what lies on either side of it.
  HD void set_threshold(Split* split, int round) {
    if (round > 0)
      split->threshold = exact::add(split->low, exact::mul(exact::sub(split->high, split->low), 0.5f));
  }
  HD void set_levels(Split* split, float low_sum, float high_sum, size_t high_count, size_t m) {
    const size_t low_count = m - high_count;
    const float low = sign1::mean_of(low_sum, low_count == 0 ? 1 : low_count);
    const float high = sign1::mean_of(high_sum, high_count == 0 ? 1 : high_count);
    split->low = low_count == 0 ? high : low;
    split->high = high_count == 0 ? low : high;
  }

  // x[m] -> its last split: the definition.
  HD Split split_of(const float* x, size_t m) {
    float factor = 1.0f, sum = sign1::magnitude_sum(x, m, factor);
    if (!sign1::finite(sum)) {
      for (size_t i = 0; i < m; i++)
        if (!sign1::finite(x[i])) return not_a_number();
      factor = sign1::kShrink;
      sum = sign1::magnitude_sum(x, m, factor);
    }
    Split split = first(sum, factor, m);
    for (int round = 0; round < kSplits; round++) {
      set_threshold(&split, round);
      float low[tree::kLanes] = {}, high[tree::kLanes] = {};
      uint32_t counts[tree::kLanes] = {};
      const auto add = [&](size_t lane, float value) __attribute__((always_inline)) {
        const float y = scaled(split, value);
        const bool is_above = above(split, value);
        low[lane] = exact::add(low[lane], is_above ? 0.0f : y);
        high[lane] = exact::add(high[lane], is_above ? y : 0.0f);
        counts[lane] += is_above ? 1 : 0;
      };
      const size_t whole = m / tree::kLanes * tree::kLanes;
      for (size_t group = 0; group < whole; group += tree::kLanes)
        for (size_t i = 0; i < tree::kLanes; i++) add(i, x[group + i]);
      for (size_t i = whole; i < m; i++) add(i - whole, x[i]);
      size_t high_count = 0;
      for (size_t i = 0; i < tree::kLanes; i++) high_count += counts[i];
      set_levels(&split, tree::fold(low), tree::fold(high), high_count, m);
    }
    return split;
  }

  // What is written of level 0 or 1.
  HD uint32_t level_bits(const Split& split, uint32_t level) {
    const float y = level == 0 ? split.low : split.high;
    return exact::bits(exact::canonical(exact::mul(y, split.factor == 1.0f ? 1.0f : sign1::kGrow)));
  }
  HD uint32_t code(const Split& split, float x) { return (above(split, x) ? 1u : 0u) | sign1::sign(x) << 1; }
  // The decoded bits of a code, 0 .. 3, whose level has these bits.
  HD uint32_t decode(uint32_t code, uint32_t level) { return sign1::decode(code >> 1, level); }
};

}  // namespace gradmesh::codecs
