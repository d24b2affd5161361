// The fp16 codec: each element rounded to the nearest IEEE 754 binary16, ties to even. Denormals are kept,
// Inf stays Inf, NaN stays NaN (quiet), and finite values from 65520 on become Inf, as IEEE has it. The worst
// error is 2^-11 of a normal value and 2^-25 below 2^-14.
//
// Every finite element is an integer times 2^-24, below 2^40 in that unit. So the mean of contributions is
// exact: of an element, the mean of finite values is the exact quotient, rounded once; with an Inf among them
// it is that Inf; with a NaN or both Infs, NaN (0x7e00). A zero mean is -0 where every contribution is -0,
// else +0: as IEEE adds.
//
// Accumulators: an int64 an element, sum * 16 + flags: 1 an Inf, 2 a -Inf, 4 a NaN, 8 something that is not
// negative. Up to 65536 contributions stay below 2^60.
#pragma once
#include <cstddef>
#include <cstdint>

#include "codec/options.h"
#include "codec/round_to_odd.h"
#include "numeric/half.h"

namespace gradmesh::codecs {

struct fp16 {
  static CodecTraits traits(const CodecOptions&) {
    CodecTraits traits;
    traits.block_elements = 8;  // so that chunks of a tensor on a device begin at multiples of 16 bytes
    traits.exact_sum = true;
    return traits;
  }
  static const char* problem(const CodecOptions&) { return nullptr; }
  HD size_t bytes(const CodecOptions&, size_t elements) { return elements * sizeof(Wire); }

  using Wire = uint16_t;
  HD Wire encode(uint32_t bits) { return half::to_fp16_bits(bits); }
  HD uint32_t decode(Wire wire) { return half::fp16_bits(wire); }

  // Sums of decoded values are exact in doubles up to so many contributions: below 2^52 units.
  static constexpr uint32_t kDoublesMost = 4096;
  static constexpr int64_t kInfinite = 1, kMinusInfinite = 2, kNotANumber = 4, kNotNegative = 8;
  // What one contribution adds to the accumulator, and the flags it sets.
  HD int64_t term(Wire wire) {
    const uint32_t field = wire >> 10 & 31u, fraction = wire & 0x3ffu;
    const int64_t units = static_cast<int64_t>(field == 0 ? fraction : fraction | 0x400u)
                          << (field == 0 ? 0 : field - 1);
    return field == 31 ? 0 : (wire & 0x8000u ? -units : units) * 16;
  }
  HD int64_t flags(Wire wire) {
    const uint32_t magnitude = wire & 0x7fffu;
    const bool negative = wire & 0x8000u;
    const int64_t special = magnitude > 0x7c00u ? kNotANumber : negative ? kMinusInfinite : kInfinite;
    return (magnitude < 0x7c00u ? 0 : special) | (negative ? 0 : kNotNegative);
  }
  HD int64_t add(int64_t sum, Wire wire) { return (sum + term(wire)) | flags(wire); }
  // The mean that an accumulator of `ranks` contributions holds.
  HD Wire finish(int64_t sum, uint32_t ranks) {
    const bool both = (sum & 3) == 3;
    if ((sum & kNotANumber) != 0 || both) return 0x7e00u;
    if ((sum & 3) != 0) return (sum & kMinusInfinite) != 0 ? 0xfc00u : 0x7c00u;
    const int64_t units = sum >> 4;
    if (units == 0) return (sum & kNotNegative) != 0 ? 0 : 0x8000u;
    return encode(round_to_odd::quotient(units, ranks, -24));
  }
};

}  // namespace gradmesh::codecs
