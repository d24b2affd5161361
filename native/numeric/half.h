// bfloat16 (the upper 16 bits of a float32) and IEEE 754 binary16 to float32 and back, in integers only: no
// CPU mode and no instruction such as vcvtneps2bf16, which flushes denormals, has a say in the result.
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

// The nearest binary16, ties to even, given a float32's bits. Denormals are kept, what is nearer to 2^16 than
// to 65504, the largest binary16, becomes Inf, and a NaN stays one: its quiet bit is set, its sign and the
// upper ten bits of its payload stay. (vcvtps2ph gives the same bits.)
HD uint16_t to_fp16_bits(uint32_t x) {
  const uint32_t magnitude = x & 0x7fffffffu, sign = x >> 16 & 0x8000u;
  // From 2^-14 on: the exponent's bias goes from 127 to 15, and 13 bits are rounded away; a carry is an
  // exponent's.
  const uint32_t rebiased = magnitude - 0x38000000u;
  const uint32_t rounded = (rebiased + 0xfffu + (rebiased >> 13 & 1u)) >> 13;
  const uint32_t normal = rounded < 0x7c00u ? rounded : 0x7c00u;
  // Below: in units of 2^-24. From a shift of 25 on everything rounds to 0, also what has no leading one.
  const uint32_t significand = (magnitude & 0x7fffffu) | 0x800000u, exponent = magnitude >> 23;
  const uint32_t shift = exponent < 101 ? 25 : exponent > 112 ? 14 : 126 - exponent;
  const uint32_t tiny = (significand + ((1u << (shift - 1)) - 1) + (significand >> shift & 1u)) >> shift;
  const uint32_t nan = 0x7e00u | (magnitude >> 13 & 0x3ffu);
  const uint32_t number = magnitude < 0x38800000u ? tiny : normal;
  return static_cast<uint16_t>(sign | (magnitude > 0x7f800000u ? nan : number));
}
HD uint16_t to_fp16(float x) { return to_fp16_bits(exact::bits(x)); }

// Exact. A NaN keeps its payload and becomes quiet, as vcvtph2ps has it.
HD uint32_t fp16_bits(uint16_t x) {
  const uint32_t magnitude = x & 0x7fffu, sign = static_cast<uint32_t>(x & 0x8000u) << 16;
  const uint32_t normal = (magnitude << 13) + 0x38000000u;
  const uint32_t special =
      (magnitude << 13) + 0x70000000u + (magnitude > 0x7c00u ? 0x400000u & ~(magnitude << 13) : 0);
  // magnitude * 2^-24, as 2^-14 (1 + magnitude / 1024) - 2^-14: both differences are exact.
  const uint32_t tiny = exact::bits(exact::sub(exact::from_bits((magnitude << 13) + 0x38800000u), 0x1p-14f));
  return sign | (magnitude >= 0x7c00u ? special : magnitude < 0x400u ? tiny : normal);
}
HD float from_fp16(uint16_t x) { return exact::from_bits(fp16_bits(x)); }

}  // namespace half
