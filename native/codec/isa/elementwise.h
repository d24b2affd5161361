// The loops of every codec that codes each element on its own (kElementwise). Only loops.cpp includes this.
#pragma once
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "codec/bf16.h"
#include "codec/fp32.h"
#include "numeric/convert.h"

namespace gradmesh::GM_ISA {
namespace {  // internal linkage: an ISA object may share no symbol with another

static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "wires are little-endian");

template <class Codec>
struct Loops {
  using Wire = typename Codec::Wire;

  // Wires have no alignment, so their words are copied in and out; the compiler makes single loads of it.
  HD Wire load(const uint8_t* wire, size_t i) {
    Wire word;
    memcpy(&word, wire + i * sizeof(Wire), sizeof(Wire));
    return word;
  }
  HD void store(uint8_t* wire, size_t i, Wire word) { memcpy(wire + i * sizeof(Wire), &word, sizeof(Wire)); }
  HD float decoded(const uint8_t* wire, size_t i) { return exact::from_bits(Codec::decode(load(wire, i))); }

  static void encode(const float* __restrict source, size_t elements, uint8_t* __restrict wire) {
    for (size_t i = 0; i < elements; i++) {
      uint32_t bits;
      memcpy(&bits, source + i, 4);
      store(wire, i, Codec::encode(bits));
    }
  }
  static void decode(const uint8_t* __restrict wire, size_t elements, float* __restrict target) {
    for (size_t i = 0; i < elements; i++) {
      const uint32_t bits = Codec::decode(load(wire, i));
      memcpy(target + i, &bits, 4);
    }
  }
  // Not inlined into mean(): gcc would interleave the ranks there and give up vectorizing.
  __attribute__((noinline)) static void decode_add(const uint8_t* __restrict wire, size_t elements,
                                                   float* __restrict target) {
    for (size_t i = 0; i < elements; i++)
      target[i] = exact::canonical(exact::add(target[i], decoded(wire, i)));
  }
  // Sums by rank, a tile at a time so that the sums stay in the nearest cache.
  static void mean(const uint8_t* const* wires, uint32_t ranks, size_t elements, uint8_t* wire) {
    constexpr size_t kTile = 1024;
    float sums[kTile];
    for (size_t at = 0; at < elements; at += kTile) {
      const size_t count = elements - at < kTile ? elements - at : kTile;
      decode(wires[0] + at * sizeof(Wire), count, sums);
      for (uint32_t rank = 1; rank < ranks; rank++) decode_add(wires[rank] + at * sizeof(Wire), count, sums);
      const float divisor = static_cast<float>(ranks);
      for (size_t i = 0; i < count; i++) sums[i] = exact::canonical(exact::div(sums[i], divisor));
      encode(sums, count, wire + at * sizeof(Wire));
    }
  }
};

}  // namespace
}  // namespace gradmesh::GM_ISA
