// The eden codec: 1 to 4 bits an element without feedback, by a random rotation (DRIVE, 2105.08339; EDEN,
// 2108.08842). This file defines every byte of it.
//
// A block of `block` elements is rotated twice: h = H E H D x, where D and E are random signs and H the
// Hadamard matrix of +1 and -1. Rotated elements are almost normal whatever x was, so one Lloyd-Max quantizer
// serves every tensor. (Once, as the papers do, is not enough where a few elements carry a block: then the
// signs of h say the same in every step, and at 1 bit the bias was measured to be up to half of the norm.)
// Decoding rotates back: y = T D H E H c, where c are the centroids and T the block's scale.
//
// Wire of n elements: for each block its `padded` codes of `bits` bits, element 0 in the low bits; then a
// float32 T for each block. A last block that is shorter is padded with +0 to the next power of two, at least
// 64: its `padded`. As a power of two of at least 64, the codes of a block end with a byte.
//
// Encoding a block x[count], whose maximum over integer magnitude bits is `largest`:
// - largest is NaN or Inf: T is NaN, every code 0. It decodes to NaN everywhere, so a broken contribution is
// seen.
// - largest is 0: T is +0, every code 0.
// - else, in this order:
//   1. x[i] * 2^-e, where 2^e is the power of two of largest, kept within [-126, 126]: so nothing below
//   overflows, and
//      nothing but what is 2^-126 of the largest is lost;
//   2. norm = tree::dot(x, x) (numeric/tree.h);
//   3. D: x[i] gets the other sign where bit g mod 32 of random word g / 32 is set, g = key.first + i counted
//   over the
//      tensor: word w is prng::bits(seed, codec_stream(Draw::signs, step, rank), w);
//   4. H, by butterflies: for half = 1, 2, 4, .., padded / 2, for each pair a = h[i], b = h[i + half] with i
//   & half = 0:
//      h[i] = a + b, h[i + half] = a - b;
//   5. E as D, with word 2^60 + w instead of w; then H again;
//   6. code i is that of mul(h[i], exact::rsqrt(padded * norm)), which is about standard normal: its
//   magnitude's level
//      (the number of boundaries that are not above it), plus 2^(bits - 1) where the sign bit is set;
//   7. fit = tree::dot(h, c) over all `padded` codes. T = norm / fit (scale=unbiased) or
//      fit / (padded^2 * tree::dot(c, c)) (scale=least); times 2^e, and at most the largest float.
// Decoding: the centroids c of the codes; H, E, H; then y[i] = T h[i] with the signs D, each product clamped
// to the largest float. T of NaN or Inf (a stranger's Inf too) makes the block NaN.
//
// unbiased: <y, x> = <x, x> by construction, so what is left is E y = x over the signs, which holds for a
// uniformly random rotation; two Hadamard matrices come as near to one as test/native/codec/eden.cpp asserts,
// the nearer the larger the block. Squared error / squared norm on any tensor of many elements: 0.571, 0.133,
// 0.0358, 0.0096 at 1, 2, 3, 4 bits. least: the scale of the least squared error, 0.363, 0.117, 0.0345,
// 0.0095; biased, and contractive.
#pragma once
#include <cstddef>
#include <cstdint>

#include "codec/finite.h"
#include "codec/options.h"
#include "numeric/convert.h"
#include "numeric/exact.h"
#include "numeric/tree.h"

namespace gradmesh::codecs {

struct eden {
  enum class Fit : uint32_t { unbiased, least };  // the choices of option `scale`

  static CodecTraits traits(const CodecOptions& options) {
    CodecTraits traits;
    traits.block_elements = options.block;
    traits.unbiased = options.scale == static_cast<uint32_t>(Fit::unbiased);
    traits.contractive = !traits.unbiased;
    return traits;
  }
  static const char* problem(const CodecOptions& options) {
    return (options.block & (options.block - 1)) != 0 ? "block must be a power of two: 64, 128, .., 4096"
                                                      : nullptr;
  }
  HD size_t bytes(const CodecOptions& options, size_t elements) {
    const size_t whole = elements / options.block, rest = elements % options.block;
    return code_bytes(options, elements) + (whole + (rest != 0)) * sizeof(float);
  }
  // The codes of all blocks; the scales begin there.
  HD size_t code_bytes(const CodecOptions& options, size_t elements) {
    const size_t rest = elements % options.block;
    return (elements - rest + padded(options, rest)) / 8 * options.bits;
  }

  static constexpr size_t kPaddedLeast = 64, kBlockMost = 4096;

  // What a block of `count` elements is padded to; 0 for none.
  HD size_t padded(const CodecOptions& options, size_t count) {
    if (count == 0 || count == options.block) return count;
    size_t size = kPaddedLeast;
    while (size < count) size *= 2;
    return size;
  }

  // The biased exponent byte of 2^e, and 2^e, 2^-e of it.
  HD uint32_t exponent(int32_t largest) {
    const uint32_t byte = static_cast<uint32_t>(largest) >> 23;
    return byte < 1 ? 1 : byte > 253 ? 253 : byte;
  }
  HD float power(uint32_t exponent) { return exact::from_bits(exponent << 23); }
  HD float inverse_power(uint32_t exponent) { return exact::from_bits((254 - exponent) << 23); }

