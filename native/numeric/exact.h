// The only float arithmetic that kernels may use. Each function gives the same bits on every backend: scalar C++,
// AVX2, AVX-512 and CUDA. Files that include this are built with -ffp-contract=off (g++) or --fmad=false (nvcc).
#pragma once
#include <cstdint>
#include <cstring>

#if defined(__CUDACC__)
#define HD __host__ __device__ __forceinline__
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

}  // namespace exact
