// The loops of int8_block, int4_block and int2_block.
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "codec/int2_block.h"
#include "codec/int4_block.h"
#include "codec/int8_block.h"
#include "codec/isa/blocks.h"
#include "codec/isa/int_block_codes.h"
#include "codec/isa/int_block_sums.h"
#include "codec/isa/random_words.h"
#include "codec/isa/stream.h"

namespace gradmesh::GM_ISA {
namespace {

// The half-words that round up to kBlockMost elements: those of a little-endian word lie in memory in their
// order.
struct HalfWords {
  alignas(64) uint16_t values[kBlockMost];
  HD void fill(HalfWords& halves, const CodecKey& key, size_t at, size_t count) {
    const uint64_t stream = codec_stream(Draw::rounding, key.step, key.rank);
    constexpr size_t group = 8 * kPhiloxLanes;
    for (size_t i = 0; i < count; i += group) {
      uint32_t words[4 * kPhiloxLanes];
      random_words16(key.seed, stream, (key.first + at + i) / 8, words);
      memcpy(halves.values + i, words, sizeof words);
    }
  }
};

template <int kBits>
struct IntLoops {
  using Block = codecs::IntBlock<kBits>;
  using Codes = IntCodes<kBits>;
  using Sums = IntSums<kBits>;
  using Sum = typename Sums::Sum;

  // body(at, count) for chunks of whole blocks, the last of what is left.
  template <class Body>
  HD void each(size_t elements, size_t size, Body body) {
    for (size_t at = 0; at < elements; at += size) body(at, elements - at < size ? elements - at : size);
  }
  // body(at, count, halves, q) for blocks, whose integers it writes to q. The half-words are drawn for many
  // blocks at once; a large wire's integers go past the caches.
  template <class Body>
  HD void each_coded(const CodecOptions& options, const CodecKey& key, size_t elements, uint8_t* wire,
                     Body body) {
    const bool draws = Block::stochastic(options), streams = Block::q_bytes(elements) >= kStreamBytes;
    HalfWords halves;
    alignas(64) uint8_t tile[kBlockMost];
    each(elements, kBlockMost, [&](size_t chunk, size_t chunk_count) {
      uint8_t* const target = wire + chunk / Block::kPerByte;
      uint8_t* const q = streams ? tile : target;
      if (draws) HalfWords::fill(halves, key, chunk, chunk_count);
      each(chunk_count, options.block, [&](size_t at, size_t count) {
        body(chunk + at, count, draws ? halves.values + at : nullptr, q + at / Block::kPerByte);
      });
      if (streams) stream_out(target, tile, Block::q_bytes(chunk_count));
    });
    if (streams) stream_end();
  }

  static void encode(const CodecOptions& options, const CodecKey& key, const float* source, size_t elements,
                     uint8_t* wire) {
    each_coded(options, key, elements, wire,
               [&](size_t at, size_t count, const uint16_t* halves, uint8_t* q) {
                 Codes::encode(options, source + at, count, Codes::largest(source + at, count), halves, q,
                               wire + Block::scale_at(options, at, elements));
               });
  }
  HD float scale(const CodecOptions& options, const uint8_t* wire, size_t at, size_t elements) {
    const uint32_t word = Block::load_scale(options, wire + Block::scale_at(options, at, elements));
    return Block::scale_of_word(Block::pow2(options), word);
  }
  // target = decoded, or base + decoded
  HD void decode_block(const CodecOptions& options, const uint8_t* wire, size_t at, size_t count,
                       size_t elements, const float* base, float* target) {
    Codes::decode(wire + at / Block::kPerByte, count, scale(options, wire, at, elements), base, target);
  }
  static void decode(const CodecOptions& options, const CodecKey&, const uint8_t* wire, size_t elements,
                     float* target) {
    if (elements * sizeof(float) < kStreamBytes)
      return each(elements, options.block, [&](size_t at, size_t count) {
        decode_block(options, wire, at, count, elements, nullptr, target + at);
      });
    alignas(64) float decoded[kBlockMost];
    each(elements, kBlockMost, [&](size_t chunk, size_t chunk_count) {
      each(chunk_count, options.block, [&](size_t at, size_t count) {
        decode_block(options, wire, chunk + at, count, elements, nullptr, decoded + at);
      });
      stream_out(reinterpret_cast<uint8_t*>(target + chunk), reinterpret_cast<const uint8_t*>(decoded),
                 chunk_count * sizeof(float));
    });
    stream_end();
  }
  static void decode_add(const CodecOptions& options, const CodecKey&, const uint8_t* wire, size_t elements,
                         float* target) {
    each(elements, options.block, [&](size_t at, size_t count) {
      decode_block(options, wire, at, count, elements, target + at, target + at);
    });
  }
  static void decode_add_encode(const CodecOptions& options, const CodecKey&, const CodecKey& to,
                                const uint8_t* wire, const float* source, size_t elements, uint8_t* result) {
    alignas(64) float sum[kBlockMost];
    each_coded(
        options, to, elements, result, [&](size_t at, size_t count, const uint16_t* halves, uint8_t* q) {
          const int32_t largest = Codes::decode_add(wire + at / Block::kPerByte, count,
                                                    scale(options, wire, at, elements), source + at, sum);
          Codes::encode(options, sum, count, largest, halves, q,
                        result + Block::scale_at(options, at, elements));
        });
  }

