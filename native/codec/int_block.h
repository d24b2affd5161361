// The codecs int8_block, int4_block and int2_block: the elements of a block are small integers that share a
// scale. This file defines every byte of them, for kBits = 8, 4 and 2; kMost = 127, 7 and 1 is the largest
// integer.
//
// Wire of n elements: ceil(n * kBits / 8) bytes of integers in two's complement, element i in bits i * kBits
// and up of them taken as one little-endian number, spare bits 0; then the scales of ceil(n / block) blocks.
// Element i is q[i] * scale. A scale is
// - scale=pow2: a byte, the scale is 2^e with e = byte - 127. Sums of such elements are integers in fixed
// point
//   (int_block_mean.h), so the mean of coded contributions is exact;
// - scale=fp32: a float32, little-endian. It fits the block more closely: a power of two is up to twice as
// large.
//
// Encoding a block, whose maximum over integer magnitude bits is `largest`:
// - largest is NaN or Inf: a NaN block, scale byte 255 or scale NaN (0x7fc00000), every q 0. It decodes to
// NaN
//   everywhere, so a broken contribution is seen, never taken for zeros.
// - largest is 0: scale byte 0 or scale 0, every q 0.
// - else, pow2: e is the smallest with largest <= kMost * 2^e, kept within [-126, 129 - kBits]; y = x * 2^-e.
//   fp32: scale = largest / kMost, kept within [2^-126, 2^min(129 - kBits, 126)]; y = x * (1 / scale), where
//   quotient and product are rounded.
// - q is y rounded, then clamped to [-kMost, kMost].
// From e = -126 on, 2^e is a normal float; up to 2^(129 - kBits) every q decodes to a finite float. Only
// above kMost times the largest scale does the clamp act (above 127/128, 7/8 and 1/2 of the float range):
// finite stays finite.
//
// rounding=nearest: q = y to the nearest integer, ties to even. An error is at most half a scale and never
// more than |x|: where q is 0, |y| <= 1/2 and the error is x itself; where it is not, the error is at most
// 1/2 <= |y|. So it is contractive; where the clamp acts the decoded value lies between 0 and x.
// rounding=stochastic: q = floor((r + h) / 2^16), where r = y * 2^16 to the nearest integer, ties to even,
// and h is drawn evenly from 0 .. 2^16 - 1: element g = key.first + i takes the half-word g mod 8 (the low
// half of word 0 first) of Philox block g / 8 of stream codec_stream(Draw::rounding, step, rank). The mean of
// floor((r + h) / 2^16) over all h is r / 2^16, so E[q] is y within 2^-17: unbiased, except where the clamp
// acts. An error is below one scale. It is not contractive: a small element may become a whole scale.
//
// Denormals: with the least scale, 2^-126, nearest makes |x| <= 2^-127 zero and larger ones +-2^-126.
//
// Decoding is defined for any bytes, with the integer -2^(kBits - 1), which no encoder writes, a number like
// others. pow2: byte 0 is 2^-127; what is 2^128 or more is Inf; byte 255 is NaN whatever the q; a zero is
// always +0. fp32: the float product of q and scale, where any NaN is 0x7fc00000.
#pragma once
#include <cstddef>
#include <cstdint>

#include "codec/options.h"
#include "numeric/convert.h"
#include "numeric/exact.h"

namespace gradmesh::codecs {

template <int kBitsOf>
struct IntBlock {
  static constexpr int kBits = kBitsOf;
  static constexpr int32_t kMost = (1 << (kBits - 1)) - 1;
  static constexpr size_t kPerByte = 8 / kBits;
  static_assert(kBits == 8 || kBits == 4 || kBits == 2, "elements fill bytes");

  HD bool pow2(const CodecOptions& options) {
    return options.scale == static_cast<uint32_t>(BlockScale::pow2);
  }
  HD bool stochastic(const CodecOptions& options) {
    return options.rounding == static_cast<uint32_t>(Rounding::stochastic);
  }
  static CodecTraits traits(const CodecOptions& options) {
    CodecTraits traits;
    traits.block_elements = options.block;
    traits.unbiased = stochastic(options);
    traits.contractive = !stochastic(options);
    traits.exact_sum = pow2(options);
    return traits;
  }
  static const char* problem(const CodecOptions& options) {
    if ((options.block & (options.block - 1)) == 0) return nullptr;
    return "option \"block\" is not a power of two; allowed: 16, 32, .. 4096";
  }
  HD size_t q_bytes(size_t elements) { return elements / kPerByte + (elements % kPerByte != 0); }
  HD size_t blocks(const CodecOptions& options, size_t elements) {
    return elements / options.block + (elements % options.block != 0);
  }
  HD size_t scale_bytes(const CodecOptions& options) { return pow2(options) ? 1 : 4; }
  HD size_t bytes(const CodecOptions& options, size_t elements) {
    return q_bytes(elements) + blocks(options, elements) * scale_bytes(options);
  }
  // Where the scale of the block that begins with element `at` is.
  HD size_t scale_at(const CodecOptions& options, size_t at, size_t elements) {
    return q_bytes(elements) + at / options.block * scale_bytes(options);
  }

  // Magnitudes order as integers exactly as their floats do, Inf and NaN above all: a maximum over them is
  // free of order, lanes and NaN rules. They are below 2^31, so signed integers do.
  HD int32_t magnitude(float x) { return static_cast<int32_t>(exact::bits(x) & 0x7fffffffu); }
  static constexpr int32_t kInfinity = 0x7f800000;

