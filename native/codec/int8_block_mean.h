// The mean of int8_block contributions, exact: sums of q * 2^e are integers in fixed point, so arrival order,
// thread count and device cannot matter. The only rounding is the one that codes the mean.
//
// Definition, for one block of `ranks` contributions:
// 1. If any contribution decodes to a NaN or Inf in this block, the mean is a NaN block: byte 255, every q 0.
// 2. Else sum[i] is the exact sum over ranks of q[i] * 2^e. If every sum is 0: byte 0, every q 0.
// 3. Else e' is the smallest exponent with max |sum| / ranks <= 127 * 2^e', but at least -126, and q[i] is
//    sum[i] / (ranks * 2^e') rounded to nearest, ties to even. No finite contribution is above 127 * 2^121,
//    so no mean is: e' never exceeds 121, and no clamp is needed.
// So the mean of one contribution is what encoding its decoded values gives.
//
// Two ways compute it, with equal bytes. The fast one holds sums as int32 in units of 2^(smallest e), and is
// taken when they fit: 128 * ranks * 2^spread < 2^31, a spread of 20 for up to 15 ranks. The slow one holds
// all bits in units of 2^-127. Its time counts too: one contributor can force it with a scale far from the
// others'.
#pragma once
#include <cstddef>
#include <cstdint>

#include "codec/int8_block.h"
#include "codec/wide.h"

namespace gradmesh::codecs {

struct int8_block_mean {
  static constexpr uint32_t kNanByte = int8_block::kNanByte;
  // Contributions up to this byte, e <= 120, are finite whatever their q: 128 * 2^120 < 2^128.
  static constexpr uint32_t kSafeByte = 247;

  HD int bit_length(uint64_t x) { return x == 0 ? 0 : 64 - __builtin_clzll(x); }

  // Whether one contribution is finite: |q| * 2^e < 2^128.
  HD bool finite(int32_t q, uint32_t byte) {
    if (byte == kNanByte) return false;
    const int over = static_cast<int>(byte) - 248;  // 2^128 = 128 * 2^121, and byte 248 is e = 121
    return over < 0 || (q < 0 ? -q : q) < 128 >> over;
  }

  // Fast path. Whether sums of q * 2^(0..spread) over ranks fit an int32, q = -128 included.
  HD bool fits(uint32_t ranks, uint32_t spread) {
    return spread < 24 && (static_cast<uint64_t>(ranks) * 128u << spread) <= 0x7fffffffu;
  }
  // The smallest t with largest <= 127 * ranks * 2^t; largest > 0, and both are below 2^40.
  // With a = largest, b = 127 * ranks and d = bit_length(a) - bit_length(b): a < b * 2^(d+1) and a > b *
  // 2^(d-1).
  HD int shift_of(uint64_t largest, uint32_t ranks) {
    const uint64_t limit = static_cast<uint64_t>(ranks) * 127u;
    const int d = bit_length(largest) - bit_length(limit);
    const bool fits = d >= 0 ? largest <= limit << d : largest << -d <= limit;
    return fits ? d : d + 1;
  }
  // sum / divisor, divisor = ranks * 2^t, rounded to nearest, ties to even, in doubles.
  // Why that is exact: sum and divisor are integers below 2^31 times a power of two, so doubles hold them.
  // The quotient is at most 127 and the division rounds it by at most 2^-47. A tie k + 1/2 is a double, so a
  // true tie stays one. A quotient that is no tie is at least 1 / (2 * ranks * max(1, 2^t)) away from every
  // tie (over that common denominator both are integers), and this is above 2^-36, as 127 * ranks * 2^(t-1) <
  // |largest sum| < 2^31 and ranks < 2^24. So the division neither makes a tie, nor breaks one, nor crosses
  // one; the conversion then rounds once.
  HD int8_t divide(int32_t sum, double divisor) {
    return static_cast<int8_t>(exact::round_small(static_cast<double>(sum) / divisor));
  }
  // 2^t for -1022 <= t <= 1023.
  HD double power(int t) {
    const uint64_t bits = static_cast<uint64_t>(t + 1023) << 52;
    double result;
    memcpy(&result, &bits, 8);
    return result;
  }

  // Slow path. A contribution's q * 2^byte, in units of 2^-127, goes to the limb of 32 bits that byte names,
  // as q * 2^(byte mod 32). Limbs have signs of their own and room above: a term is at most 2^38, so up to
  // 2^24 contributions need no carry, and adding one is a single addition an element, as on the fast path.
  static constexpr size_t kLimbs = 8;  // bytes up to 254
  HD size_t limb_of(uint32_t byte) { return byte / 32; }
  HD int64_t limb_term(int32_t q, uint32_t byte) { return static_cast<int64_t>(q) << byte % 32; }
  // The sum that limbs[0], limbs[stride], ... hold. Finite contributions are below 2^255, so it is below
  // 2^287.
  HD Wide sum_of(const int64_t* limbs, size_t stride) {
    Wide sum = Wide::zero();
    int64_t carry = 0;
    for (size_t limb = 0; limb < kLimbs; limb++) {
      const int64_t value = limbs[limb * stride] + carry;
      sum.words[limb / 2] |= static_cast<uint64_t>(static_cast<uint32_t>(value)) << limb % 2 * 32;
      carry = value >> 32;
    }
    sum.words[kLimbs / 2] = static_cast<uint64_t>(carry);
    return sum;
  }
  // The byte of e', given the largest |sum|, not 0: the smallest of 1, 2, ... with largest <= 127 * ranks *
  // 2^byte. By bit lengths it is the first or second one tried, as in shift_of().
  HD uint32_t wide_byte(const Wide& largest, uint32_t ranks) {
    const uint64_t limit = static_cast<uint64_t>(ranks) * 127u;
    int byte = Wide::bit_length(largest) - bit_length(limit);
    const int least = static_cast<int>(int8_block::kLeastByte);
    byte = byte < least ? least : byte;
    if (!Wide::at_most(largest, Wide::shifted(limit, byte))) byte++;
    return static_cast<uint32_t>(byte);
  }
  // sum / (ranks * 2^byte), rounded to nearest, ties to even. With |sum| = (halves + f) * 2^(byte - 1), 0 <=
  // f < 1, that is (halves + f) / (2 ranks): at most 127, so halves is below 2^32 * 254.
  HD int8_t wide_divide(const Wide& sum, uint32_t ranks, uint32_t byte) {
    const Wide magnitude = Wide::magnitude(sum);
    const int shift = static_cast<int>(byte) - 1;
    const uint64_t halves = Wide::shifted_down(magnitude, shift), unit = static_cast<uint64_t>(ranks) * 2u;
    const uint64_t rest = halves % unit;
    int32_t quotient = static_cast<int32_t>(halves / unit);
    const bool odd = quotient & 1;
    quotient += rest > ranks || (rest == ranks && (odd || Wide::any_below(magnitude, shift))) ? 1 : 0;
    return static_cast<int8_t>(Wide::negative(sum) ? -quotient : quotient);
  }
};

}  // namespace gradmesh::codecs
