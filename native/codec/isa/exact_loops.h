// The loops of codecs with exact means in power-of-two scales (exact_block.h), on top of packed.h's. Only
// files of isa/ include this.
#pragma once
#include "codec/exact_block.h"
#include "codec/isa/odd_means.h"
#include "codec/isa/packed.h"

namespace gradmesh::GM_ISA {
namespace {

template <class Kernel>
struct ExactLoops : PackedLoops<Kernel> {
  using Packed = PackedLoops<Kernel>;
  using Codec = typename Kernel::Codec;
  using Exact = codecs::ExactBlock<Codec>;
  using Sum = typename Exact::Sum;
  static constexpr size_t kChunk =
      32;  // elements taken at a time into accumulators; a header has as many flags

  HD bool all_zero(const uint8_t* codes, size_t bytes) {
    uint8_t any = 0;
    for (size_t i = 0; i < bytes; i++) any = static_cast<uint8_t>(any | codes[i]);
    return any == 0;
  }

  // Adds a chunk of a block's elements to its accumulators: `limbs` is the chunk's place in row 0.
  HD void accumulate_chunk(const uint8_t* codes, uint32_t byte, size_t count, uint64_t* header,
                           int64_t* limbs, size_t stride) {
    if (byte == codecs::kNanByte) {
      *header |= Sum::kNan;
      return;
    }
    alignas(64) int64_t terms[kChunk];
    int64_t any = 0;
    uint32_t bad = 0, not_negative = 0;
    for (size_t i = 0; i < count; i++) {
      const uint32_t code = code_at<Codec>(codes, i);
      bad |= Codec::special(code) ? 1u : 0u;
      if (Codec::kSignedZero) not_negative |= (code & Codec::kSign ? 0u : 1u) << i;
    }
    for (size_t i = 0; i < count; i++) {
      terms[i] = Codec::term(code_at<Codec>(codes, i));
      any |= terms[i];
    }
    // Only large scales, a stranger's, need a look at each element.
    if (!Exact::finite(int64_t{1} << Codec::kTermBits, byte))
      for (size_t i = 0; i < count; i++) bad |= Exact::finite(terms[i], byte) ? 0u : 1u;
    *header |= Exact::not_negative(0) * not_negative;
    if (bad != 0) *header |= Sum::kNan;
    if (bad != 0 || any == 0) return;
    const uint32_t limb = Sum::limb_of(byte);
    for (uint32_t part = 0; part < (Sum::kSplit ? 2u : 1u); part++) {
      int64_t* const row = limbs + (limb + part) * stride;
      for (size_t i = 0; i < count; i++)
        row[i] += Sum::part(Sum::shifted(terms[i], byte), static_cast<int>(part));
    }
  }
  // Clears what a block's rows hold before their first use. A block of zeros, as encoders write it, uses
  // none.
  HD void begin_rows(const uint8_t* codes, uint32_t byte, size_t count, uint64_t* header, int64_t* limbs,
                     size_t stride) {
    if (byte == codecs::kNanByte || (byte == 0 && all_zero(codes, Codec::code_bytes(count)))) return;
    const uint64_t needed = Sum::limbs_of(byte) & ~*header;
    for (uint32_t limb = 0; limb < Sum::kLimbs; limb++)
      if (needed >> limb & 1) memset(limbs + limb * stride, 0, count * 8);
    *header |= needed;
  }

  // The mean by accumulators on the stack, rounded to odd. Not inlined: rare, and long.
  __attribute__((noinline)) static void mean_slow(const uint8_t* const* wires, uint32_t ranks,
                                                  size_t codes_at, size_t scale_at, size_t count,
                                                  float* mean) {
    alignas(64) int64_t limbs[Sum::kLimbs * kChunk];
    for (size_t at = 0; at < count; at += kChunk) {
      const size_t chunk = count - at < kChunk ? count - at : kChunk;
      uint64_t header = 0;
      for (uint32_t rank = 0; rank < ranks; rank++) {
        const uint32_t byte = wires[rank][scale_at];
        const uint8_t* const codes = wires[rank] + codes_at + at * Codec::kBits / 8;
        begin_rows(codes, byte, chunk, &header, limbs, kChunk);
        accumulate_chunk(codes, byte, chunk, &header, limbs, kChunk);
      }
      finish_chunk(header, limbs, kChunk, chunk, ranks, mean + at);
    }
  }
  HD void finish_chunk(uint64_t header, const int64_t* limbs, size_t stride, size_t count, uint32_t ranks,
                       float* mean) {
    if (header & Sum::kNan) return fill(mean, count, exact::kNan);
    if (finish_doubles(header, limbs, stride, count, ranks, mean)) return;
    for (size_t i = 0; i < count; i++)
      mean[i] =
          exact::from_bits(Exact::mean_bits(limbs + i, stride, header, static_cast<uint32_t>(i), ranks));
  }
  // The usual case: one row, or two neighbours, and sums that doubles hold. False where they don't.
  HD bool finish_doubles(uint64_t header, const int64_t* __restrict limbs, size_t stride, size_t count,
                         uint32_t ranks, float* __restrict mean) {
    const uint64_t rows = header & ((uint64_t{1} << Sum::kLimbs) - 1);
    const int first = rows == 0 ? 0 : __builtin_ctzll(rows);
    if (ranks > Sum::kContributionsMost || rows == 0 || rows >> first > 3) return false;
    const int64_t* const low = limbs + static_cast<size_t>(first) * stride;
    const bool two = rows >> first == 3;
    const int64_t* const high = two ? low + stride : low;
    const double unit = Exact::power(32 * first + Exact::kExponent);
    alignas(64) double sums[kTile];
    int64_t lost = 0;
    for (size_t i = 0; i < count; i++) {
      const double lower = static_cast<double>(low[i]), upper = two ? static_cast<double>(high[i]) : 0.0;
      lost |= (static_cast<int64_t>(lower) ^ low[i]) | (static_cast<int64_t>(upper) ^ (two ? high[i] : 0));
      const double shifted = upper * 0x1p32, sum = shifted + lower;
      // What the addition rounded away (Knuth's two-sum): nothing, or the slow way must do it.
      const double back = sum - shifted, error = (shifted - (sum - back)) + (lower - back);
      lost |= error == 0.0 ? 0 : 1;
      const bool minus = Codec::kSignedZero && !(header >> (Exact::kNotNegativeBit + i % kChunk) & 1);
      sums[i] = sum == 0.0 ? (minus ? -0.0 : 0.0) : sum * unit;
    }
    if (lost != 0) return false;
    odd_means(sums, count, ranks, mean);
    return true;
  }

