// bfloat16 (the upper 16 bits of a float32) to float32 and back, in integers only: no CPU mode and no
// instruction such as vcvtneps2bf16, which flushes denormals, has a say in the result.
#pragma once
#include <cstdint>

#include "numeric/exact.h"

namespace half {

// Exact. A NaN keeps its payload.
HD uint32_t bf16_bits(uint16_t x) { return static_cast<uint32_t>(x) << 16; }
HD float from_bf16(uint16_t x) { return exact::from_bits(bf16_bits(x)); }

// The nearest bfloat16, ties to even, given a float32's bits. Denormals are kept, what is nearer to 2^128
// than to the largest bfloat16 becomes Inf, and a NaN stays one: its quiet bit is set, its sign and upper
// payload stay.
HD uint16_t to_bf16_bits(uint32_t x) {
  const uint32_t rounded = x + 0x7fffu + (x >> 16 & 1u);
  const uint32_t quiet = x | 0x400000u;
  return static_cast<uint16_t>(((x & 0x7fffffffu) > 0x7f800000u ? quiet : rounded) >> 16);
}
HD uint16_t to_bf16(float x) { return to_bf16_bits(exact::bits(x)); }

}  // namespace half
