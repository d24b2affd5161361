// The int8_block codec: 256 elements share a power-of-two scale; this file defines every byte of it.
//
// Wire of n elements: ceil(n / 256) scale bytes, one a block, then n int8. Element i is q[i] * 2^e, where
// e = byte - 127.
//
// Encoding a block, whose maximum over integer magnitude bits is `largest`:
// - largest is NaN or Inf: a NaN block, byte 255, every q 0. It decodes to NaN everywhere, so a broken
//   contribution is seen, never taken for zeros.
// - largest is 0: byte 0, every q 0.
// - else e is the smallest with largest <= 127 * 2^e, kept within [-126, 121], and q is x * 2^-e rounded to
//   nearest, ties to even, then clamped to [-127, 127].
// From e = -126 on, 2^e and 2^-e are normal floats. Up to 121, every q of [-127, 127] decodes to a finite
// float; only above 127 * 2^121, the last 1/128 of the float range, does the clamp act. Finite stays finite.
//
// Error: at most 2^(e-1) < largest / 127 an element and never more than |x|; where the clamp acts, below
// largest / 127. Denormals: half the smallest step is 2^-127, so |x| <= 2^-127 becomes 0, larger +-2^-126.
//
// Decoding is defined for any bytes: byte 0 is 2^-127; q = -128 is a number like others; what is 2^128 or
// more (only strangers send it) is Inf; byte 255 is NaN whatever the q. A decoded zero is always +0.
#pragma once
#include <cstddef>
#include <cstdint>

#include "numeric/convert.h"
#include "numeric/exact.h"

namespace gradmesh::codecs {

struct int8_block {
  static constexpr bool kElementwise = false;
  static constexpr size_t kBlock = 256;
  static constexpr uint32_t kNanByte = 255;
  static constexpr uint32_t kLeastByte = 1;   // e = -126
  static constexpr uint32_t kMostByte = 248;  // e = 121

  // Magnitudes order as integers exactly as their floats do, Inf and NaN above all: a maximum over them is
  // free of order, lanes and NaN rules. They are below 2^31, so signed integers do.
  HD int32_t magnitude(float x) { return static_cast<int32_t>(exact::bits(x) & 0x7fffffffu); }

  // 127 is 1.984375 * 2^6. Adding what the fraction 0.984375 lacks to 1 carries into the exponent exactly
  // when the fraction is greater, so the sum's exponent less 6 is the smallest that fits.
  HD uint32_t scale_byte(int32_t largest) {
    if (largest >= 0x7f800000) return kNanByte;
    if (largest == 0) return 0;
    const int32_t byte = ((largest + (0x7fffff - 0x7e0000)) >> 23) - 6;
    const int32_t least = static_cast<int32_t>(kLeastByte), most = static_cast<int32_t>(kMostByte);
    return static_cast<uint32_t>(byte < least ? least : byte > most ? most : byte);
  }
  // 2^-e for a byte of 1..248.
  HD float inverse_scale(uint32_t byte) { return exact::from_bits((254u - byte) << 23); }
  // x * 2^-e is exact and at most 128, or so small that it rounds to 0 either way.
  HD int8_t quantize(float x, float inverse) {
    const int32_t q = exact::round_small(exact::mul(x, inverse));
    return static_cast<int8_t>(q < -127 ? -127 : q > 127 ? 127 : q);
  }

  // 2^e; 2^-127 is a denormal float, and exact. For the NaN byte see decode().
  HD float scale(uint32_t byte) { return exact::from_bits(byte == 0 ? 0x400000u : byte << 23); }
  // Exact, or Inf. The NaN is written down, since NaN * q has other bits on other machines.
  HD float decode(int8_t q, uint32_t byte, float scale) {
    return byte == kNanByte ? exact::from_bits(exact::kNan) : exact::mul(static_cast<float>(q), scale);
  }
};

}  // namespace gradmesh::codecs
