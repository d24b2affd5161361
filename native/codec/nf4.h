// The nf4 codec: 4-bit NormalFloat (Dettmers et al. 2023, "QLoRA", 2305.14314, appendix E): 16 values, the
// quantiles of a normal distribution, times the block's largest magnitude. This file defines every byte of
// it.
//
// Wire of n elements: 4 bits each, element 2i in the low bits of byte i (a last odd one has 0 above it); then
// ceil(n / block) float32 scales, little-endian.
//
// Encoding a block:
// - a block with NaN or Inf: the scale is NaN, every code 7. It decodes to NaN everywhere, so a broken
// contribution is
//   seen;
// - else the scale is the largest magnitude, and y = x * (1 / scale), each operation rounded, where both x
// and scale
//   are first multiplied by 2^24 if the scale is below 2^-100, and by 2^-24 if it is 2^100 or more: so 1 /
//   scale is a normal float. The code is the number of midpoints between neighbouring values that y is above:
//   the nearest value, and halfway the lower one. A block of zeros has scale +0 and codes 7.
//
// Worst error: half the widest gap, 0.152 of the scale (between -1 and -0.696), and in roundings of y at a
// midpoint 2^-22 of the scale more; the largest element has none. 0 is a value, so an element is never
// further off than 0 is: contractive.
//
// Decoding is defined for any bytes: value times scale, rounded; a NaN that comes of it (a scale that is NaN,
// or Inf times 0) is 0x7fc00000.
#pragma once
#include <cstddef>
#include <cstdint>

#include "codec/options.h"
#include "numeric/convert.h"
#include "numeric/exact.h"

namespace gradmesh::codecs {

struct nf4 {
  static CodecTraits traits(const CodecOptions& options) {
    CodecTraits traits;
    traits.block_elements = options.block;
    traits.contractive = true;
    return traits;
  }
  static const char* problem(const CodecOptions& options) {
    return (options.block & (options.block - 1)) != 0
               ? "option \"block\" is not a power of two; allowed: 32, 64, 128, .. 4096"
               : nullptr;
  }
  HD size_t bytes(const CodecOptions& options, size_t elements) {
    return code_bytes(elements) + 4 * (elements / options.block + (elements % options.block != 0));
  }
  HD size_t block(const CodecOptions& options) { return options.block; }
  HD size_t code_bytes(size_t elements) { return elements / 2 + elements % 2; }

  static constexpr int kBits = 4;
  static constexpr uint32_t kZeroCode = 7;

  HD float value(uint32_t code) {
    const float values[16] = {-0x1p+0f,        -0x1.647362p-1f, -0x1.0cd66p-1f,  -0x1.94654p-2f,
                              -0x1.23449ap-2f, -0x1.7a6a7ep-3f, -0x1.74f0e2p-4f, 0x0p+0f,
                              0x1.45f5fep-4f,  0x1.4995c6p-3f,  0x1.f809bap-3f,  0x1.5a0674p-2f,
                              0x1.c34970p-2f,  0x1.200f56p-1f,  0x1.722766p-1f,  0x1p+0f};
    // By selection, as registers have no index: a table in memory would be one load an element.
    float level[8];
    for (uint32_t i = 0; i < 8; i++) level[i] = code & 1u ? values[2 * i + 1] : values[2 * i];
    for (uint32_t i = 0; i < 4; i++) level[i] = code & 2u ? level[2 * i + 1] : level[2 * i];
    for (uint32_t i = 0; i < 2; i++) level[i] = code & 4u ? level[2 * i + 1] : level[2 * i];
    return code & 8u ? level[1] : level[0];
  }
  // Halfway between value(i) and value(i + 1), rounded down to a float: what is above the one is above the
  // other. i = 15 is a place for tables; nothing is above it.
  HD float midpoint(uint32_t i) {
    const float midpoints[16] = {-0x1.b239b2p-1f, -0x1.38a4e2p-1f, -0x1.d709p-2f,   -0x1.5bd4eep-2f,
                                 -0x1.e079dap-3f, -0x1.1a7178p-3f, -0x1.74f0e2p-5f, 0x1.45f5fep-5f,
                                 0x1.ec90c4p-4f,  0x1.a0cfcp-3f,   0x1.2b05a8p-2f,  0x1.8ea7f2p-2f,
                                 0x1.00da06p-1f,  0x1.491b5ep-1f,  0x1.b913b2p-1f,  0x1p+127f};
    return midpoints[i];
  }

  // How elements of a block are brought to [-1, 1]: y = x * lift * inverse.
  struct Scaling {
    float lift, inverse;
  };
  // `scale` is finite, not negative.
  HD Scaling scaling(float scale) {
    const float lift = scale < 0x1p-100f ? 0x1p24f : scale < 0x1p100f ? 1.0f : 0x1p-24f;
    const float lifted = exact::mul(scale, lift);
    return {lift, scale == 0.0f ? 0.0f : exact::div(1.0f, lifted)};
  }
  HD float scaled(float x, Scaling scaling) {
    return exact::mul(exact::mul(x, scaling.lift), scaling.inverse);
  }
  // The code of y: a search in the midpoints, which ascend.
  HD uint32_t encode(float y) {
    uint32_t code = 0;
    for (uint32_t i = 0; i < 15; i++) code += y > midpoint(i) ? 1 : 0;
    return code;
  }
  HD float decode(float value, float scale) { return exact::canonical(exact::mul(value, scale)); }
};

}  // namespace gradmesh::codecs
