// The only float arithmetic that kernels may use. Each function gives the same bits on every backend: scalar
// C++, AVX2, AVX-512 and CUDA. Files that include this are built with -ffp-contract=off (g++) or --fmad=false
// (nvcc).
//
// Where a result is NaN it is NaN on every backend. The bits of a NaN are defined (0x7fc00000) only for exp,
// tanh, log, rsqrt and sqrt: the hardware's mul, add, div and fma pass on whichever payload they like, and a
// compiler may move a minus sign through them. convert.h's canonical() gives a NaN its one form.
//
// The functions below the primitives are branch-free, so that loops over them vectorize. Their polynomials
// are minimax fits of our own; the largest errors are measured against double precision by
// test/native/numeric.
#pragma once
#include <cfloat>
#include <cstdint>
#include <cstring>

// What a caller's CXXFLAGS may have put before our own flags.
#if defined(__FAST_MATH__) || defined(__ASSOCIATIVE_MATH__) || defined(__RECIPROCAL_MATH__) || \
    (defined(__FINITE_MATH_ONLY__) && __FINITE_MATH_ONLY__) || defined(__NO_SIGNED_ZEROS__)
#error "exact arithmetic must not be built with -ffast-math, -Ofast or a part of them"
#endif
#if FLT_EVAL_METHOD != 0
#error "exact arithmetic needs floats that are computed as floats (on 32-bit x86: -msse2 -mfpmath=sse)"
#endif

#if defined(__CUDACC__)
#define HD static __host__ __device__ __forceinline__
#else
#define HD static inline __attribute__((always_inline))
#endif

