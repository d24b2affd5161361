// The mean of coded contributions of int8_block, int4_block and int2_block with scale=pow2, exact: sums of q
// * 2^e are integers in fixed point, so arrival order, thread count and device cannot matter. The only
// rounding is the one that codes the mean.
//
// Definition, for one block of `ranks` contributions, 1 to 65536:
// 1. If any contribution decodes to a NaN or Inf in this block, the mean is a NaN block: byte 255, every q 0.
// 2. Else sum[i] is the exact sum over ranks of q[i] * 2^e. If every sum is 0: byte 0, every q 0.
// 3. Else e' is the smallest exponent with max |sum| / ranks <= kMost * 2^e', but at least -126, and q[i] is
// y =
//    sum[i] / (ranks * 2^e') rounded as the option says: to nearest, ties to even; or stochastically as in
//    encoding, with key.rank = kMeanRank. No finite contribution is above kMost * 2^(129 - kBits), so no mean
//    is: e' needs no upper bound, and no clamp acts.
// So the mean of one contribution decodes to what that contribution does.
//
// Ways that compute it, with equal bytes:
// - mean(), fast: sums as int32 in units of 2^(smallest e), taken when they fit: 2^(kBits - 1) * ranks *
// 2^spread <
//   2^31; for int8 a spread of 20 for up to 15 ranks, 17 for 64.
// - accumulate() and finish(): int64 limbs in units of 2^-127 (fixed_sum.h). A contribution adds to the row
// of its
//   byte / 32; one that is a zero block (byte 0, every q 0) touches nothing, one that is not finite marks the
//   block.
// - mean(), slow: the same limbs. Its time counts too: one contributor can force it with a scale far from the
// others'.
#pragma once
#include <cstddef>
#include <cstdint>

#include "codec/fixed_sum.h"
#include "codec/int_block.h"

namespace gradmesh::codecs {

template <int kBits>
struct IntBlockMean {
  using Block = IntBlock<kBits>;
  using Sum = FixedSum<kBits - 1, 255>;  // |q| <= 2^(kBits - 1); a contribution's byte is its position
  static constexpr uint32_t kMost = static_cast<uint32_t>(Block::kMost);
  // Contributions up to this byte are finite whatever their q: 2^(kBits - 1) * 2^e < 2^128.
  static constexpr uint32_t kSafeByte = 255 - kBits;

  // Whether one contribution is finite: |q| * 2^(byte - 127) < 2^128.
  HD bool finite(int32_t q, uint32_t byte) {
    if (byte <= kSafeByte) return true;
    return byte != Block::kNanByte && (q < 0 ? -q : q) < 1 << (255 - byte);
  }
  // Whether sums of q * 2^(0..spread) over ranks fit an int32, the integer that no encoder writes included.
  HD bool fits(uint32_t ranks, uint32_t spread) {
    return spread < 31 && static_cast<uint64_t>(ranks) << (kBits - 1) << spread <= 0x7fffffffu;
  }
  HD uint64_t limit(uint32_t ranks) { return static_cast<uint64_t>(ranks) * kMost; }

  // The scale byte and the divisor for sums in units of 2^(unit - 127) whose largest magnitude, not 0 and at
  // most fixed_sum::kSumMost, is `largest`; extra is 16 for stochastic rounding, else 0.
  struct Division {
    uint32_t byte;
    double divisor;
  };
  HD Division division(uint64_t largest, int unit, uint32_t ranks, int extra) {
    const int shift = fixed_sum::shift_of(largest, limit(ranks));
    const int least = static_cast<int>(Block::kLeastByte) - unit;
    const int used = shift < least ? least : shift;
    return {static_cast<uint32_t>(unit + used), fixed_sum::divisor(ranks, used - extra)};
  }
  HD uint32_t byte_of(const Wide& largest, uint32_t ranks) {
    return static_cast<uint32_t>(
        fixed_sum::shift_of(largest, limit(ranks), static_cast<int>(Block::kLeastByte)));
  }
  // sum * 2^extra / (ranks * 2^byte), to nearest, ties to even.
  HD int32_t divide(const Wide& sum, uint32_t ranks, uint32_t byte, int extra) {
    const fixed_sum::Quotient halves =
        fixed_sum::divide(Wide::magnitude(sum), ranks, static_cast<int>(byte) - extra - 1);
    const int32_t quotient = static_cast<int32_t>(fixed_sum::nearest(halves));
    return Wide::negative(sum) ? -quotient : quotient;
  }
};

}  // namespace gradmesh::codecs
