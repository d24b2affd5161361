// The loops of int8_block. Every function takes a block's element count; whole blocks pass the constant 256,
// so that the compiler unrolls them. Only loops.cpp includes this, after elementwise.h.
#pragma once
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "codec/int8_block.h"
#include "codec/int8_block_mean.h"
#include "codec/isa/elementwise.h"

namespace gradmesh::GM_ISA {
namespace {

using codecs::int8_block;
using codecs::int8_block_mean;
using codecs::Wide;
constexpr size_t kBlock = int8_block::kBlock;

HD size_t blocks_of(size_t elements) { return elements / kBlock + (elements % kBlock != 0); }
HD void write_constant(uint8_t* byte, int8_t* q, size_t count, uint32_t value) {
  *byte = static_cast<uint8_t>(value);
  memset(q, 0, count);
}

HD void encode_block(const float* __restrict source, size_t count, uint8_t* byte, int8_t* __restrict q) {
  int32_t largest = 0;
  for (size_t i = 0; i < count; i++) {
    const int32_t magnitude = int8_block::magnitude(source[i]);
    largest = magnitude > largest ? magnitude : largest;
  }
  const uint32_t scale = int8_block::scale_byte(largest);
  if (scale == int8_block::kNanByte || scale == 0) return write_constant(byte, q, count, scale);
  *byte = static_cast<uint8_t>(scale);
  const float inverse = int8_block::inverse_scale(scale);
  for (size_t i = 0; i < count; i++) q[i] = int8_block::quantize(source[i], inverse);
}

HD void decode_block(const int8_t* __restrict q, size_t count, uint32_t byte, float* __restrict target) {
  const float scale = int8_block::scale(byte);
  for (size_t i = 0; i < count; i++) target[i] = int8_block::decode(q[i], byte, scale);
}

HD void decode_add_block(const int8_t* __restrict q, size_t count, uint32_t byte, float* __restrict target) {
  const float scale = int8_block::scale(byte);
  for (size_t i = 0; i < count; i++)
    target[i] = exact::canonical(exact::add(target[i], int8_block::decode(q[i], byte, scale)));
}

// One block of all contributions.
struct Contributions {
  const uint8_t* const* wires;
  uint32_t ranks;
  size_t scale_at, q_at, count;
  HD uint32_t byte(const Contributions& c, uint32_t rank) { return c.wires[rank][c.scale_at]; }
  HD const int8_t* q(const Contributions& c, uint32_t rank) {
    return reinterpret_cast<const int8_t*>(c.wires[rank] + c.q_at);
  }
};

HD bool all_zero(const int8_t* q, size_t count) {
  uint8_t any = 0;
  for (size_t i = 0; i < count; i++) any = static_cast<uint8_t>(any | static_cast<uint8_t>(q[i]));
  return any == 0;
}

// The smallest and largest scale byte of the contributions that are not zero blocks; least > most when there
// is none. False where only the slow path gives the mean.
HD bool scale_range(const Contributions& c, uint32_t* least, uint32_t* most) {
  *least = 256, *most = 0;
  for (uint32_t rank = 0; rank < c.ranks; rank++) {
    const uint32_t byte = Contributions::byte(c, rank);
    if (byte > int8_block_mean::kSafeByte) return false;
    if (byte == 0) {
      if (!all_zero(Contributions::q(c, rank), c.count)) return false;
      continue;
    }
    *least = byte < *least ? byte : *least;
    *most = byte > *most ? byte : *most;
  }
  return *least > *most || int8_block_mean::fits(c.ranks, *most - *least);
}

HD void mean_block_fast(const Contributions& c, size_t count, uint32_t least, uint8_t* byte,
                        int8_t* __restrict q) {
  alignas(64) int32_t sums[kBlock];
  memset(sums, 0, sizeof sums);
  for (uint32_t rank = 0; rank < c.ranks; rank++) {
    const uint32_t scale = Contributions::byte(c, rank);
    if (scale == 0) continue;
    const int8_t* __restrict from = Contributions::q(c, rank);
    const int shift = static_cast<int>(scale - least);
    for (size_t i = 0; i < count; i++) sums[i] += static_cast<int32_t>(from[i]) << shift;
  }
  int32_t largest = 0;
  for (size_t i = 0; i < count; i++) {
    const int32_t magnitude = sums[i] < 0 ? -sums[i] : sums[i];
    largest = magnitude > largest ? magnitude : largest;
  }
  if (largest == 0) return write_constant(byte, q, count, 0);
  int shift = int8_block_mean::shift_of(static_cast<uint64_t>(largest), c.ranks);
  const int shift_least = static_cast<int>(int8_block::kLeastByte) - static_cast<int>(least);
  shift = shift < shift_least ? shift_least : shift;
  *byte = static_cast<uint8_t>(static_cast<int>(least) + shift);
  const double divisor = static_cast<double>(c.ranks) * int8_block_mean::power(shift);
  for (size_t i = 0; i < count; i++) q[i] = int8_block_mean::divide(sums[i], divisor);
}

// Whether every element of a contribution is; only large scales need a look at the elements.
HD bool all_finite(const int8_t* q, size_t count, uint32_t byte) {
  if (byte <= int8_block_mean::kSafeByte) return true;
  uint32_t bad = 0;
  for (size_t i = 0; i < count; i++) bad |= int8_block_mean::finite(q[i], byte) ? 0u : 1u;
  return bad == 0;
}

// Not inlined: rare, and long.
__attribute__((noinline)) void mean_block_slow(const Contributions& c, uint8_t* byte, int8_t* q) {
  alignas(64) int64_t limbs[int8_block_mean::kLimbs][kBlock];
  memset(limbs, 0, sizeof limbs);
  for (uint32_t rank = 0; rank < c.ranks; rank++) {
    const uint32_t scale = Contributions::byte(c, rank);
    const int8_t* __restrict from = Contributions::q(c, rank);
    if (!all_finite(from, c.count, scale)) return write_constant(byte, q, c.count, int8_block_mean::kNanByte);
    int64_t* __restrict limb = limbs[int8_block_mean::limb_of(scale)];
    for (size_t i = 0; i < c.count; i++) limb[i] += int8_block_mean::limb_term(from[i], scale);
  }
  Wide sums[kBlock];
  Wide largest = Wide::zero();
  for (size_t i = 0; i < c.count; i++) {
    sums[i] = int8_block_mean::sum_of(&limbs[0][i], kBlock);
    const Wide magnitude = Wide::magnitude(sums[i]);
    if (!Wide::at_most(magnitude, largest)) largest = magnitude;
  }
  if (Wide::at_most(largest, Wide::zero())) return write_constant(byte, q, c.count, 0);
  const uint32_t scale = int8_block_mean::wide_byte(largest, c.ranks);
  *byte = static_cast<uint8_t>(scale);
  for (size_t i = 0; i < c.count; i++) q[i] = int8_block_mean::wide_divide(sums[i], c.ranks, scale);
}

HD void mean_block(const Contributions& c, size_t count, uint8_t* byte, int8_t* q) {
  uint32_t least = 0, most = 0;
  if (!scale_range(c, &least, &most)) return mean_block_slow(c, byte, q);
  if (least > most) return write_constant(byte, q, count, 0);
  mean_block_fast(c, count, least, byte, q);
}

template <>
struct Loops<int8_block> {
  static void encode(const float* source, size_t elements, uint8_t* wire) {
    const size_t blocks = blocks_of(elements), whole = elements / kBlock;
    int8_t* q = reinterpret_cast<int8_t*>(wire + blocks);
    for (size_t b = 0; b < whole; b++) encode_block(source + b * kBlock, kBlock, wire + b, q + b * kBlock);
    if (whole < blocks)
      encode_block(source + whole * kBlock, elements % kBlock, wire + whole, q + whole * kBlock);
  }
  static void decode(const uint8_t* wire, size_t elements, float* target) {
    const size_t blocks = blocks_of(elements), whole = elements / kBlock;
    const int8_t* q = reinterpret_cast<const int8_t*>(wire + blocks);
    for (size_t b = 0; b < whole; b++) decode_block(q + b * kBlock, kBlock, wire[b], target + b * kBlock);
    if (whole < blocks)
      decode_block(q + whole * kBlock, elements % kBlock, wire[whole], target + whole * kBlock);
  }
  static void decode_add(const uint8_t* wire, size_t elements, float* target) {
    const size_t blocks = blocks_of(elements), whole = elements / kBlock;
    const int8_t* q = reinterpret_cast<const int8_t*>(wire + blocks);
    for (size_t b = 0; b < whole; b++) decode_add_block(q + b * kBlock, kBlock, wire[b], target + b * kBlock);
    if (whole < blocks)
      decode_add_block(q + whole * kBlock, elements % kBlock, wire[whole], target + whole * kBlock);
  }
  static void mean(const uint8_t* const* wires, uint32_t ranks, size_t elements, uint8_t* wire) {
    const size_t blocks = blocks_of(elements), whole = elements / kBlock;
    for (size_t b = 0; b < blocks; b++) {
      const size_t count = b < whole ? kBlock : elements % kBlock;
      const Contributions c{wires, ranks, b, blocks + b * kBlock, count};
      int8_t* q = reinterpret_cast<int8_t*>(wire + blocks + b * kBlock);
      if (b < whole) {
        mean_block(c, kBlock, wire + b, q);
      } else {
        mean_block(c, count, wire + b, q);
      }
    }
  }
};

}  // namespace
}  // namespace gradmesh::GM_ISA
