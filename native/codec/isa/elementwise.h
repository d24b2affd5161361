// The loops of every codec that codes each element on its own.
// Only files of isa/ include this.
#pragma once
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "codec/isa/stream.h"
#include "codec/loops.h"
#include "numeric/convert.h"

namespace gradmesh::GM_ISA {
namespace {  // internal linkage: an ISA object may share no symbol with another

static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "wires are little-endian");

// Runs of elements by the definition.
template <class Codec>
struct PlainRuns {
  using Wire = typename Codec::Wire;

  // Wires have no alignment, so their words are copied in and out; the compiler makes single loads of it.
  HD Wire load(const uint8_t* wire, size_t i) {
    Wire word;
    memcpy(&word, wire + i * sizeof(Wire), sizeof(Wire));
    return word;
  }
  HD void store(uint8_t* wire, size_t i, Wire word) { memcpy(wire + i * sizeof(Wire), &word, sizeof(Wire)); }

  HD void encode(const float* __restrict source, size_t count, uint8_t* __restrict wire) {
    for (size_t i = 0; i < count; i++) {
      uint32_t bits;
      memcpy(&bits, source + i, 4);
      store(wire, i, Codec::encode(bits));
    }
  }
  HD void decode(const uint8_t* __restrict wire, size_t count, float* __restrict target) {
    for (size_t i = 0; i < count; i++) {
      const uint32_t bits = Codec::decode(load(wire, i));
      memcpy(target + i, &bits, 4);
    }
  }
  HD void decode_add(const uint8_t* __restrict wire, size_t count, float* __restrict target) {
    for (size_t i = 0; i < count; i++)
      target[i] = exact::canonical(exact::add(target[i], exact::from_bits(Codec::decode(load(wire, i)))));
  }
};

// A codec for which an instruction set has instructions specializes it.
template <class Codec>
struct Runs : PlainRuns<Codec> {};

template <class Codec>
struct ElementwiseLoops {
  using Run = Runs<Codec>;
  static constexpr size_t kBytes = sizeof(typename Codec::Wire);

  // Calls body(at, count) for each tile.
  template <class Body>
  HD void each_tile(size_t elements, Body body) {
    for (size_t at = 0; at < elements; at += kTile) body(at, elements - at < kTile ? elements - at : kTile);
  }

  static void encode(const CodecOptions&, const CodecKey&, const float* source, size_t elements,
                     uint8_t* wire) {
    if (elements * kBytes < kStreamBytes) return Run::encode(source, elements, wire);
    alignas(64) uint8_t tile[kTile * kBytes];
    each_tile(
        elements, [&](size_t at, size_t count) __attribute__((always_inline)) {
          Run::encode(source + at, count, tile);
          stream_out(wire + at * kBytes, tile, count * kBytes);
        });
    stream_end();
  }
  static void decode(const CodecOptions&, const CodecKey&, const uint8_t* wire, size_t elements,
                     float* target) {
    if (elements * sizeof(float) < kStreamBytes) return Run::decode(wire, elements, target);
    alignas(64) float tile[kTile];
    each_tile(
        elements, [&](size_t at, size_t count) __attribute__((always_inline)) {
          Run::decode(wire + at * kBytes, count, tile);
          stream_out(reinterpret_cast<uint8_t*>(target + at), reinterpret_cast<const uint8_t*>(tile),
                     count * 4);
        });
    stream_end();
  }
  // Not inlined into mean(): gcc would interleave the ranks there and give up vectorizing.
  __attribute__((noinline)) static void decode_add(const CodecOptions&, const CodecKey&, const uint8_t* wire,
                                                   size_t elements, float* target) {
    Run::decode_add(wire, elements, target);
  }
  static void decode_add_encode(const CodecOptions&, const CodecKey&, const CodecKey&, const uint8_t* wire,
                                const float* source, size_t elements, uint8_t* result) {
    alignas(64) float tile[kTile];
    each_tile(
        elements, [&](size_t at, size_t count) __attribute__((always_inline)) {
          memcpy(tile, source + at, count * 4);
          Run::decode_add(wire + at * kBytes, count, tile);
          Run::encode(tile, count, result + at * kBytes);
        });
  }
  // Sums by rank, a tile at a time so that the sums stay in the nearest cache.
  static void mean(const CodecOptions& options, const CodecKey& key, const uint8_t* const* wires,
                   uint32_t ranks, size_t elements, uint8_t* wire) {
    alignas(64) float sums[kTile];
    const float divisor = static_cast<float>(ranks);
    each_tile(
        elements, [&](size_t at, size_t count) __attribute__((always_inline)) {
          Run::decode(wires[0] + at * kBytes, count, sums);
          for (uint32_t rank = 1; rank < ranks; rank++)
            decode_add(options, key, wires[rank] + at * kBytes, count, sums);
          for (size_t i = 0; i < count; i++) sums[i] = exact::canonical(exact::div(sums[i], divisor));
          Run::encode(sums, count, wire + at * kBytes);
        });
  }
};

template <class Codec>
constexpr CodecLoops elementwise_loops() {
  using Each = ElementwiseLoops<Codec>;
  return {Each::encode, Each::decode, Each::decode_add, Each::decode_add_encode,
          Each::mean,   nullptr,      nullptr,          nullptr};
}

}  // namespace
}  // namespace gradmesh::GM_ISA
