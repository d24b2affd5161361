// What codecs share whose block scale is a power of two in an E8M0 byte (2^(byte - 127), 255 for a NaN block)
// and whose elements are integers times it: mx.h and e3m0.h. Their means are exact, by either of two ways
// with equal results.
//
// The fast one adds decoded values in doubles. Every value of a block is an integer below 2^kTermBits in the
// unit of its smallest scale, times 2^(its byte - the smallest): fits() says that no sum can reach 2^52
// units, so that no sum is rounded. (The byte of a block of zeros doesn't count: zeros are exact in any
// unit.) The slow one is FixedSum: accumulators for every scale there is.
#pragma once
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "codec/fixed_sum.h"
#include "codec/round_to_odd.h"
#include "numeric/exact.h"

namespace gradmesh::codecs {

constexpr uint32_t kNanByte = 255;
constexpr uint32_t kNoSpecial = 256;  // every code is a number

// 2^(byte - 127), for a byte below 255; 2^-127 is a denormal float, and exact.
HD float scale_of(uint32_t byte) { return exact::from_bits(byte == 0 ? 0x400000u : byte << 23); }
// 2^(127 - byte), for a byte below 255.
HD float inverse_scale_of(uint32_t byte) {
  return exact::from_bits(byte == 254 ? 0x400000u : (254u - byte) << 23);
}

template <class Codec>
struct ExactBlock {
  using Sum = FixedSum<Codec::kTermBits, 255>;
  static constexpr int kExponent = Codec::kUnitExponent - 127;  // of the unit at byte 0

  // Whether sums over ranks of terms whose scale bytes differ by at most `spread` are exact in doubles.
  HD bool fits(uint32_t ranks, uint32_t spread) {
    return ranks <= Sum::kContributionsMost && spread + Codec::kTermBits + fixed_sum::bit_length(ranks) <= 52;
  }
  // 2^exponent for -1022 <= exponent <= 1023.
  HD double power(int exponent) {
    const uint64_t bits = static_cast<uint64_t>(exponent + 1023) << 52;
    double result;
    memcpy(&result, &bits, 8);
    return result;
  }
  // Whether term * 2^(byte + kExponent) is a finite float: below 2^128, as its few bits are never rounded.
  HD bool finite(int64_t term, uint32_t byte) {
    const uint64_t magnitude = static_cast<uint64_t>(term < 0 ? -term : term);
    const int bits = fixed_sum::bit_length(magnitude);
    return bits + static_cast<int>(byte) + kExponent <= 128;
  }

  // A header of FixedSum has room for a flag an element, in blocks of 32: something added there was not
  // negative.
  static constexpr int kNotNegativeBit = 16;
  static_assert(Sum::kLimbs <= kNotNegativeBit, "flags lie above the bits of limbs");
  HD uint64_t not_negative(uint32_t element) { return uint64_t{1} << (kNotNegativeBit + element); }

  // The bits of the mean of element number `element` of its block, rounded to odd: what is to be encoded.
  // `used` is the header; limbs as in FixedSum::sum_of.
  HD uint32_t mean_bits(const int64_t* limbs, size_t stride, uint64_t used, uint32_t element,
                        uint32_t ranks) {
    const uint32_t zero = Codec::kSignedZero && (used & not_negative(element)) == 0 ? 0x80000000u : 0;
    // Mostly what is in use is one limb, or two neighbours, and fits a word.
    const uint64_t rows = used & ((uint64_t{1} << Sum::kLimbs) - 1);
    if (rows == 0) return zero;
    const int first = 63 - __builtin_clzll(rows & (0 - rows));  // the lowest of them
    if (rows >> first <= 3) {
      const int64_t low = limbs[first * stride], high = rows >> first == 3 ? limbs[(first + 1) * stride] : 0;
      constexpr int64_t kRoom = int64_t{1} << 26;
      constexpr int64_t kLowRoom = int64_t{1} << 58;
      if (high < kRoom && high > -kRoom && low < kLowRoom && low > -kLowRoom) {
        const int64_t sum = high * (int64_t{1} << 32) + low;
        return sum == 0 ? zero : round_to_odd::quotient(sum, ranks, 32 * first + kExponent);
      }
    }
    const Wide sum = Sum::sum_of(limbs, stride, used);
    return Wide::bit_length(sum) == 0 ? zero : round_to_odd::quotient(sum, ranks, kExponent);
  }
};

}  // namespace gradmesh::codecs
