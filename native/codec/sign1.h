// The sign1 codec: the sign of each element and one magnitude a block, the mean (scaled signSGD: Bernstein et
// al. 2018, 1802.04434; Karimireddy et al. 2019, 1901.09847). This file defines every byte of it.
//
// Wire of n elements: ceil(n / 8) bytes of signs, element i in bit i mod 8 of byte i / 8, spare bits 0; then
// ceil(n / block) float32 scales, little-endian. Element i is +scale or -scale.
//
// Encoding a block of `count` elements:
// - the sign is the element's own sign bit, so a zero has one too: +0 becomes +scale, -0 becomes -scale;
// - the scale is sum / count, where the sum of the magnitudes goes in the order of numeric/tree.h;
// - where that sum is not finite: if an element is NaN or Inf, the scale is NaN, and the block decodes to NaN
//   everywhere; else the sum only overflowed: then the scale is the sum of the magnitudes times 2^-13, over
//   count, times 2^13. Finite stays finite.
//
// The mean is the magnitude that makes the squared error of a block least: sum x^2 - (sum |x|)^2 / count, so
// at most 1 - 1 / count of sum x^2: contractive. Where the mean is a denormal and is rounded, the error is at
// most sum x^2.
//
// Decoding is defined for any bytes: a NaN scale gives 0x7fc00000 for both signs, any other scale its bits
// for a positive sign and its bits with the sign turned for a negative one.
#pragma once
#include <cstddef>
#include <cstdint>

#include "codec/options.h"
#include "codec/power_of_two.h"
#include "numeric/convert.h"
#include "numeric/exact.h"
#include "numeric/tree.h"

namespace gradmesh::codecs {

struct sign1 {
  static CodecTraits traits(const CodecOptions& options) {
    CodecTraits traits;
    traits.block_elements = options.block;
    traits.contractive = true;
    return traits;
  }
  static const char* problem(const CodecOptions& options) { return block_problem(options); }

  HD size_t sign_bytes(size_t elements) { return elements / 8 + (elements % 8 != 0); }
  HD size_t bytes(const CodecOptions& options, size_t elements) {
    return sign_bytes(elements) + 4 * block_count(options, elements);
  }
  // Where the scale of the block that begins with element `at` is.
  HD size_t scale_at(const CodecOptions& options, size_t at, size_t elements) {
    return sign_bytes(elements) + 4 * block_number(options, at);
  }

  static constexpr uint32_t kInfinity = 0x7f800000u;
  static constexpr float kShrink = 0x1p-13f, kGrow = 0x1p13f;  // 4096 magnitudes of 2^115 stay below 2^128

  HD bool finite(float x) { return (exact::bits(x) & 0x7fffffffu) < kInfinity; }
  // The sum of |x[i]| * factor in the fixed tree's order.
  HD float magnitude_sum(const float* x, size_t count, float factor) {
    float lanes[tree::kLanes] = {};
    for (size_t group = 0; group < count; group += tree::kLanes)
      for (size_t i = 0; i < tree::kLanes; ++i)
        lanes[i] = exact::add(lanes[i],
                              group + i < count ? exact::mul(exact::magnitude(x[group + i]), factor) : 0.0f);
    return tree::fold(lanes);
  }
  HD float mean_of(float sum, size_t count) { return exact::div(sum, static_cast<float>(count)); }
  // From the sum with factor kShrink, where the sum without it overflowed. Finite: rounding is monotone, so
  // no sum of `count` magnitudes is above that of `count` times the largest float, whose mean is
  // (test/native/codec/sign1.cpp).
  HD float mean_of_shrunk(float sum, size_t count) { return exact::mul(mean_of(sum, count), kGrow); }
  // The scale of x[count], count >= 1: the definition. `sum` is magnitude_sum(x, count, 1).
  HD float scale_of(const float* x, size_t count, float sum) {
    if (finite(sum)) return mean_of(sum, count);
    for (size_t i = 0; i < count; i++)
      if (!finite(x[i])) return exact::from_bits(exact::kNan);
    return mean_of_shrunk(magnitude_sum(x, count, kShrink), count);
  }

  HD uint32_t sign(float x) { return exact::bits(x) >> 31; }
  // The decoded bits of a sign, 0 or 1.
  HD uint32_t decode(uint32_t sign, uint32_t scale) {
    return (scale & 0x7fffffffu) > kInfinity ? exact::kNan : scale ^ sign << 31;
  }
};

}  // namespace gradmesh::codecs
