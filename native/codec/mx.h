// The codecs of OCP Microscaling v1.0 (Open Compute Project, September 2023): mxfp8_e4m3, mxfp8_e5m2, mxfp4
// (E2M1) and mxint8. 32 elements share a scale X, a power of two in an E8M0 byte: X = 2^(byte - 127), byte
// 255 is NaN (section 5.4). This file defines every byte of them.
//
// Wire of n elements: the elements, 8 bits each, or 4 bits each with element 2i in the low bits of byte i (a
// last odd one has 0 above it); then ceil(n / 32) scale bytes, one a block.
//
// Encoding a block is section 6.3's conversion, with largest = max |x|:
// - X = 2^(floor(log2 largest) - emax), emax the exponent of the element format's largest number, kept within
//   [2^-127, 2^127]. Above it never is; below the clamp acts, so denormals become small elements or 0;
// - an element is x / X rounded to nearest, ties to even, and where that is above the format's largest
// number, that
//   (6.3 asks for this clamp). Denormals of the element formats are kept. A zero keeps its sign, but in
//   mxint8.
// What the specification leaves to the implementation:
// - a block with NaN or Inf: scale 255, every element 0. It decodes to NaN everywhere, so a broken
// contribution is
//   seen (section 6.3 has no rule; torchao's floor scale, too, gives 255 for both);
// - a block of zeros: scale byte 0;
// - mxint8 does not use -128 (5.3.4 allows it), so x and -x code alike: -127/64 .. 127/64.
// torchao's to_mx (ScaleCalculationMode.FLOOR, its default) gives the same bytes for every finite block.
//
// Worst error: of a largest element, the clamp's: below 1/8 of it for E4M3 and E5M2, 1/4 for E2M1, 1/128 for
// mxint8; of others half the last bit: 2^-4, 2^-3 and 2^-2 of a normal element, and half the format's
// smallest number times X below. An element is never further from its value than 0 is, and the largest never
// more than 1/4 of it: contractive.
//
// Decoding is defined for any bytes: element times X, exact; what is 2^128 or more (only strangers send it)
// is Inf; NaN elements of E4M3 and E5M2, also strangers', are 0x7fc00000; Infs of E5M2 are Inf; scale 255 is
// NaN whatever the element; -128 of mxint8 is -2.
//
// The mean of contributions is exact: every element is an integer `term` times 2^(byte - 127 +
// kUnitExponent). If any contribution decodes to a NaN or Inf in the block, the mean is a NaN block; else it
// is the code of the exact mean of each element, rounded once. A zero mean is -0 where every contribution is
// -0, else +0: as IEEE adds.
#pragma once
#include <cstddef>
#include <cstdint>

#include "codec/exact_block.h"
#include "codec/options.h"
#include "numeric/fp8.h"

namespace gradmesh::codecs {

// Section 5.3.4: two's complement in units of 2^-6. Its magnitude is a format of a field of one bit and 6
// mantissa bits.
struct mx_int8 : fp8::Format<8, 6, 0, 0, 0x3ffe0000u> {
  using Magnitude = fp8::Format<8, 6, 0, 0, 0x3ffe0000u>;
  HD uint32_t encode(uint32_t x) {
    const uint32_t magnitude = Magnitude::encode(x & 0x7fffffffu);
    return (x >> 31 ? 0 - magnitude : magnitude) & 0xffu;
  }
  static constexpr bool kSignedZero = false;
  HD int32_t integer(uint32_t code) { return static_cast<int32_t>(code ^ 0x80u) - 128; }
  HD int64_t units(uint32_t code) { return integer(code); }
  HD float decode(uint32_t code) { return exact::mul(static_cast<float>(integer(code)), 0x1p-6f); }
};

// kTermBits: |term| <= 2^kTermBits. kLeastSpecial: the least magnitude bits that are no number.
template <class Element, int kTermBits_, uint32_t kLeastSpecial>
struct mx {
  static CodecTraits traits(const CodecOptions&) {
    CodecTraits traits;
    traits.block_elements = kBlock;
    traits.contractive = traits.exact_sum = true;
    return traits;
  }
  static const char* problem(const CodecOptions&) { return nullptr; }
  HD size_t bytes(const CodecOptions&, size_t elements) {
    return code_bytes(elements) + elements / kBlock + (elements % kBlock != 0);
  }
  HD size_t block(const CodecOptions&) { return kBlock; }
  HD size_t code_bytes(size_t elements) { return kBits == 8 ? elements : elements / 2 + elements % 2; }

  static constexpr uint32_t kBlock = 32;
  static constexpr int kBits = Element::kBits, kTermBits = kTermBits_, kUnitExponent = Element::kUnitExponent;
  static constexpr bool kSignedZero = Element::kSignedZero;
  static constexpr uint32_t kSign = Element::kSign;
  using Format = Element;

  // The scale byte of a block whose maximum over integer magnitude bits is `largest`.
  HD uint32_t scale_byte(int32_t largest) {
    const int32_t field = largest >> 23;
    if (field == 255) return kNanByte;
    return static_cast<uint32_t>(field < Element::kMostExponent ? 0 : field - Element::kMostExponent);
  }
  // x / X is exact, or so small that it rounds to 0 either way.
  HD uint32_t encode(float x, float inverse) { return Element::encode(exact::bits(exact::mul(x, inverse))); }
  // Of a scale that is not NaN.
  HD float decode(uint32_t code, float scale) { return exact::mul(Element::decode(code), scale); }
  HD int64_t term(uint32_t code) { return Element::units(code); }
  HD bool special(uint32_t code) { return (code & Element::kMagnitude) >= kLeastSpecial; }
};

struct mxfp8_e4m3 : mx<fp8::e4m3, 18, 0x7f> {};
struct mxfp8_e5m2 : mx<fp8::e5m2, 32, 0x7c> {};
struct mxfp4 : mx<fp8::e2m1, 4, kNoSpecial> {};
struct mxint8 : mx<mx_int8, 7, kNoSpecial> {};

}  // namespace gradmesh::codecs