namespace exact {

HD uint32_t bits(float x) {
  uint32_t u;
  memcpy(&u, &x, 4);
  return u;
}
HD float from_bits(uint32_t u) {
  float x;
  memcpy(&x, &u, 4);
  return x;
}
HD float mul(float a, float b) {
#if defined(__CUDA_ARCH__)
  return __fmul_rn(a, b);
#else
  return a * b;
#endif
}
HD float add(float a, float b) {
#if defined(__CUDA_ARCH__)
  return __fadd_rn(a, b);
#else
  return a + b;
#endif
}
HD float sub(float a, float b) {
#if defined(__CUDA_ARCH__)
  return __fsub_rn(a, b);
#else
  return a - b;
#endif
}
HD float div(float a, float b) {
#if defined(__CUDA_ARCH__)
  return __fdiv_rn(a, b);
#else
  return a / b;
#endif
}
// a * b + c with one rounding, correctly rounded everywhere.
HD float fma(float a, float b, float c) {
#if defined(__CUDA_ARCH__)
  return __fmaf_rn(a, b, c);
#else
  return __builtin_fmaf(a, b, c);
#endif
}

HD float quiet_nan() { return from_bits(0x7fc00000u); }
HD float infinity() { return from_bits(0x7f800000u); }
HD float magnitude(float x) { return from_bits(bits(x) & 0x7fffffffu); }
HD bool is_nan(float x) { return (bits(x) & 0x7fffffffu) > 0x7f800000u; }

// The nearest integer, ties to even. Precondition: |x| <= 2^22 (4194304). A zero result is +0.
HD float round_even(float x) {
  const float magic = 0x1.8p23f;  // its last bit is worth one, and stays so over the whole range
  return sub(add(x, magic), magic);
}

// 2^n for -126 <= n <= 127.
HD float power_of_two(int32_t n) { return from_bits((uint32_t)(n + 127) << 23); }

// x = n ln 2 + remainder with |remainder| <= ln 2 / 2; returns e^remainder, in [0.707, 1.415], and n.
HD float exp_reduced(float x, int32_t* n) {
  const float magic = 0x1.8p23f;
  const float shifted = fma(x, 0x1.715476p0f, magic);  // log2 e
  *n = (int32_t)(bits(shifted) - bits(magic));
  const float whole = sub(shifted, magic);
  float r = fma(whole, -0x1.62e4p-1f, x);  // the upper 15 bits of ln 2: the product is exact for |n| < 512
  r = fma(whole, -0x1.7f7d1cp-20f, r);
  float p = fma(0x1.6a2352p-10f, r, 0x1.123a6cp-7f);
  p = fma(p, r, 0x1.5558f4p-5f);
  p = fma(p, r, 0x1.55549p-3f);
  p = fma(p, r, 0x1.fffffcp-2f);
  return add(fma(mul(r, r), p, r), 1.0f);
}

// e^x within 1.1 ulp, denormal results included. exp(+-0) = 1, exp(-Inf) = +0, exp(Inf) = Inf; overflow gives
// Inf, below 2^-150 +0.
HD float exp(float x) {
  float clamped = x > 89.0f ? 89.0f : x;  // a NaN passes both comparisons
  clamped = clamped < -104.0f ? -104.0f : clamped;
  int32_t n;
  const float p = exp_reduced(clamped, &n);
  const int32_t half = n >> 1;  // two factors, so that neither over- nor underflows on its own
  const float y = mul(mul(p, power_of_two(half)), power_of_two(n - half));
  return is_nan(x) ? quiet_nan() : y;
}

// tanh x within 1.4 ulp; odd, so tanh(-0) = -0; tanh(+-Inf) = +-1.
HD float tanh(float x) {
  const float a = magnitude(x);
  const float z = mul(x, x);
  float p = fma(-0x1.75e1ccp-8f, z, 0x1.52269ap-6f);
  p = fma(p, z, -0x1.b83c5ap-5f);
  p = fma(p, z, 0x1.110726p-3f);
  p = fma(p, z, -0x1.555532p-2f);
  const float near = fma(mul(a, z), p, a);
  const float clamped = a > 10.0f ? 10.0f : a;  // tanh is 1 to the last bit from 9.02 on
  int32_t n;
  const float reduced = exp_reduced(add(clamped, clamped), &n);
  const float e = mul(reduced, power_of_two(n & 31));  // n <= 29
  const float far = sub(1.0f, div(2.0f, add(e, 1.0f)));
  const float y = from_bits(bits(a < 0.625f ? near : far) | (bits(x) & 0x80000000u));
  return is_nan(x) ? quiet_nan() : y;
}

// ln x within 1.0 ulp, denormal arguments included. log(+-0) = -Inf, log(Inf) = Inf, log(negative) = NaN.
HD float log(float x) {
  const bool tiny = x < 0x1p-126f;
  const uint32_t u = bits(tiny ? mul(x, 0x1p23f) : x);
  const int32_t exponent = (int32_t)(u - 0x3f3504f3u) >> 23;  // x = 2^exponent m with m in [sqrt 1/2, sqrt 2)
  const float f = sub(from_bits(u - ((uint32_t)exponent << 23)), 1.0f);
  const float e = (float)(exponent - (tiny ? 23 : 0));
  float p = fma(0x1.1457a6p-4f, f, -0x1.de3c16p-4f);
  p = fma(p, f, 0x1.e6f06ap-4f);
  p = fma(p, f, -0x1.fc2208p-4f);
  p = fma(p, f, 0x1.23376p-3f);
  p = fma(p, f, -0x1.555c4ep-3f);
  p = fma(p, f, 0x1.99a4b6p-3f);
  p = fma(p, f, -0x1.000006p-2f);
  p = fma(p, f, 0x1.555548p-2f);
  const float square = mul(f, f);
  float y = mul(mul(square, f), p);
  y = fma(e, 0x1.7f7d1cp-20f, y);
  y = add(fma(-0.5f, square, y), f);
  y = fma(e, 0x1.62e4p-1f, y);
  y = x == 0.0f ? -infinity() : y;
  y = bits(x) == 0x7f800000u ? x : y;
  return (x < 0.0f || is_nan(x)) ? quiet_nan() : y;
}

// 1 / sqrt(x) for 2^-100 <= x < Inf: an estimate from the exponent (relative error 0.035), two Newton steps
// (1.8e-3, 4.6e-6) and one more whose residual 1 - x y^2 is taken to twice the precision.
HD float rsqrt_normal(float x) {
  float y = from_bits(0x5f375a86u - (bits(x) >> 1));
  y = mul(y, fma(-mul(mul(0.5f, x), y), y, 1.5f));
  y = mul(y, fma(-mul(mul(0.5f, x), y), y, 1.5f));
  const float product = mul(x, y);
  const float residual = fma(-fma(x, y, -product), y, fma(-product, y, 1.0f));
  return fma(mul(0.5f, y), residual, y);
}

// 1 / sqrt(x) within 0.6 ulp. rsqrt(+-0) = Inf, rsqrt(Inf) = +0, rsqrt(negative) = NaN.
HD float rsqrt(float x) {
  const bool small = x < 0x1p-100f;
  float y = rsqrt_normal(small ? mul(x, 0x1p64f) : x);
  y = small ? mul(y, 0x1p32f) : y;
  y = x == 0.0f ? infinity() : y;
  y = bits(x) == 0x7f800000u ? 0.0f : y;
  return (x < 0.0f || is_nan(x)) ? quiet_nan() : y;
}

// The square root, correctly rounded. sqrt(+-0) = +-0, sqrt(Inf) = Inf, sqrt(negative) = NaN.
HD float sqrt(float x) {
  const bool small = x < 0x1p-100f;
  const float scaled = small ? mul(x, 0x1p64f) : x;
  const float inverse = rsqrt_normal(scaled);
  const float estimate = mul(scaled, inverse);
  float y = fma(fma(-estimate, estimate, scaled), mul(0.5f, inverse), estimate);
  y = small ? mul(y, 0x1p-32f) : y;
  y = (x == 0.0f || bits(x) == 0x7f800000u) ? x : y;
  return (x < 0.0f || is_nan(x)) ? quiet_nan() : y;
}

}  // namespace exact
