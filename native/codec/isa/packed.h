// The loops of codecs whose wire is packed codes of 8 or 4 bits, then a scale a block. Only files of isa/
// include this.
//
// Kernel gives, for the block `codes`, `scale` of `count` elements:
//   using Codec                        the definition: block(), code_bytes()
//   kScaleBytes
//   encode(source, count, codes, scale)
//   encode_ahead(block, source, count, codes, scales)   many blocks at once: how many elements it has coded,
//   or 0 decode(codes, scale, count, target)
#pragma once
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "codec/isa/stream.h"
#include "codec/loops.h"
#include "numeric/convert.h"

namespace gradmesh::GM_ISA {
namespace {

static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "wires are little-endian");

template <class Codec>
HD uint32_t code_at(const uint8_t* codes, size_t i) {
  return Codec::kBits == 8 ? codes[i] : codes[i / 2] >> i % 2 * 4 & 15u;
}
// q[count] -> two codes a byte; q[count] may be written.
HD void pack_nibbles(uint8_t* __restrict q, size_t count, uint8_t* __restrict codes) {
  q[count] = 0;
  for (size_t i = 0; i < (count + 1) / 2; i++) codes[i] = static_cast<uint8_t>(q[2 * i] | q[2 * i + 1] << 4);
}
HD void fill(float* target, size_t count, uint32_t bits) {
  for (size_t i = 0; i < count; i++) target[i] = exact::from_bits(bits);
}
HD int32_t largest_magnitude(const float* source, size_t count) {
  int32_t largest = 0;
  for (size_t i = 0; i < count; i++) {
    const int32_t magnitude = static_cast<int32_t>(exact::bits(source[i]) & 0x7fffffffu);
    largest = magnitude > largest ? magnitude : largest;
  }
  return largest;
}
HD void add(const float* __restrict decoded, size_t count, float* __restrict target) {
  for (size_t i = 0; i < count; i++) target[i] = exact::canonical(exact::add(target[i], decoded[i]));
}

template <class Kernel>
struct PackedLoops {
  using Codec = typename Kernel::Codec;

  // Calls body(at, count) for tiles of whole blocks.
  template <class Body>
  HD void each_tile(size_t elements, Body body) {
    for (size_t at = 0; at < elements; at += kTile) body(at, elements - at < kTile ? elements - at : kTile);
  }
  HD const uint8_t* codes(const uint8_t* wire, size_t at) { return wire + at * Codec::kBits / 8; }
  HD uint8_t* codes(uint8_t* wire, size_t at) { return wire + at * Codec::kBits / 8; }
  HD size_t scale_at(const CodecOptions& options, size_t at, size_t elements) {
    return Codec::code_bytes(elements) + at / Codec::block(options) * Kernel::kScaleBytes;
  }

  // Runs of blocks, of which only the last may be short. A whole block has a constant count where the codec
  // has one.
  HD void encode_run(const CodecOptions& options, const float* source, size_t count, uint8_t* codes,
                     uint8_t* scale) {
    const size_t block = Codec::block(options);
    const size_t done = Kernel::encode_ahead(block, source, count, codes, scale);
    source += done, count -= done, codes += done * Codec::kBits / 8,
        scale += done / block * Kernel::kScaleBytes;
    for (; count >= block; count -= block, source += block, codes += block * Codec::kBits / 8) {
      Kernel::encode(source, block, codes, scale);
      scale += Kernel::kScaleBytes;
    }
    if (count > 0) Kernel::encode(source, count, codes, scale);
  }
  HD void decode_run(const CodecOptions& options, const uint8_t* codes, const uint8_t* scale, size_t count,
                     float* target) {
    const size_t block = Codec::block(options);
    for (; count >= block; count -= block, target += block, codes += block * Codec::kBits / 8) {
      Kernel::decode(codes, scale, block, target);
      scale += Kernel::kScaleBytes;
    }
    if (count > 0) Kernel::decode(codes, scale, count, target);
  }

  static void encode(const CodecOptions& options, const CodecKey&, const float* source, size_t elements,
                     uint8_t* wire) {
    const bool stream = Codec::code_bytes(elements) >= kStreamBytes;
    alignas(64) uint8_t tile[kTile];
    each_tile(
        elements, [&](size_t at, size_t count) __attribute__((always_inline)) {
          uint8_t* const target = codes(wire, at);
          encode_run(options, source + at, count, stream ? tile : target,
                     wire + scale_at(options, at, elements));
          if (stream) stream_out(target, tile, Codec::code_bytes(count));
        });
    if (stream) stream_end();
  }
  static void decode(const CodecOptions& options, const CodecKey&, const uint8_t* wire, size_t elements,
                     float* target) {
    const bool stream = elements * sizeof(float) >= kStreamBytes;
    alignas(64) float tile[kTile];
    each_tile(
        elements, [&](size_t at, size_t count) __attribute__((always_inline)) {
          decode_run(options, codes(wire, at), wire + scale_at(options, at, elements), count,
                     stream ? tile : target + at);
          if (stream)
            stream_out(reinterpret_cast<uint8_t*>(target + at), reinterpret_cast<const uint8_t*>(tile),
                       count * 4);
        });
    if (stream) stream_end();
  }
  static void decode_add(const CodecOptions& options, const CodecKey&, const uint8_t* wire, size_t elements,
                         float* target) {
    alignas(64) float tile[kTile];
    each_tile(
        elements, [&](size_t at, size_t count) __attribute__((always_inline)) {
          decode_run(options, codes(wire, at), wire + scale_at(options, at, elements), count, tile);
          add(tile, count, target + at);
        });
  }
  static void decode_add_encode(const CodecOptions& options, const CodecKey&, const CodecKey&,
                                const uint8_t* wire, const float* source, size_t elements, uint8_t* result) {
    alignas(64) float tile[kTile];
    each_tile(
        elements, [&](size_t at, size_t count) __attribute__((always_inline)) {
          const size_t scale = scale_at(options, at, elements);
          decode_run(options, codes(wire, at), wire + scale, count, tile);
          for (size_t i = 0; i < count; i++) tile[i] = exact::canonical(exact::add(source[at + i], tile[i]));
          encode_run(options, tile, count, codes(result, at), result + scale);
        });
  }
  // Sums by rank; exact codecs have their own (exact_sum.h).
  static void mean(const CodecOptions& options, const CodecKey&, const uint8_t* const* wires, uint32_t ranks,
                   size_t elements, uint8_t* wire) {
    alignas(64) float sum[kTile], decoded[kTile];
    const float divisor = static_cast<float>(ranks);
    each_tile(
        elements, [&](size_t at, size_t count) __attribute__((always_inline)) {
          const size_t scale = scale_at(options, at, elements);
          decode_run(options, codes(wires[0], at), wires[0] + scale, count, sum);
          for (uint32_t rank = 1; rank < ranks; rank++) {
            decode_run(options, codes(wires[rank], at), wires[rank] + scale, count, decoded);
            add(decoded, count, sum);
          }
          for (size_t i = 0; i < count; i++) sum[i] = exact::canonical(exact::div(sum[i], divisor));
          encode_run(options, sum, count, codes(wire, at), wire + scale);
        });
  }
};

}  // namespace
}  // namespace gradmesh::GM_ISA
