// The random_mask codec: of each block as many elements as the option kept_ppm says, drawn by the run's seed,
// so that the wire carries no indices; the others decode to +0 (SPARTA; a random mask as in Konecny et al.
// 2016, 1610.05492). This file defines every byte of it.
//
// A block of `count` elements keeps kept = count * kept_ppm / 10^6, rounded half up, and at least 1. Which
// ones is a function of (seed, step, number of the block in the tensor), not of the rank: all ranks keep the
// same. They are p(0), p(1), .. for a keyed permutation p of the numbers below 2^v, the least power of two
// that is not below count, where numbers of count and more are passed over. p is, modulo 2^v, seven rounds of
//   x = a x + b;  x = x ^ x >> (v + 1) / 2
// and at last x = a x + b: bijections all, as a is odd. Round r takes word r of the 8 words of the Philox
// blocks 2 number and 2 number + 1: a is its upper half with the lowest bit set, b its lower bits. The last b
// alone makes every element of a whole block equally likely, P(kept) = kept / count; the rounds make every
// pair, and the elements of a tail, so (with three of them a chi-square test of pairs still sees a structure,
// from six on none).
//
// Wire: the kept values of each block in the order of p (kept.h), block after block; then the scale of each
// block, where the values have one.
//
// A strategy that averages only the chosen elements (SPARTA) codes a difference to what all share, say
// parameters - anchor, and adds the decoded mean to the anchor: what was not chosen adds 0 and stays.
//
// Error: what is not kept; over the keys the squared error is (1 - kept / count) of the squared norm, so
// contractive in expectation, and never above 1. Wires with values=fp32 that have one key can be added word
// by word: linear. kept_ppm = 10^6 with values=fp32 decodes to the input, bit by bit. NaN and Inf arrive
// where they are chosen (with int8, sign and int2, all kept values of their block decode to NaN); an element
// that is not chosen is not looked at.
#pragma once
#include <cstddef>
#include <cstdint>

#include "base/prng.h"
#include "codec/kept.h"
#include "codec/options.h"
#include "codec/power_of_two.h"

namespace gradmesh::codecs {

struct random_mask {
  static CodecTraits traits(const CodecOptions& options) {
    CodecTraits traits;
    traits.block_elements = options.block;
    traits.linear = options.values == kept::kFp32;
    traits.contractive = true;
    return traits;
  }
  static const char* problem(const CodecOptions& options) { return block_problem(options); }

  HD size_t kept_of(const CodecOptions& options, size_t count) {
    const uint64_t kept = (static_cast<uint64_t>(count) * options.kept_ppm + 500000u) / 1000000u;
    return kept == 0 && count > 0 ? 1 : static_cast<size_t>(kept);
  }
  // Where the parts of the block that begins with element `at` are.
  struct Places {
    size_t values, scale;
  };
  HD Places places(const CodecOptions& options, size_t at, size_t elements) {
    const size_t values = kept::value_bytes(options.values, kept_of(options, options.block));
    const size_t tail = kept::value_bytes(options.values, kept_of(options, elements & (options.block - 1)));
    const size_t whole = block_number(options, elements), before = block_number(options, at);
    return {before * values, whole * values + tail + before * kept::scale_bytes(options.values)};
  }
  // Where a scale behind the last one would be.
  HD size_t bytes(const CodecOptions& options, size_t elements) {
    return places(options, block_count(options, elements) * options.block, elements).scale;
  }

  // The permutation p of one block.
  struct Order {
    uint32_t word[8], mask, shift;
  };
  HD Order order(const CodecOptions& options, const CodecKey& key, size_t at, size_t count) {
    const uint64_t number = (key.first + at) >> log2_of(options.block);
    const uint64_t stream = codec_stream(Draw::mask, key.step, 0);  // no rank: all choose alike
    const prng::Words low = prng::block(key.seed, stream, 2 * number);
    const prng::Words high = prng::block(key.seed, stream, 2 * number + 1);
    uint32_t width = 0;
    while (static_cast<size_t>(1) << width < count) width++;
    Order order;
    for (int i = 0; i < 4; i++) {
      order.word[i] = low.word[i];
      order.word[4 + i] = high.word[i];
    }
    order.mask = (1u << width) - 1;
    order.shift = (width + 1) / 2;
    return order;
  }
  // p(j), for j <= order.mask.
  HD uint32_t place(const Order& order, uint32_t j) {
    uint32_t x = j;
    for (int i = 0; i < 7; i++) {
      x = (x * (order.word[i] >> 16 | 1u) + order.word[i]) & order.mask;
      x ^= x >> order.shift;
    }
    return (x * (order.word[7] >> 16 | 1u) + order.word[7]) & order.mask;
  }
};

}  // namespace gradmesh::codecs