  // 32 signs: D's of elements 32 word .. 32 word + 31 of the tensor; E's are those of kSecond + word.
  static constexpr uint64_t kSecond = uint64_t{1} << 60;
  HD uint64_t stream(const CodecKey& key) { return codec_stream(Draw::signs, key.step, key.rank); }
  HD uint32_t signs(const CodecKey& key, uint64_t word) {
    const prng::Words block = prng::block(key.seed, stream(key), word / 4);
    // prng::bits(), without an index that a GPU could only take through memory.
    const uint32_t low = word % 2 == 0 ? block.word[0] : block.word[1];
    const uint32_t high = word % 2 == 0 ? block.word[2] : block.word[3];
    return word % 4 < 2 ? low : high;
  }
  HD float negate_if(float x, uint32_t sign) { return exact::from_bits(exact::bits(x) ^ sign << 31); }

  // The quantizers of least squared error of a standard normal number (Lloyd, Max), magnitudes: 2^(bits - 1)
  // centroids and the boundaries halfway between. test/native/codec/eden.cpp finds them again in doubles.
  HD constexpr float centroid_magnitude(uint32_t bits, uint32_t level) {
    switch ((1u << (bits - 1)) - 1 + level) {
      case 0:
        return 0x1.988454p-1f;  // 1 bit
      case 1:
        return 0x1.cfa592p-2f;  // 2 bits
      case 2:
        return 0x1.82aabap+0f;
      case 3:
        return 0x1.f5f3fp-3f;  // 3 bits
      case 4:
        return 0x1.83132p-1f;
      case 5:
        return 0x1.580a7p+0f;
      case 6:
        return 0x1.1372f4p+1f;
      case 7:
        return 0x1.06f3fap-3f;  // 4 bits
      case 8:
        return 0x1.8d5c88p-2f;
      case 9:
        return 0x1.5042bcp-1f;
      case 10:
        return 0x1.e27a72p-1f;
      case 11:
        return 0x1.41985ep+0f;
      case 12:
        return 0x1.9e384ap+0f;
      case 13:
        return 0x1.08d58ep+1f;
      default:
        return 0x1.5dc57ep+1f;
    }
  }
  // Boundary i is that between levels i and i + 1.
  HD constexpr float boundary(uint32_t bits, uint32_t i) {
    switch ((1u << (bits - 1)) - bits + i) {
      case 0:
        return 0x1.f6941ep-1f;  // 2 bits
      case 1:
        return 0x1.00480ep-1f;  // 3 bits
      case 2:
        return 0x1.0ccap+0f;
      case 3:
        return 0x1.bf782ep+0f;
      case 4:
        return 0x1.086b42p-2f;  // 4 bits
      case 5:
        return 0x1.0b788p-1f;
      case 6:
        return 0x1.995e96p-1f;
      case 7:
        return 0x1.196accp+0f;
      case 8:
        return 0x1.6fe854p+0f;
      case 9:
        return 0x1.d7f1b4p+0f;
      default:
        return 0x1.334d86p+1f;
    }
  }
  HD float centroid(uint32_t bits, uint32_t code) {
    const uint32_t sign = code >> (bits - 1);
    return negate_if(centroid_magnitude(bits, code & ((1u << (bits - 1)) - 1)), sign);
  }
  HD uint32_t code(uint32_t bits, float z) {
    const uint32_t sign = exact::bits(z) >> 31;
    const float magnitude = exact::magnitude(z);
    uint32_t level = 0;
    for (uint32_t i = 0; i + 1 < 1u << (bits - 1); i++) level += magnitude >= boundary(bits, i) ? 1 : 0;
    return level | sign << (bits - 1);
  }

  // Of step 6. padded is a power of two, so the product is exact.
  HD float inverse_norm(size_t padded, float norm) {
    return exact::rsqrt(exact::mul(static_cast<float>(padded), norm));
  }
  // T of step 7. `fit` is positive, as every centroid has its element's sign; cc = tree::dot(c, c).
  HD float block_scale(const CodecOptions& options, size_t padded, float norm, float fit, float cc,
                       uint32_t exponent) {
    const bool least = options.scale == static_cast<uint32_t>(Fit::least);
    const float t =
        least ? exact::div(fit, exact::mul(static_cast<float>(padded * padded), cc)) : exact::div(norm, fit);
    return clamp_finite(exact::mul(t, power(exponent)));
  }

  // Step 4 in its plainest form; loops and kernels take the same pairs in the same stages.
  HD void rotate(float* h, size_t padded) {
    for (size_t half = 1; half < padded; half *= 2)
      for (size_t i = 0; i < padded; i++) {
        if ((i & half) != 0) continue;
        const float a = h[i], b = h[i + half];
        h[i] = exact::add(a, b);
        h[i + half] = exact::sub(a, b);
      }
  }
};

}  // namespace gradmesh::codecs
