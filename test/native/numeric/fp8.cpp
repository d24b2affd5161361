// The element formats of OCP Microscaling: every code against the specification's formulas in doubles, and
// every rounding boundary with its neighbours.
#include "numeric/fp8.h"

#include <cmath>

#include "check.h"

namespace {

// Section 5.3: the number of a code, or NaN for what is none, by sign, exponent field and mantissa field.
double number(uint32_t code, int exponent_bits, int mantissa_bits, int bias) {
  const int sign = static_cast<int>(code >> (exponent_bits + mantissa_bits) & 1);
  const int field = static_cast<int>(code >> mantissa_bits & ((1u << exponent_bits) - 1));
  const double fraction = static_cast<double>(code & ((1u << mantissa_bits) - 1)) / (1 << mantissa_bits);
  const double magnitude =
      field == 0 ? std::pow(2.0, 1 - bias) * fraction : std::pow(2.0, field - bias) * (1.0 + fraction);
  return sign != 0 ? -magnitude : magnitude;
}
double e4m3(uint32_t code) { return (code & 0x7f) == 0x7f ? NAN : number(code, 4, 3, 7); }
double e5m2(uint32_t code) {
  if ((code & 0x7f) > 0x7c) return NAN;
  return (code & 0x7f) == 0x7c ? std::copysign(INFINITY, code & 0x80 ? -1.0 : 1.0) : number(code, 5, 2, 15);
}
double e2m1(uint32_t code) { return number(code, 2, 1, 1); }

template <class Format>
void check_codes(double (*expected)(uint32_t)) {
  for (uint32_t code = 0; code < 1u << Format::kBits; code++) {
    const double want = expected(code);
    const float got = Format::decode(code);
    if (std::isnan(want)) {
      CHECK_THAT(exact::bits(got) == 0x7fc00000u, std::to_string(code));
      continue;
    }
    CHECK_THAT(double{got} == want && std::signbit(got) == std::signbit(want), std::to_string(code));
    if (std::isfinite(want)) {
      CHECK_THAT(Format::encode(exact::bits(got)) == code, std::to_string(code));
      CHECK_THAT(std::ldexp(static_cast<double>(Format::units(code)), Format::kUnitExponent) == want,
                 std::to_string(code));
    }
  }
}

// All halfway points and their neighbours among floats, both signs: `most` is the code of the largest number.
template <class Format>
void check_boundaries(double (*expected)(uint32_t), uint32_t most) {
  const auto check_one = [](float x, uint32_t want, const char* where) {
    CHECK_THAT(Format::encode(exact::bits(x)) == want, std::string(where) + " " + std::to_string(x));
    CHECK_THAT(Format::encode(exact::bits(-x)) == (want | Format::kSign),
               std::string(where) + " " + std::to_string(-x));
  };
  for (uint32_t code = 0; code < most; code++) {
    const float middle = static_cast<float>((expected(code) + expected(code + 1)) / 2);
    check_one(middle, code + code % 2, "a tie");
    check_one(std::nextafter(middle, 0.0f), code, "below a tie");
    check_one(std::nextafter(middle, INFINITY), code + 1, "above a tie");
  }
  const float largest = static_cast<float>(expected(most));
  for (const float x : {std::nextafter(largest, INFINITY), largest * 1.5f, 1e30f, INFINITY})
    check_one(x, most, "above all");
  for (const float x : {1e-45f, 1e-38f, 1e-20f}) check_one(x, 0, "next to zero");
}

}  // namespace

TEST("every code of E4M3, E5M2 and E2M1 is the specification's number, and codes to itself") {
  check_codes<fp8::e4m3>(e4m3);
  check_codes<fp8::e5m2>(e5m2);
  check_codes<fp8::e2m1>(e2m1);
}

TEST("the specification's table of limits: largest, smallest normal, smallest") {
  CHECK(fp8::e4m3::decode(0x7e) == 448.0f && fp8::e4m3::decode(0x08) == 0x1p-6f &&
        fp8::e4m3::decode(0x01) == 0x1p-9f);
  CHECK(fp8::e5m2::decode(0x7b) == 57344.0f && fp8::e5m2::decode(0x04) == 0x1p-14f &&
        fp8::e5m2::decode(0x01) == 0x1p-16f);
  CHECK(fp8::e2m1::decode(0x7) == 6.0f && fp8::e2m1::decode(0x2) == 1.0f && fp8::e2m1::decode(0x1) == 0.5f);
}

TEST(
    "every rounding boundary of E4M3, E5M2 and E2M1, one float below and above; the largest is not "
    "exceeded") {
  check_boundaries<fp8::e4m3>(e4m3, 0x7e);
  check_boundaries<fp8::e5m2>(e5m2, 0x7b);
  check_boundaries<fp8::e2m1>(e2m1, 0x7);
}
