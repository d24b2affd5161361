// The traps where float to integer, maximum and NaN differ between compilers and machines: ours are free of
// them.
#include "numeric/convert.h"

#include <cmath>

#include "check.h"

TEST("round_small is the nearest integer, ties to even") {
  for (int i = -1000; i <= 1000; i++) {
    const float x = static_cast<float>(i) * 0.25f;
    CHECK(exact::round_small(x) == static_cast<int32_t>(std::nearbyint(x)));
    CHECK(exact::round_small(double{x}) == static_cast<int32_t>(std::nearbyint(x)));
  }
  for (const float x : {4194304.0f, -4194304.0f, 4194303.0f, 2097151.5f, 2097150.5f})
    CHECK(exact::round_small(x) == static_cast<int32_t>(std::nearbyint(x)));
  for (const double x : {2147483647.0, -2147483648.0, 1234567890.5, 1234567891.5})
    CHECK(exact::round_small(x) == static_cast<int32_t>(std::nearbyint(x)));
}

TEST("0.49999997 rounds to 0, where trunc(x + 0.5) gives 1") {
  volatile float x = 0.49999997f;
  CHECK(std::trunc(x + 0.5f) == 1.0f);  // the trap is real
  CHECK(exact::round_small(x) == 0 && exact::round_small(-x) == 0);
  CHECK(exact::to_integer(x, -127, 127) == 0);
}

TEST("NaN, 3e9 and infinities convert to what is written, not to what the machine likes") {
  CHECK(exact::to_integer(NAN, -127, 127) == 0 && exact::to_integer(-NAN, -127, 127) == 0);
  CHECK(exact::to_integer(3e9f, -127, 127) == 127 && exact::to_integer(-3e9f, -127, 127) == -127);
  CHECK(exact::to_integer(INFINITY, -5, 4194304) == 4194304 && exact::to_integer(-INFINITY, -5, 9) == -5);
  CHECK(exact::to_integer(2.5f, -127, 127) == 2 && exact::to_integer(3.5f, -127, 127) == 4);
}

TEST("canonical gives the one NaN for all, and leaves the rest alone") {
  for (const uint32_t bits : {0x7fc00000u, 0xffc00000u, 0x7fffffffu, 0x7f800001u, 0xffffffffu})
    CHECK(exact::bits(exact::canonical(exact::from_bits(bits))) == exact::kNan);
  for (const uint32_t bits : {0u, 0x80000000u, 1u, 0x7f800000u, 0xff800000u, 0x3f800000u})
    CHECK(exact::bits(exact::canonical(exact::from_bits(bits))) == bits);
  volatile float infinity = INFINITY;
  CHECK(exact::bits(exact::canonical(exact::sub(infinity, infinity))) == exact::kNan);
}

TEST("products and sums are not contracted: a * b + c rounds twice, fma once") {
  volatile float a = 1.0f + 0x1p-12f, c = -(1.0f + 0x1p-11f);
  CHECK(exact::add(exact::mul(a, a), c) == 0.0f);
  CHECK(exact::fma(a, a, c) == 0x1p-24f);
}
