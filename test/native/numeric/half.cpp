// bfloat16 and binary16: every value both ways, every rounding case, and the traps of the CPU's own
// instructions.
#include "numeric/half.h"

#include <cmath>

#include "check.h"

namespace {

// The nearest bfloat16 of a finite float by trying its two neighbours in double arithmetic.
uint16_t reference(float x) {
  const uint32_t bits = exact::bits(x);
  const auto below = static_cast<uint16_t>(bits >> 16),
             above = static_cast<uint16_t>(below + 1);  // by magnitude
  // The neighbour above the largest bfloat16 counts as 2^128 here, and is written Inf.
  const double low = half::from_bf16(below);
  const double high =
      (above & 0x7fffu) == 0x7f80u ? std::copysign(std::ldexp(1.0, 128), low) : half::from_bf16(above);
  const double to_low = std::fabs(x - low), to_high = std::fabs(high - x);
  if (to_low == to_high) return below & 1u ? above : below;
  return to_low < to_high ? below : above;
}

}  // namespace

TEST("every bfloat16 survives the way to float32 and back; a NaN comes back quiet") {
  for (uint32_t i = 0; i < 65536; i++) {
    const auto x = static_cast<uint16_t>(i);
    const bool nan = (x & 0x7fffu) > 0x7f80u;
    CHECK_THAT(half::to_bf16_bits(half::bf16_bits(x)) == (nan ? (x | 0x40u) : x), std::to_string(i));
    CHECK(exact::bits(half::from_bf16(x)) == half::bf16_bits(x) || nan);
  }
}

TEST("every upper half with every interesting lower half rounds to nearest, ties to even") {
  for (uint32_t upper = 0; upper < 65536; upper++) {
    for (const uint32_t lower : {0u, 1u, 0x7fffu, 0x8000u, 0x8001u, 0xffffu}) {
      const uint32_t bits = upper << 16 | lower;
      const float x = exact::from_bits(bits);
      if (std::isfinite(x)) {
        CHECK_THAT(half::to_bf16_bits(bits) == reference(x), std::to_string(bits));
      } else {
        const uint16_t coded = half::to_bf16_bits(bits);
        CHECK(((coded & 0x7fffu) > 0x7f80u) == std::isnan(x) && coded >> 15 == bits >> 31);
      }
    }
  }
}

TEST("raw random bits round to nearest, ties to even") {
  std::mt19937_64 random(check::seed());
  for (int i = 0; i < 3000000; i++) {
    const auto bits = static_cast<uint32_t>(random());
    const float x = exact::from_bits(bits);
    if (std::isfinite(x)) CHECK_THAT(half::to_bf16_bits(bits) == reference(x), std::to_string(bits));
  }
}

TEST("denormals are kept, where vcvtneps2bf16 would flush them") {
  CHECK(half::to_bf16(1e-40f) == 0x0001 && half::to_bf16(-1e-40f) == 0x8001);
  CHECK(half::to_bf16(exact::from_bits(0x007fffff)) == 0x0080);  // rounds up to the smallest normal
  CHECK(exact::bits(half::from_bf16(0x0001)) == 0x00010000);
}

TEST("a NaN whose payload is all in the lower half stays a NaN, where truncation would give Inf") {
  CHECK(half::to_bf16_bits(0x7f800001) == 0x7fc0 && half::to_bf16_bits(0xff80ffff) == 0xffc0);
}

TEST("values above the largest bfloat16 become Inf from the middle on") {
  CHECK(half::to_bf16_bits(0x7f7f7fff) == 0x7f7f && half::to_bf16_bits(0x7f7f8000) == 0x7f80);
}

namespace {

// IEEE 754 section 3.4, in doubles.
double binary16(uint32_t code) {
  const int field = static_cast<int>(code >> 10 & 31u);
  const double fraction = (code & 1023u) / 1024.0;
  const double magnitude = field == 0 ? std::ldexp(fraction, -14) : std::ldexp(1.0 + fraction, field - 15);
  return code & 0x8000u ? -magnitude : magnitude;
}

}  // namespace

TEST("every binary16 is IEEE's number and survives the way to float32 and back; a NaN comes back quiet") {
  for (uint32_t code = 0; code < 65536; code++) {
    const auto x = static_cast<uint16_t>(code);
    const uint32_t bits = half::fp16_bits(x), magnitude = code & 0x7fffu;
    const uint32_t sign = (code & 0x8000u) << 16;
    if (magnitude > 0x7c00u) {
      CHECK_THAT(bits == (sign | 0x7fc00000u | (code & 0x1ffu) << 13), std::to_string(code));
      CHECK_THAT(half::to_fp16_bits(bits) == (code | 0x200u), std::to_string(code));
      continue;
    }
    const double want = magnitude == 0x7c00u ? (sign != 0 ? -INFINITY : INFINITY) : binary16(code);
    const float got = half::from_fp16(x);
    CHECK_THAT(double{got} == want && std::signbit(got) == std::signbit(want), std::to_string(code));
    CHECK_THAT(half::to_fp16(got) == x, std::to_string(code));
  }
}

TEST("every rounding boundary of binary16, one float below and above; from 65520 on Inf") {
  for (uint32_t code = 0; code < 0x7c00u; code++) {
    const double above = code == 0x7bffu ? 65536.0 : binary16(code + 1);
    const auto middle = static_cast<float>((binary16(code) + above) / 2);
    for (const uint32_t sign : {0u, 0x8000u}) {
      const auto coded = [&](float x) { return half::to_fp16(sign != 0 ? -x : x); };
      CHECK_THAT(coded(middle) == (sign | (code + code % 2)), std::to_string(code));
      CHECK_THAT(coded(std::nextafter(middle, 0.0f)) == (sign | code), std::to_string(code));
      CHECK_THAT(coded(std::nextafter(middle, INFINITY)) == (sign | (code + 1)), std::to_string(code));
    }
  }
  CHECK(half::to_fp16(INFINITY) == 0x7c00 && half::to_fp16(3e38f) == 0x7c00 &&
        half::to_fp16(-1e-45f) == 0x8000);
  CHECK(half::to_fp16_bits(0x7f800001) == 0x7e00 && half::to_fp16_bits(0xffbfffff) == 0xffff);
}
