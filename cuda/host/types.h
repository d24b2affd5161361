// CUDA's qualifiers and vector types for a plain C++ compiler: same names, sizes and alignments.
#pragma once
#include <cstdint>

#define __global__
#define __device__
#define __host__
#define __constant__ static
// One block runs at a time (block.h), so a block's shared memory is the function's only copy. What the last
// block left in it is still there, as on a GPU: a kernel that forgets to fill it shows from the second block
// on.
#define __shared__ static
#define __launch_bounds__(...)
#define __forceinline__ inline __attribute__((always_inline))
#define __align__(bytes) __attribute__((aligned(bytes)))

struct uint3 {
  unsigned x, y, z;
};
struct dim3 {
  unsigned x, y, z;
  constexpr dim3(unsigned x_ = 1, unsigned y_ = 1, unsigned z_ = 1) : x(x_), y(y_), z(z_) {}
};

// SIMT_VECTORS(element, prefix, alignment of 2, alignment of 4)
#define SIMT_VECTORS(element, prefix, align2, align4)                                       \
  struct alignas(align2) prefix##2 {                                                        \
    element x, y;                                                                           \
  };                                                                                        \
  struct alignas(align4) prefix##4 {                                                        \
    element x, y, z, w;                                                                     \
  };                                                                                        \
  inline constexpr prefix##2 make_##prefix##2(element x, element y) { return {x, y}; }      \
  inline constexpr prefix##4 make_##prefix##4(element x, element y, element z, element w) { \
    return {x, y, z, w};                                                                    \
  }
SIMT_VECTORS(signed char, char, 2, 4)
SIMT_VECTORS(unsigned char, uchar, 2, 4)
SIMT_VECTORS(short, short, 4, 8)
SIMT_VECTORS(unsigned short, ushort, 4, 8)
SIMT_VECTORS(int, int, 8, 16)
SIMT_VECTORS(unsigned, uint, 8, 16)
SIMT_VECTORS(float, float, 8, 16)
#undef SIMT_VECTORS

struct alignas(16) ulonglong2 {
  unsigned long long x, y;
};
inline constexpr ulonglong2 make_ulonglong2(unsigned long long x, unsigned long long y) { return {x, y}; }
struct alignas(16) longlong2 {
  long long x, y;
};
inline constexpr longlong2 make_longlong2(long long x, long long y) { return {x, y}; }
