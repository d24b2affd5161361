// The e3m0 codec: a sign and a 3-bit exponent an element, no mantissa, as outer gradients go in Streaming
// DiLoCo (Douillard et al. 2025, 2501.18512), relative to a block scale that is a power of two. This file
// defines every byte.
//
// Wire of n elements: 4 bits each, element 2i in the low bits of byte i (a last odd one has 0 above it); then
// ceil(n / block) scale bytes, one a block: E8M0, 2^(byte - 127), 255 is NaN. A code is the sign in bit 3 and
// E in bits 0 to 2: E = 0 is zero, else the value is +-2^(E - 7) times the scale: 1, 1/2, .. 1/64 of it.
//
// Encoding a block:
// - a block with NaN or Inf: byte 255, every code 0. It decodes to NaN everywhere, so a broken contribution
// is seen;
// - else the scale is the power of two nearest to the largest magnitude, 1.5 * 2^e going to 2^e, kept within
// [2^-127,
//   2^127]; so the block's largest element always has E = 7, and a block of zeros byte 0;
// - an element is the nearest value, ties to the even code, but never above E = 7: 2^-7 of the scale, halfway
// to the
//   smallest value, becomes 0. A zero is always code 0; code 8 decodes to -0 and is never written.
//
// Worst error: a third of the value (at 1.5 * 2^e) down to 1/64 of the scale, below that the value itself;
// half of it from 1.5 * 2^127 on, where the clamp acts. Never more than the value, and never more than half
// of the largest: contractive.
//
// Decoding is defined for any bytes, and always finite but for byte 255, which is NaN whatever the codes.
//
// The mean of contributions is exact: an element is an integer up to 64 times 2^(byte - 133). If any
// contribution is a NaN block, so is the mean; else it is the code of the exact mean, rounded once.
#pragma once
#include <cstddef>
#include <cstdint>

#include "codec/exact_block.h"
#include "codec/options.h"

namespace gradmesh::codecs {

struct e3m0 {
  static CodecTraits traits(const CodecOptions& options) {
    CodecTraits traits;
    traits.block_elements = options.block;
    traits.contractive = traits.exact_sum = true;
    return traits;
  }
  static const char* problem(const CodecOptions& options) {
    return (options.block & (options.block - 1)) != 0
               ? "option \"block\" is not a power of two; allowed: 32, 64, 128, .. 4096"
               : nullptr;
  }
  HD size_t bytes(const CodecOptions& options, size_t elements) {
    return code_bytes(elements) + elements / options.block + (elements % options.block != 0);
  }
  HD size_t block(const CodecOptions& options) { return options.block; }
  HD size_t code_bytes(size_t elements) { return elements / 2 + elements % 2; }

  static constexpr int kBits = 4, kTermBits = 6, kUnitExponent = -6;
  static constexpr bool kSignedZero = false;
  static constexpr uint32_t kSign = 8, kMostCode = 7;

  // The scale byte of a block whose maximum over integer magnitude bits is `largest`.
  HD uint32_t scale_byte(int32_t largest) {
    if (largest >= 0x7f800000) return kNanByte;
    if (largest < 0x800000) return largest > 0x600000 ? 1 : 0;  // 1.5 * 2^-127
    // A mantissa above a half carries.
    const int32_t byte = (largest + 0x3fffff) >> 23;
    return static_cast<uint32_t>(byte > 254 ? 254 : byte);
  }
  // y = x / scale is exact, or so small that it becomes 0 either way.
  HD uint32_t encode(float x, float inverse) {
    const uint32_t y = exact::bits(exact::mul(x, inverse)), magnitude = y & 0x7fffffffu;
    // The nearest power of two: a mantissa of a half goes to the even exponent, which is the even code's (120
    // is even).
    const uint32_t field = (magnitude + 0x3fffffu + (magnitude >> 23 & 1u)) >> 23;
    const uint32_t exponent = field < 120 ? 0 : field - 120 < kMostCode ? field - 120 : kMostCode;
    const uint32_t least = magnitude > 0x3c000000u ? 1 : 0;  // 2^-7
    const uint32_t code = exponent > least ? exponent : least;
    return code == 0 ? 0 : code | y >> 31 << 3;
  }
  HD float value(uint32_t code) {
    const uint32_t exponent = code & kMostCode;
    return exact::from_bits((exponent == 0 ? 0 : (exponent + 120) << 23) | (code & kSign) << 28);
  }
  // Of a scale that is not NaN.
  HD float decode(uint32_t code, float scale) { return exact::mul(value(code), scale); }
  HD int64_t term(uint32_t code) {
    const int64_t units = (int64_t{1} << (code & kMostCode)) >> 1;
    return code & kSign ? -units : units;
  }
  HD bool special(uint32_t) { return false; }
};

}  // namespace gradmesh::codecs
