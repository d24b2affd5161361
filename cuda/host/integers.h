// CUDA's integer functions and integer atomics for a plain C++ compiler. There are no atomics on floats: a
// sum of floats in no order has no value that two machines agree on.
#pragma once
#include <cstdint>

inline int __popc(unsigned x) { return __builtin_popcount(x); }
inline int __popcll(unsigned long long x) { return __builtin_popcountll(x); }
inline int __clz(int x) { return x == 0 ? 32 : __builtin_clz(static_cast<unsigned>(x)); }
inline int __clzll(long long x) { return x == 0 ? 64 : __builtin_clzll(static_cast<unsigned long long>(x)); }
inline int __ffs(int x) { return __builtin_ffs(x); }
inline int __ffsll(long long x) { return __builtin_ffsll(x); }
inline unsigned __umulhi(unsigned a, unsigned b) { return static_cast<unsigned>(uint64_t{a} * b >> 32); }
inline unsigned __brev(unsigned x) {
  unsigned result = 0;
  for (int i = 0; i < 32; i++) result |= (x >> i & 1) << (31 - i);
  return result;
}
inline unsigned long long __brevll(unsigned long long x) {
  return uint64_t{__brev(static_cast<unsigned>(x))} << 32 | __brev(static_cast<unsigned>(x >> 32));
}
// Each nibble of the selector picks one of the eight bytes of b:a.
inline unsigned __byte_perm(unsigned a, unsigned b, unsigned selector) {
  const uint64_t bytes = uint64_t{b} << 32 | a;
  unsigned result = 0;
  for (int i = 0; i < 4; i++)
    result |= static_cast<unsigned>(bytes >> (selector >> 4 * i & 7) * 8 & 0xff) << 8 * i;
  return result;
}
// The upper half of high:low << shift mod 32, and the lower half of high:low >> shift mod 32.
inline unsigned __funnelshift_l(unsigned low, unsigned high, unsigned shift) {
  return static_cast<unsigned>((uint64_t{high} << 32 | low) << (shift & 31) >> 32);
}
inline unsigned __funnelshift_r(unsigned low, unsigned high, unsigned shift) {
  return static_cast<unsigned>((uint64_t{high} << 32 | low) >> (shift & 31));
}

template <class T>
T __ldg(const T* address) {
  return *address;
}

#define SIMT_MIN_MAX(type)                                            \
  inline constexpr type min(type a, type b) { return a < b ? a : b; } \
  inline constexpr type max(type a, type b) { return a > b ? a : b; }
SIMT_MIN_MAX(int)
SIMT_MIN_MAX(unsigned)
SIMT_MIN_MAX(long)
SIMT_MIN_MAX(unsigned long)
SIMT_MIN_MAX(long long)
SIMT_MIN_MAX(unsigned long long)
#undef SIMT_MIN_MAX

// Each returns what was there before.
#define SIMT_ATOMIC(name, type, expression)     \
  inline type name(type* address, type value) { \
    const type before = *address;               \
    *address = (expression);                    \
    return before;                              \
  }
#define SIMT_ATOMICS(type, add_expression)                         \
  SIMT_ATOMIC(atomicAdd, type, add_expression)                     \
  SIMT_ATOMIC(atomicMax, type, before > value ? before : value)    \
  SIMT_ATOMIC(atomicMin, type, before < value ? before : value)    \
  SIMT_ATOMIC(atomicOr, type, before | value)                      \
  SIMT_ATOMIC(atomicAnd, type, before& value)                      \
  SIMT_ATOMIC(atomicXor, type, before ^ value)                     \
  SIMT_ATOMIC(atomicExch, type, value)                             \
  inline type atomicCAS(type* address, type compare, type value) { \
    const type before = *address;                                  \
    if (before == compare) *address = value;                       \
    return before;                                                 \
  }
SIMT_ATOMICS(int, static_cast<int>(static_cast<unsigned>(before) + static_cast<unsigned>(value)))
SIMT_ATOMICS(unsigned, before + value)
SIMT_ATOMICS(unsigned long long, before + value)
#undef SIMT_ATOMICS
#undef SIMT_ATOMIC
float atomicAdd(float*, float) = delete;
double atomicAdd(double*, double) = delete;