  // Whether the contributions' scales are near enough for doubles.
  HD bool fits(const uint8_t* const* wires, uint32_t ranks, size_t codes_at, size_t scale_at, size_t count) {
    uint32_t least = 255, most = 0;
    for (uint32_t rank = 0; rank < ranks; rank++) {
      const uint32_t byte = wires[rank][scale_at];
      if (byte == codecs::kNanByte) continue;
      if (byte == 0 && all_zero(wires[rank] + codes_at, Codec::code_bytes(count))) continue;
      least = byte < least ? byte : least;
      most = byte > most ? byte : most;
    }
    return Exact::fits(ranks, least < most ? most - least : 0);
  }
  HD void mean_fast(const uint8_t* const* wires, uint32_t ranks, size_t codes_at, size_t scale_at,
                    size_t count, float* __restrict mean) {
    alignas(64) double sums[kTile];
    begin_sums(sums, count);
    for (uint32_t rank = 0; rank < ranks; rank++) {
      Kernel::decode(wires[rank] + codes_at, wires[rank] + scale_at, count, mean);
      add_to_sums(mean, count, sums);
    }
    odd_means(sums, count, ranks, mean);
  }

  // Calls body(at, count, codes_at, scale_at) for each block.
  template <class Body>
  HD void each_block(const CodecOptions& options, size_t elements, Body body) {
    const size_t block = Codec::block(options);
    for (size_t at = 0; at < elements; at += block)
      body(at, elements - at < block ? elements - at : block, at * Codec::kBits / 8,
           Packed::scale_at(options, at, elements));
  }
  static void mean(const CodecOptions& options, const CodecKey&, const uint8_t* const* wires, uint32_t ranks,
                   size_t elements, uint8_t* wire) {
    alignas(64) float mean[kTile];
    each_block(
        options,
        elements, [&](size_t, size_t count, size_t codes_at, size_t scale_at) __attribute__((always_inline)) {
          if (!fits(wires, ranks, codes_at, scale_at, count)) {
            mean_slow(wires, ranks, codes_at, scale_at, count, mean);
          } else if (count == 32) {
            mean_fast(wires, ranks, codes_at, scale_at, 32, mean);
          } else {
            mean_fast(wires, ranks, codes_at, scale_at, count, mean);
          }
          Kernel::encode(mean, count, wire + codes_at, wire + scale_at);
        });
  }

  static size_t sum_bytes(const CodecOptions& options, size_t elements) {
    return Sum::bytes(elements, Codec::block(options));
  }
  static void accumulate(const CodecOptions& options, const CodecKey&, const uint8_t* wire, size_t elements,
                         uint8_t* sum) {
    const size_t block = Codec::block(options), stride = Sum::row_bytes(elements) / 8;
    uint64_t* const headers = reinterpret_cast<uint64_t*>(sum);
    each_block(
        options, elements,
        [&](size_t at, size_t count, size_t codes_at, size_t scale_at) __attribute__((always_inline)) {
          int64_t* const limbs = reinterpret_cast<int64_t*>(sum + Sum::row_at(elements, block, at));
          uint64_t* const header = headers + at / block;
          begin_rows(wire + codes_at, wire[scale_at], count, header, limbs, stride);
          for (size_t i = 0; i < count; i += kChunk)
            accumulate_chunk(wire + codes_at + i * Codec::kBits / 8, wire[scale_at],
                             count - i < kChunk ? count - i : kChunk, header, limbs + i, stride);
        });
  }
  static void finish(const CodecOptions& options, const CodecKey&, const uint8_t* sum, uint32_t ranks,
                     size_t elements, uint8_t* wire) {
    const size_t block = Codec::block(options), stride = Sum::row_bytes(elements) / 8;
    const uint64_t* const headers = reinterpret_cast<const uint64_t*>(sum);
    alignas(64) float mean[kTile];
    each_block(
        options, elements,
        [&](size_t at, size_t count, size_t codes_at, size_t scale_at) __attribute__((always_inline)) {
          const int64_t* const limbs =
              reinterpret_cast<const int64_t*>(sum + Sum::row_at(elements, block, at));
          finish_chunk(headers[at / block], limbs, stride, count, ranks, mean);
          Kernel::encode(mean, count, wire + codes_at, wire + scale_at);
        });
  }
};

template <class Kernel>
constexpr CodecLoops exact_loops() {
  using Each = ExactLoops<Kernel>;
  return {Each::encode, Each::decode,    Each::decode_add, Each::decode_add_encode,
          Each::mean,   Each::sum_bytes, Each::accumulate, Each::finish};
}

}  // namespace
}  // namespace gradmesh::GM_ISA
