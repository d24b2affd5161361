// The topk codec: the k elements of largest magnitude of each block, by index; the others become +0 (Aji and
// Heafield 2017, 1704.05021; blocks of 4096 as in SparseLoCo, 2508.15706). This file defines
// every byte of it.
//
// A block of `count` elements keeps kept = min(k, count) of them, by integer magnitude bits: Inf above all
// numbers, NaN above Inf. Among equal magnitudes the lower index is kept. An index inside the block has width
// = log2(block) bits, also in the last block, which may be shorter.
//
// Wire: three parts, each block after block. First the values of each block (kept.h), in the order of their
// indices; then the indices of each block, ascending, index j at bits [j * width, (j + 1) * width) of
// ceil(kept * width / 8) bytes, little-endian, spare bits 0; then the scale of each block, where the values
// have one. Every block begins at a byte of its own, and blocks are coded apart.
//
// Error: what is not kept, so at most 1 - kept / count of the squared norm, plus that of the kept values
// (kept.h): contractive. k = block with values=fp32 decodes to the input, bit by bit. NaN and Inf are kept
// first: with fp32 they arrive as they are, with int8, sign and int2 all kept values of their block decode to
// NaN. The others of the block become +0.
//
// Decoding is defined for any bytes: an index of count or more is passed over, and of equal indices the last
// one's value counts.
#pragma once
#include <cstddef>
#include <cstdint>

#include "codec/kept.h"
#include "codec/options.h"
#include "codec/power_of_two.h"

namespace gradmesh::codecs {

struct topk {
  static CodecTraits traits(const CodecOptions& options) {
    CodecTraits traits;
    traits.block_elements = options.block;
    traits.contractive = true;
    return traits;
  }
  static const char* problem(const CodecOptions& options) {
    if (block_problem(options) != nullptr) return block_problem(options);
    return options.k > options.block ? "option \"k\" is above option \"block\"; allowed: at most block"
                                     : nullptr;
  }

  HD uint32_t width(const CodecOptions& options) { return log2_of(options.block); }
  HD size_t kept_of(const CodecOptions& options, size_t count) {
    return options.k < count ? options.k : count;
  }
  HD size_t index_bytes(const CodecOptions& options, size_t kept) { return (kept * width(options) + 7) / 8; }

  // Where the parts of the block that begins with element `at` are.
  struct Places {
    size_t values, indices, scale;
  };
  HD Places places(const CodecOptions& options, size_t at, size_t elements) {
    const size_t values = kept::value_bytes(options.values, options.k),
                 indices = index_bytes(options, options.k);
    const size_t whole = block_number(options, elements), before = block_number(options, at);
    const size_t tail = kept_of(options, elements & (options.block - 1));
    const size_t indices_at = whole * values + kept::value_bytes(options.values, tail);
    const size_t scales_at = indices_at + whole * indices + index_bytes(options, tail);
    return {before * values, indices_at + before * indices,
            scales_at + before * kept::scale_bytes(options.values)};
  }
  // Where a scale behind the last one would be.
  HD size_t bytes(const CodecOptions& options, size_t elements) {
    return places(options, block_count(options, elements) * options.block, elements).scale;
  }

  // What is compared first; then the lower index comes first.
  HD uint32_t magnitude(float x) { return exact::bits(x) & 0x7fffffffu; }

  // Byte b of a block's indices.
  template <class Index>
  HD uint8_t index_byte(const Index* index, size_t kept, uint32_t width, size_t b) {
    uint32_t byte = 0;
    for (size_t j = 8 * b / width; j < kept && j * width < 8 * b + 8; j++) {
      const int shift = static_cast<int>(j * width) - static_cast<int>(8 * b);
      byte |=
          shift < 0 ? static_cast<uint32_t>(index[j]) >> -shift : static_cast<uint32_t>(index[j]) << shift;
    }
    return static_cast<uint8_t>(byte);
  }
  // Index j of a block's indices; reads only the bytes that hold it.
  HD uint32_t index_of(const uint8_t* indices, size_t j, uint32_t width) {
    const size_t first = j * width / 8, last = (j * width + width - 1) / 8;
    uint32_t word = 0;
    for (size_t b = first; b <= last; b++) word |= static_cast<uint32_t>(indices[b]) << 8 * (b - first);
    return word >> (j * width % 8) & ((1u << width) - 1);
  }
};

}  // namespace gradmesh::codecs
