// How a sparse codec codes the values that it keeps of one block, m of them in a written order: as float32,
// as int8 with a power-of-two scale, as signs with the mean magnitude, or in 2 bits with two of them. This
// file defines every byte of it.
//
// - fp32: 4 m bytes, little-endian, all bits of the float; no scale.
// - int8: m bytes and a scale byte, as int8_block with scale=pow2 and rounding=nearest codes one block of m
//   elements (int_block.h). With NaN or Inf among them all m decode to NaN; the error is at most half a
//   scale, so below largest / 127, and never more than the value.
// - sign: ceil(m / 8) bytes, value i in bit i mod 8 of byte i / 8, spare bits 0, and a float32 scale: that of
//   sign1 for the m values.
// - int2: ceil(m / 4) bytes, the code of value i in bits 2 (i mod 4) and up of byte i / 4, spare bits 0, and
//   two float32, the smaller and the larger magnitude: two_means.h. The squared error is at most that of
//   sign; of the 64 largest of 4096 normal values it is a third of it.
#pragma once
#include <cstddef>
#include <cstdint>

#include "codec/int_block.h"
#include "codec/options.h"
#include "codec/sign1.h"
#include "codec/two_means.h"
#include "numeric/exact.h"

namespace gradmesh::kept {

constexpr uint32_t kFp32 = static_cast<uint32_t>(Values::fp32), kInt8 = static_cast<uint32_t>(Values::int8),
                   kSign = static_cast<uint32_t>(Values::sign), kInt2 = static_cast<uint32_t>(Values::int2);

HD size_t value_bytes(uint32_t values, size_t m) {
  return values == kFp32 ? 4 * m : values == kInt8 ? m : values == kSign ? (m + 7) / 8 : (m + 3) / 4;
}
HD size_t scale_bytes(uint32_t values) {
  return values == kFp32 ? 0 : values == kInt8 ? 1 : values == kSign ? 4 : 8;
}

using Int8 = codecs::IntBlock<8>;
using codecs::two_means;

HD int8_t quantize(float x, float inverse) {
  return static_cast<int8_t>(inverse == 0.0f ? 0 : Int8::nearest(x, inverse));
}

// The codes of up to four values from number `at` on.
HD uint8_t int2_byte(const two_means::Split& split, const float* x, size_t at, size_t m) {
  uint32_t byte = 0;
  for (size_t i = at; i < m && i < at + 4; i++) byte |= two_means::code(split, x[i]) << 2 * (i - at);
  return static_cast<uint8_t>(byte);
}

// x[m] -> out[value_bytes], scale[scale_bytes].
HD void encode(uint32_t values, const float* x, size_t m, uint8_t* out, uint8_t* scale) {
  if (values == kFp32) {
    memcpy(out, x, 4 * m);
  } else if (values == kInt8) {
    int32_t largest = 0;
    for (size_t i = 0; i < m; i++) {
      const int32_t magnitude = Int8::magnitude(x[i]);
      largest = magnitude > largest ? magnitude : largest;
    }
    const Int8::Scale found = Int8::scale_for(true, largest);
    *scale = static_cast<uint8_t>(found.word);
    for (size_t i = 0; i < m; i++) out[i] = static_cast<uint8_t>(quantize(x[i], found.inverse));
  } else if (values == kSign) {
    const float mean = codecs::sign1::scale_of(x, m, codecs::sign1::magnitude_sum(x, m, 1.0f));
    memcpy(scale, &mean, 4);
    for (size_t at = 0; at < m; at += 8) {
      uint32_t byte = 0;
      for (size_t i = at; i < m && i < at + 8; i++) byte |= codecs::sign1::sign(x[i]) << (i - at);
      out[at / 8] = static_cast<uint8_t>(byte);
    }
  } else {
    const two_means::Split split = two_means::split_of(x, m);
    for (uint32_t level = 0; level < 2; level++) {
      const uint32_t word = two_means::level_bits(split, level);
      memcpy(scale + 4 * level, &word, 4);
    }
    for (size_t at = 0; at < m; at += 4) out[at / 4] = int2_byte(split, x, at, m);
  }
}

// The float32 bits of value i of `in`.
HD uint32_t decode(uint32_t values, const uint8_t* in, size_t i, const uint8_t* scale) {
  uint32_t word;
  if (values == kFp32) {
    memcpy(&word, in + 4 * i, 4);
    return word;
  }
  if (values == kInt8)
    return exact::bits(Int8::decode(static_cast<int8_t>(in[i]), Int8::scale_of_byte(*scale)));
  if (values == kInt2) {
    const uint32_t code = in[i / 4] >> 2 * (i % 4) & 3u;
    memcpy(&word, scale + 4 * (code & 1u), 4);
    return two_means::decode(code, word);
  }
  memcpy(&word, scale, 4);
  return codecs::sign1::decode(in[i / 8] >> i % 8 & 1u, word);
}

// All m of them; bits, since a float register could quiet a NaN.
HD void decode_all(uint32_t values, const uint8_t* in, size_t m, const uint8_t* scale, uint32_t* bits) {
  if (values == kFp32)
    memcpy(bits, in, 4 * m);
  else if (values == kInt8)
    for (size_t i = 0; i < m; i++) bits[i] = decode(kInt8, in, i, scale);
  else if (values == kSign)
    for (size_t i = 0; i < m; i++) bits[i] = decode(kSign, in, i, scale);
  else
    for (size_t i = 0; i < m; i++) bits[i] = decode(kInt2, in, i, scale);
}

}  // namespace gradmesh::kept