  // scale=pow2
  static constexpr uint32_t kNanByte = 255;
  static constexpr uint32_t kLeastByte = 1;  // e = -126
  static constexpr uint32_t kMostByte = 256 - kBits;
  // kMost is (2 - 2^(2 - kBits)) * 2^(kBits - 2). Adding what that fraction lacks to 2 carries into the
  // exponent exactly when the fraction is greater, so the sum's exponent less kBits - 2 is the smallest that
  // fits.
  HD uint32_t scale_byte(int32_t largest) {
    if (largest >= kInfinity) return kNanByte;
    if (largest == 0) return 0;
    const int32_t carries = (1 << (25 - kBits)) - 1;
    const int32_t byte = ((largest + carries) >> 23) - (kBits - 2);
    const int32_t least = static_cast<int32_t>(kLeastByte), most = static_cast<int32_t>(kMostByte);
    return static_cast<uint32_t>(byte < least ? least : byte > most ? most : byte);
  }
  // 2^-e for a byte of 1..254; of 254 a denormal, and exact.
  HD float inverse_of_byte(uint32_t byte) {
    return exact::from_bits(byte == 254 ? 0x400000u : (254u - byte) << 23);
  }
  // 2^e; 2^-127 is a denormal float, and exact. The NaN is written down, since 2^128 is Inf.
  HD float scale_of_byte(uint32_t byte) {
    return exact::from_bits(byte == kNanByte ? exact::kNan : byte == 0 ? 0x400000u : byte << 23);
  }

  // scale=fp32
  static constexpr float kLeastScale = 0x1p-126f;
  static constexpr float kMostScale = kBits == 8 ? 0x1p121f : kBits == 4 ? 0x1p125f : 0x1p126f;
  HD float scale_of_largest(int32_t largest) {
    if (largest >= kInfinity) return exact::from_bits(exact::kNan);
    if (largest == 0) return 0.0f;
    const float scale =
        exact::div(exact::from_bits(static_cast<uint32_t>(largest)), static_cast<float>(kMost));
    return scale < kLeastScale ? kLeastScale : scale > kMostScale ? kMostScale : scale;
  }

  // What to multiply by, and what to write: a byte, or a float's bits. `inverse` is 0 where every q is 0.
  struct Scale {
    uint32_t word;
    float inverse;
  };
  HD Scale scale_for(bool is_pow2, int32_t largest) {
    if (is_pow2) {
      const uint32_t byte = scale_byte(largest);
      return {byte, byte == 0 || byte == kNanByte ? 0.0f : inverse_of_byte(byte)};
    }
    const float scale = scale_of_largest(largest);
    return {exact::bits(scale), scale > 0.0f ? exact::div(1.0f, scale) : 0.0f};
  }

  HD int32_t clamp(int32_t q) { return q < -kMost ? -kMost : q > kMost ? kMost : q; }
  // y is at most 2^(kBits - 1) and its product exact (pow2), or so small that it rounds to 0 either way.
  HD int32_t nearest(float x, float inverse) { return clamp(exact::round_small(exact::mul(x, inverse))); }
  // r, by parts, as a float's integers end at 2^22: y = whole + part with |part| <= 1/2, which is exact.
  HD int32_t fixed_point(float y) {
    const int32_t whole = exact::round_small(y);
    const float part = exact::sub(y, static_cast<float>(whole));
    return whole * 65536 + exact::round_small(exact::mul(part, 0x1p16f));
  }
  HD int32_t drawn(int32_t fixed, uint32_t half_word) {
    return clamp((fixed + static_cast<int32_t>(half_word)) >> 16);
  }
  HD int32_t stochastic(float x, float inverse, uint32_t half_word) {
    return drawn(fixed_point(exact::mul(x, inverse)), half_word);
  }
  // From the word that holds it: word element % 8 / 2 of its Philox block.
  HD uint32_t half_word(uint32_t word, uint64_t element) { return word >> element % 2 * 16 & 0xffffu; }
  HD prng::Words draw(const CodecKey& key, uint64_t element) {
    return prng::block(key.seed, codec_stream(Draw::rounding, key.step, key.rank), element / 8);
  }

  // Element i of integers that start at a byte's first element.
  HD int32_t load(const uint8_t* q, size_t i) {
    const uint32_t up = static_cast<uint32_t>(q[i / kPerByte]) << (32 - kBits - i % kPerByte * kBits);
    return static_cast<int32_t>(up) >> (32 - kBits);
  }
  HD uint32_t placed(int32_t q, size_t i) {
    return (static_cast<uint32_t>(q) & ((1u << kBits) - 1)) << i % kPerByte * kBits;
  }
  HD float scale_of_word(bool is_pow2, uint32_t word) {
    return is_pow2 ? scale_of_byte(word) : exact::from_bits(word);
  }
  // Exact or Inf (pow2). NaN * q has other bits on other machines.
  HD float decode(int32_t q, float scale) {
    return exact::canonical(exact::mul(static_cast<float>(q), scale));
  }
  HD uint32_t load_scale(const CodecOptions& options, const uint8_t* at) {
    if (pow2(options)) return *at;
    return at[0] | static_cast<uint32_t>(at[1]) << 8 | static_cast<uint32_t>(at[2]) << 16 |
           static_cast<uint32_t>(at[3]) << 24;
  }
  HD void store_scale(const CodecOptions& options, uint8_t* at, uint32_t word) {
    for (size_t i = 0; i < scale_bytes(options); i++) at[i] = static_cast<uint8_t>(word >> 8 * i);
  }
};

}  // namespace gradmesh::codecs
