// exact.h against double precision (the documented errors), at its documented special values, and by bytes
// between the instruction sets.
#include "numeric/exact.h"

#include <cmath>
#include <limits>

#include "check.h"
#include "numeric/backend.h"

namespace {

using Loop = void (*)(const float* x, float* y, size_t count);

// One loop per function and instruction set; exact:: is inlined into each, so that the compiler vectorizes it
// anew.
#define LOOP(function, isa, target)                                                            \
  target void function##_##isa(const float* __restrict x, float* __restrict y, size_t count) { \
    for (size_t i = 0; i < count; i++) y[i] = exact::function(x[i]);                           \
  }
#if defined(GM_X86)
#define LOOPS(function)                                     \
  LOOP(function, scalar, )                                  \
  LOOP(function, avx2, __attribute__((target("avx2,fma")))) \
  LOOP(function, avx512,                                    \
       __attribute__((target("avx512f,avx512bw,avx512vl,avx512dq,fma,prefer-vector-width=512"))))
#else
#define LOOPS(function) LOOP(function, scalar, )
#endif
LOOPS(exp)
LOOPS(tanh) LOOPS(log) LOOPS(rsqrt) LOOPS(sqrt)

    struct Function {
  const char* name;
  double (*truth)(double);
  double ulp_max;           // documented in exact.h
  std::vector<Loop> loops;  // by backend
};
#if defined(GM_X86)
#define ROW(function) \
  { function##_scalar, function##_avx2, function##_avx512 }
#else
#define ROW(function) \
  { function##_scalar }
#endif
const std::vector<Function>& functions() {
  static const std::vector<Function> all = {
      {"exp", [](double x) { return std::exp(x); }, 1.1, ROW(exp)},
      {"tanh", [](double x) { return std::tanh(x); }, 1.4, ROW(tanh)},
      {"log", [](double x) { return std::log(x); }, 1.0, ROW(log)},
      {"rsqrt", [](double x) { return x == 0 ? HUGE_VAL : 1 / std::sqrt(x); }, 0.6, ROW(rsqrt)},
      {"sqrt", [](double x) { return std::sqrt(x); }, 0.5, ROW(sqrt)},
  };
  return all;
}

// |got - want| in units of the last place of a float of want's size.
double ulps(float got, double want) {
  if (std::isnan(want) || std::isnan(got)) return std::isnan(want) && std::isnan(got) ? 0 : HUGE_VAL;
  if (std::isinf(got))
    return std::fabs(want) >= 0x1.ffffffp127 && std::signbit(got) == std::signbit(want) ? 0 : HUGE_VAL;
  if (std::isinf(want)) return HUGE_VAL;
  int exponent;
  std::frexp(want, &exponent);
  return std::fabs(got - want) / std::ldexp(1.0, std::max(exponent - 24, -149));
}

// Every stride-th float, all signs, exponents and NaNs.
std::vector<float> sweep(uint32_t first, uint32_t stride) {
  std::vector<float> x;
  for (uint64_t u = first; u < uint64_t{1} << 32; u += stride) x.push_back(exact::from_bits((uint32_t)u));
  return x;
}

}  // namespace

TEST("exact: exp, tanh, log, rsqrt, sqrt keep their documented errors over all floats") {
  const std::vector<float> x = sweep((uint32_t)(check::seed() % 1021), 1021);
  std::vector<float> y(x.size());
  for (const Function& function : functions()) {
    function.loops[0](x.data(), y.data(), x.size());
    double worst = 0;
    float at = 0;
    for (size_t i = 0; i < x.size(); i++)
      if (const double error = ulps(y[i], function.truth(x[i])); error > worst) worst = error, at = x[i];
    char text[100];
    std::snprintf(text, sizeof text, "%s is %.4f ulp off at %a", function.name, worst, at);
    CHECK_THAT(worst <= function.ulp_max, text);
  }
}

TEST("exact: sqrt is correctly rounded for every mantissa") {
  for (uint32_t u = exact::bits(1.0f); u < exact::bits(4.0f); u += 3) {
    const float x = exact::from_bits(u);
    CHECK_THAT(exact::bits(exact::sqrt(x)) == exact::bits(std::sqrt(x)), std::to_string(u));
  }
}

TEST("exact: the backends agree by bytes, NaN included") {
  const std::vector<float> x = sweep((uint32_t)(check::seed() % 4099), 4099);
  std::vector<float> scalar(x.size()), y(x.size());
  for (const Function& function : functions()) {
    function.loops[0](x.data(), scalar.data(), x.size());
    for (const auto backend : gradmesh::backend::available()) {
      function.loops[(size_t)backend](x.data(), y.data(), x.size());
      CHECK_THAT(std::memcmp(y.data(), scalar.data(), y.size() * 4) == 0,
                 std::string(function.name) + " on " + gradmesh::backend::name(backend));
    }
  }
}

TEST("exact: special values are as documented") {
  const float inf = exact::infinity(), least = 0x1p-149f, most = std::numeric_limits<float>::max();
  const auto same = [](float a, float b) { return exact::bits(a) == exact::bits(b); };
  CHECK(same(exact::exp(0.0f), 1.0f) && same(exact::exp(-0.0f), 1.0f));
  CHECK(same(exact::exp(-inf), 0.0f) && same(exact::exp(inf), inf));
  CHECK(same(exact::exp(88.7229f), inf) && same(exact::exp(most), inf) && same(exact::exp(-most), 0.0f));
  CHECK(same(exact::exp(-103.0f), least) && same(exact::exp(-104.0f), 0.0f) && same(exact::exp(least), 1.0f));
  CHECK(same(exact::tanh(0.0f), 0.0f) && same(exact::tanh(-0.0f), -0.0f) &&
        same(exact::tanh(-least), -least));
  CHECK(same(exact::tanh(inf), 1.0f) && same(exact::tanh(-inf), -1.0f) && same(exact::tanh(most), 1.0f));
  CHECK(same(exact::log(0.0f), -inf) && same(exact::log(-0.0f), -inf) && same(exact::log(inf), inf));
  CHECK(same(exact::log(1.0f), 0.0f) && ulps(exact::log(least), std::log(0x1p-149)) < 1);
  CHECK(same(exact::rsqrt(0.0f), inf) && same(exact::rsqrt(-0.0f), inf) && same(exact::rsqrt(inf), 0.0f));
  CHECK(same(exact::rsqrt(64.0f), 0.125f) && same(exact::rsqrt(0x1p-148f), 0x1p74f));
  CHECK(same(exact::sqrt(0.0f), 0.0f) && same(exact::sqrt(-0.0f), -0.0f) && same(exact::sqrt(inf), inf));
  for (const float negative : {-least, -1.0f, -inf})
    for (const float y : {exact::log(negative), exact::rsqrt(negative), exact::sqrt(negative)})
      CHECK(exact::bits(y) == 0x7fc00000u);
  for (const uint32_t nan : {0x7f800001u, 0x7fc00000u, 0xffffffffu, 0xff812345u}) {
    const float x = exact::from_bits(nan);
    for (const float y : {exact::exp(x), exact::tanh(x), exact::log(x), exact::rsqrt(x), exact::sqrt(x)})
      CHECK(exact::bits(y) == 0x7fc00000u);
  }
}

TEST("exact: round_even rounds to nearest, ties to even, within its range") {
  for (const float x :
       {0.49999997f, -0.49999997f, 0.5f, 1.5f, 2.5f, -2.5f, -3.5f, 4194303.5f, 4194304.0f, -4194304.0f})
    CHECK_THAT(exact::round_even(x) == std::nearbyint(x), std::to_string(x));
  CHECK(exact::bits(exact::round_even(-0.25f)) == 0);
}

// The compiler contracts a + q * s by default: this pair differs then.
TEST("exact: a product and a sum are two roundings, fma is one") {
  volatile float a = -1.0f - 0x1p-11f, q = 1.0f + 0x1p-12f, s = q;  // q s = 1 + 2^-11 + 2^-24
  CHECK(exact::add(a, exact::mul(q, s)) == 0.0f);
  CHECK(exact::fma(q, s, a) == 0x1p-24f);
}
