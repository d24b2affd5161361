// The int4_affine codec: 4-bit codes between a block's smallest and largest element; this file defines every
// byte of it. For values that do not lie around zero; as a block's ends are exact, it also fits skewed ones
// more closely than int4_block.
//
// Wire of n elements: ceil(n / 2) bytes of codes 0..15, element i in the low half of byte i / 2 for even i,
// spare bits 0; then for each of ceil(n / block) blocks an offset and a scale, two float32, little-endian.
// Element i is fma(code[i], scale, offset), rounded once. Both are float32: a 16-bit offset would be wrong by
// up to 2^-9 of itself (or, as an fp16, end at 65504), more than a step where a block's values are close
// together, and that is what an offset is for. 64 elements a block by default: 5 bits an element.
//
// Encoding a block, whose smallest and largest element by the order of numeric/order.h are `least` and
// `most`:
// - one of them is NaN or Inf: a NaN block, offset and scale NaN (0x7fc00000), every code 0. It decodes to
// NaN
//   everywhere.
// - offset = least. A zero is written as +0.
// - least and most are equal: scale 0, every code 0.
// - else scale = (most / 2 - least / 2) / 7.5, where difference and quotient are rounded; at least 2^-126;
// and where
//   fma(15, scale, offset) is not finite, the scale times 1 - 2^-20. Halves, as most - least may be above the
//   float range.
// - code = (x / 2 - offset / 2) * (2 / scale), where difference, quotient and product are rounded, to the
// nearest
//   integer, ties to even, clamped to at most 15.
//
// Error: at most half a scale (and 2^-20 of it, and one rounding of the result). least is exact, most nearly.
// With r = most - least, a block's squared error is at most block * (r / 30)^2, and sum x^2 is at least r^2 /
// 2: with blocks of up to 256 the error is at most 0.57 of sum x^2, so it is contractive. An element near
// zero may become half a scale. Denormals: differences below 2^-127 vanish, others are kept to 2^-127.
//
// Decoding is defined for any bytes: the fma, where any NaN is 0x7fc00000.
#pragma once
#include <cstddef>
#include <cstdint>

#include "codec/options.h"
#include "numeric/convert.h"
#include "numeric/exact.h"
#include "numeric/order.h"

namespace gradmesh::codecs {

struct int4_affine {
  static CodecTraits traits(const CodecOptions& options) {
    CodecTraits traits;
    traits.block_elements = options.block;
    traits.contractive = true;
    return traits;
  }
  static const char* problem(const CodecOptions& options) {
    if ((options.block & (options.block - 1)) == 0) return nullptr;
    return "option \"block\" is not a power of two; allowed: 16, 32, .. 256";
  }
  HD size_t block(const CodecOptions& options) { return options.block; }
  HD size_t code_bytes(size_t elements) { return elements / 2 + elements % 2; }
  HD size_t bytes(const CodecOptions& options, size_t elements) {
    return code_bytes(elements) + (elements / options.block + (elements % options.block != 0)) * kScaleBytes;
  }
  // Where offset and scale of the block that begins with element `at` are.
  HD size_t scale_at(const CodecOptions& options, size_t at, size_t elements) {
    return code_bytes(elements) + at / options.block * kScaleBytes;
  }

  static constexpr int kBits = 4;
  static constexpr size_t kScaleBytes = 8;
  static constexpr float kLeastScale = 0x1p-126f;
  static constexpr float kShrink = 0x1.ffffep-1f;  // 1 - 2^-20

  struct Scale {
    float offset, scale;
    float factor;  // 2 / scale, or 0 where every code is 0
  };
  // From the smallest and the largest order::key() of a block.
  HD Scale scale_for(int32_t least_key, int32_t most_key) {
    const float nan = exact::from_bits(exact::kNan);
    if (least_key <= order::key(-exact::infinity()) || most_key >= order::key(exact::infinity()))
      return {nan, nan, 0.0f};
    const float least = exact::add(order::from_key(least_key), 0.0f),
                most = exact::add(order::from_key(most_key), 0.0f);
    if (least == most) return {least, 0.0f, 0.0f};
    float scale = exact::div(exact::sub(exact::mul(most, 0.5f), exact::mul(least, 0.5f)), 7.5f);
    scale = scale < kLeastScale ? kLeastScale : scale;
    if (!(exact::fma(15.0f, scale, least) < exact::infinity())) scale = exact::mul(scale, kShrink);
    return {least, scale, exact::div(2.0f, scale)};
  }
  // half_offset is offset / 2.
  HD uint32_t encode(float x, float half_offset, float factor) {
    const float y = exact::mul(exact::sub(exact::mul(x, 0.5f), half_offset), factor);
    return static_cast<uint32_t>(exact::round_small(y > 15.0f ? 15.0f : y));
  }
  HD float decode(uint32_t code, float offset, float scale) {
    return exact::canonical(exact::fma(static_cast<float>(code), scale, offset));
  }
};

}  // namespace gradmesh::codecs
