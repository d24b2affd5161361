// bfloat16: every value both ways, every rounding case, and the traps of the CPU's own instructions.
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
