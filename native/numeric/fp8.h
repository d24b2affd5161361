// The element formats of OCP Microscaling v1.0, section 5.3: FP8 E4M3 and E5M2 (as in the OCP 8-bit
// floating-point specification, OFP8) and FP4 E2M1; to their codes in integers only, and back by exact
// differences.
//
// A code is sign, exponent field, mantissa field, from the top. With bias b and m mantissa bits, a field E >
// 0 and a mantissa M are 2^(E - b) (1 + M / 2^m); a field 0 is 2^(1 - b) M / 2^m: zero and the denormals.
#pragma once
#include <cstdint>

#include "numeric/convert.h"
#include "numeric/exact.h"

namespace fp8 {

// kMost is the float32 of the largest number of the format, whose exponent is kMostExponent.
template <int kBits_, int kMantissaBits_, int kLeastExponent_, int kMostExponent_, uint32_t kMost_>
struct Format {
  static constexpr int kBits = kBits_, kMantissaBits = kMantissaBits_;
  static constexpr int kLeastExponent = kLeastExponent_;  // of the smallest normal number: 1 - bias
  static constexpr int kMostExponent = kMostExponent_;
  static constexpr uint32_t kMost = kMost_;
  static constexpr uint32_t kSign = 1u << (kBits - 1), kMagnitude = kSign - 1;
  // The code of the largest number: its float's fields, with the format's bias and bits.
  static constexpr uint32_t kMostCode =
      (kMost >> (23 - kMantissaBits)) - (static_cast<uint32_t>(kLeastExponent + 126) << kMantissaBits);
  static constexpr int kUnitExponent =
      kLeastExponent - kMantissaBits;  // every number is an integer times 2^this
  static constexpr bool kSignedZero = true;

  // The code nearest to the float32 with these bits, ties to the even code; above the largest number it is
  // the largest ("saturated"), also for Inf and NaN, which the caller treats first.
  HD uint32_t encode(uint32_t x) {
    constexpr uint32_t kLeastField = kLeastExponent + 127, kShift = 23 - kMantissaBits;
    const uint32_t whole = x & 0x7fffffffu, magnitude = whole < kMost ? whole : kMost;
    const uint32_t field = magnitude >> 23, significand = (magnitude & 0x7fffffu) | 0x800000u;
    // Denormals lose more bits. From a shift of 25 on everything rounds to 0, also what has no leading one.
    const uint32_t lacking = field < kLeastField ? kLeastField - field : 0;
    const uint32_t shift = lacking < 25 - kShift ? kShift + lacking : 25;
    const uint32_t rounded = (significand + ((1u << (shift - 1)) - 1) + (significand >> shift & 1u)) >> shift;
    // rounded has the leading one of a normal number: it counts as one exponent.
    const uint32_t exponents = field < kLeastField ? 0 : field - kLeastField;
    return (rounded + (exponents << kMantissaBits)) | (x >> 31) << (kBits - 1);
  }
  // The number of a code whose magnitude bits are `magnitude`, without special ones.
  HD float magnitude(uint32_t magnitude) {
    // A denormal is taken for a normal number with the same exponent, whose leading one is then subtracted.
    const bool denormal = magnitude < 1u << kMantissaBits;
    const uint32_t base = static_cast<uint32_t>(kLeastExponent + 126) + (denormal ? 1 : 0);
    const float one = exact::from_bits(static_cast<uint32_t>(kLeastExponent + 127) << 23);
    const float number = exact::from_bits((magnitude << (23 - kMantissaBits)) + (base << 23));
    return exact::sub(number, denormal ? one : 0.0f);
  }
  // A code's number in units of 2^kUnitExponent; of special ones, what it would be if they were none.
  HD int64_t units(uint32_t code) {
    const uint32_t bits = code & kMagnitude, field = bits >> kMantissaBits;
    const uint32_t fraction = bits & ((1u << kMantissaBits) - 1);
    const uint64_t significand = field == 0 ? fraction : fraction | 1u << kMantissaBits;
    const int64_t number = static_cast<int64_t>(significand << (field == 0 ? 0 : field - 1));
    return code & kSign ? -number : number;
  }
  HD float with_sign(float magnitude, uint32_t code) {
    return exact::from_bits(exact::bits(magnitude) | (code & kSign) << (32 - kBits));
  }
};

// Bias 7, no Inf, S.1111.111 is NaN; up to 448, down to 2^-9.
struct e4m3 : Format<8, 3, -6, 8, 0x43e00000u> {
  HD float decode(uint32_t code) {
    const float number = with_sign(magnitude(code & kMagnitude), code);
    return (code & kMagnitude) == 0x7f ? exact::from_bits(exact::kNan) : number;
  }
};

// Bias 15, S.11111.00 is Inf, S.11111.xx are NaN; up to 57344, down to 2^-16.
struct e5m2 : Format<8, 2, -14, 15, 0x47600000u> {
  HD float decode(uint32_t code) {
    const uint32_t bits = code & kMagnitude;
    const float number = with_sign(bits == 0x7c ? exact::infinity() : magnitude(bits), code);
    return bits > 0x7c ? exact::from_bits(exact::kNan) : number;
  }
};

// Bias 1, no Inf, no NaN: 0, 0.5, 1, 1.5, 2, 3, 4, 6.
struct e2m1 : Format<4, 1, 0, 2, 0x40c00000u> {
  HD float decode(uint32_t code) { return with_sign(magnitude(code & kMagnitude), code); }
};

}  // namespace fp8
