// The loops of a codec that works block by block, made of what it does with one block. A codec with a faster
// way for any of them writes that one itself. Only files of isa/ include this.
//
// Block gives:
//   static size_t block(const CodecOptions&)                    elements of a block, at most
//   kBlockElementsMost static void encode(options, key, source, at, count, wire, elements) static void
//   decode(options, key, wire, at, count, elements, target)
// for the block whose first element is number `at` of the call's `elements`; source and target are the
// block's own `count` elements, wire is the whole call's.
#pragma once
#include <cstddef>
#include <cstdint>

#include "codec/loops.h"
#include "numeric/convert.h"

namespace gradmesh::GM_ISA {
namespace {

constexpr size_t kBlockElementsMost = 4096;

HD CodecKey key_of_rank(CodecKey key, uint32_t rank) {
  key.rank = rank;
  return key;
}

template <class Block>
struct BlockLoops {
  // Calls body(at, count) for each block.
  template <class Body>
  HD void each_block(const CodecOptions& options, size_t elements, Body body) {
    const size_t block = Block::block(options);
    for (size_t at = 0; at < elements; at += block) body(at, elements - at < block ? elements - at : block);
  }

  static void encode(const CodecOptions& options, const CodecKey& key, const float* source, size_t elements,
                     uint8_t* wire) {
    each_block(
        options, elements, [&](size_t at, size_t count) __attribute__((always_inline)) {
          Block::encode(options, key, source + at, at, count, wire, elements);
        });
  }
  static void decode(const CodecOptions& options, const CodecKey& key, const uint8_t* wire, size_t elements,
                     float* target) {
    each_block(
        options, elements, [&](size_t at, size_t count) __attribute__((always_inline)) {
          Block::decode(options, key, wire, at, count, elements, target + at);
        });
  }
  HD void add(const float* __restrict decoded, size_t count, float* __restrict target) {
    for (size_t i = 0; i < count; i++) target[i] = exact::canonical(exact::add(target[i], decoded[i]));
  }
  static void decode_add(const CodecOptions& options, const CodecKey& key, const uint8_t* wire,
                         size_t elements, float* target) {
    alignas(64) float decoded[kBlockElementsMost];
    each_block(
        options, elements, [&](size_t at, size_t count) __attribute__((always_inline)) {
          Block::decode(options, key, wire, at, count, elements, decoded);
          add(decoded, count, target + at);
        });
  }
  static void decode_add_encode(const CodecOptions& options, const CodecKey& from, const CodecKey& to,
                                const uint8_t* wire, const float* source, size_t elements, uint8_t* result) {
    alignas(64) float sum[kBlockElementsMost];
    each_block(
        options, elements, [&](size_t at, size_t count) __attribute__((always_inline)) {
          Block::decode(options, from, wire, at, count, elements, sum);
          for (size_t i = 0; i < count; i++) sum[i] = exact::canonical(exact::add(source[at + i], sum[i]));
          Block::encode(options, to, sum, at, count, result, elements);
        });
  }
  static void mean(const CodecOptions& options, const CodecKey& key, const uint8_t* const* wires,
                   uint32_t ranks, size_t elements, uint8_t* wire) {
    alignas(64) float sum[kBlockElementsMost], decoded[kBlockElementsMost];
    const float divisor = static_cast<float>(ranks);
    each_block(
        options, elements, [&](size_t at, size_t count) __attribute__((always_inline)) {
          Block::decode(options, key_of_rank(key, 0), wires[0], at, count, elements, sum);
          for (uint32_t rank = 1; rank < ranks; rank++) {
            Block::decode(options, key_of_rank(key, rank), wires[rank], at, count, elements, decoded);
            add(decoded, count, sum);
          }
          for (size_t i = 0; i < count; i++) sum[i] = exact::canonical(exact::div(sum[i], divisor));
          Block::encode(options, key_of_rank(key, kMeanRank), sum, at, count, wire, elements);
        });
  }
};

template <class Block>
constexpr CodecLoops block_loops() {
  using Each = BlockLoops<Block>;
  return {Each::encode, Each::decode, Each::decode_add, Each::decode_add_encode,
          Each::mean,   nullptr,      nullptr,          nullptr};
}

}  // namespace
}  // namespace gradmesh::GM_ISA