  // For the order of fp32 means.
  struct AsBlock {
    static size_t block(const CodecOptions& options) { return options.block; }
    HD void encode(const CodecOptions& options, const CodecKey& key, const float* source, size_t at,
                   size_t count, uint8_t* wire, size_t elements) {
      HalfWords halves;
      if (Block::stochastic(options)) HalfWords::fill(halves, key, at, count);
      Codes::encode(options, source, count, Codes::largest(source, count),
                    Block::stochastic(options) ? halves.values : nullptr, wire + at / Block::kPerByte,
                    wire + Block::scale_at(options, at, elements));
    }
    HD void decode(const CodecOptions& options, const CodecKey&, const uint8_t* wire, size_t at, size_t count,
                   size_t elements, float* target) {
      decode_block(options, wire, at, count, elements, nullptr, target);
    }
  };
  static void mean(const CodecOptions& options, const CodecKey& key, const uint8_t* const* wires,
                   uint32_t ranks, size_t elements, uint8_t* wire) {
    if (!Block::pow2(options)) return BlockLoops<AsBlock>::mean(options, key, wires, ranks, elements, wire);
    each_coded(options, key_of_rank(key, kMeanRank), elements, wire,
               [&](size_t at, size_t count, const uint16_t* halves, uint8_t* q) {
                 const size_t scale_at = Block::scale_at(options, at, elements);
                 const Contributions c{wires, ranks, scale_at, at / Block::kPerByte, count};
                 Sums::mean(c, {wire + scale_at, q, halves});
               });
  }

  // Of scale=pow2 only.
  static size_t sum_bytes(const CodecOptions& options, size_t elements) {
    return Sum::bytes(elements, options.block);
  }
  static void accumulate(const CodecOptions& options, const CodecKey&, const uint8_t* wire, size_t elements,
                         uint8_t* sum) {
    each(elements, options.block, [&](size_t at, size_t count) {
      Sums::accumulate(wire + at / Block::kPerByte, count, wire[Block::scale_at(options, at, elements)],
                       sum_rows<Sum>(sum, elements, options.block, at));
    });
  }
  static void finish(const CodecOptions& options, const CodecKey& key, const uint8_t* sum, uint32_t ranks,
                     size_t elements, uint8_t* wire) {
    each_coded(options, key_of_rank(key, kMeanRank), elements, wire,
               [&](size_t at, size_t count, const uint16_t* halves, uint8_t* q) {
                 Sums::finish(sum_rows<const Sum>(sum, elements, options.block, at), count, ranks,
                              {wire + Block::scale_at(options, at, elements), q, halves});
               });
  }

  static constexpr CodecLoops loops() {
    return {encode, decode, decode_add, decode_add_encode, mean, sum_bytes, accumulate, finish};
  }
};

}  // namespace

extern const CodecLoops int8_block_loops, int4_block_loops, int2_block_loops;
const CodecLoops int8_block_loops = IntLoops<8>::loops();
const CodecLoops int4_block_loops = IntLoops<4>::loops();
const CodecLoops int2_block_loops = IntLoops<2>::loops();

}  // namespace gradmesh::GM_ISA
