// The exact mean of int8_block, int4_block or int2_block contributions, block by block: int_block_mean.h in
// loops. Only files of isa/ include this.
#pragma once
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "codec/int_block_mean.h"
#include "codec/isa/fixed_sum_rows.h"
#include "codec/isa/int_block_codes.h"

namespace gradmesh::GM_ISA {
namespace {

// One block of all contributions.
struct Contributions {
  const uint8_t* const* wires;
  uint32_t ranks;
  size_t scale_at, q_at, count;
  HD uint32_t byte(const Contributions& c, uint32_t rank) { return c.wires[rank][c.scale_at]; }
  HD const uint8_t* q(const Contributions& c, uint32_t rank) { return c.wires[rank] + c.q_at; }
};

// Where a block's mean goes, and what rounds it: half-words, or null.
struct Coded {
  uint8_t *scale_at, *q;
  const uint16_t* halves;
  HD int extra(const Coded& to) { return to.halves == nullptr ? 0 : 16; }
};

template <int kBits>
struct IntSums {
  using Block = codecs::IntBlock<kBits>;
  using Mean = codecs::IntBlockMean<kBits>;
  using Sum = typename Mean::Sum;
  using Wide = codecs::Wide;
  static constexpr size_t kTile = 256;  // elements of the slow path at a time, so that its sums fit the stack

  HD void write_constant(const Coded& to, size_t count, uint32_t byte) {
    *to.scale_at = static_cast<uint8_t>(byte);
    memset(to.q, 0, Block::q_bytes(count));
  }
  // q of a quotient that has `extra` more bits.
  HD int8_t rounded(int32_t quotient, const uint16_t* halves, size_t i) {
    return static_cast<int8_t>(halves == nullptr ? quotient : Block::drawn(quotient, halves[i]));
  }
  HD bool all_zero(const uint8_t* q, size_t count) {  // spare bits of a last byte are not elements
    uint8_t any = 0;
    for (size_t i = 0; i < count / Block::kPerByte; i++) any = static_cast<uint8_t>(any | q[i]);
    for (size_t i = count / Block::kPerByte * Block::kPerByte; i < count; i++) any |= Block::load(q, i) != 0;
    return any == 0;
  }
  HD bool all_finite(const uint8_t* q, size_t count, uint32_t byte) {
    if (byte <= Mean::kSafeByte) return true;
    uint32_t bad = 0;
    for (size_t i = 0; i < count; i++) bad |= Mean::finite(Block::load(q, i), byte) ? 0u : 1u;
    return bad == 0;
  }

  template <class Integer>
  HD void divide(const Integer* __restrict sums, size_t count, double divisor,
                 const uint16_t* __restrict halves, int8_t* __restrict q) {
    using codecs::fixed_sum::divide;
    if (halves == nullptr)
      for (size_t i = 0; i < count; i++)
        q[i] = static_cast<int8_t>(divide(static_cast<double>(sums[i]), divisor));
    else
      for (size_t i = 0; i < count; i++)
        q[i] = static_cast<int8_t>(Block::drawn(divide(static_cast<double>(sums[i]), divisor), halves[i]));
  }
  // sums[count] in units of 2^(unit - 127), not all 0 -> the block's code.
  template <class Integer>
  HD void code_small(const Integer* __restrict sums, size_t count, uint64_t largest, int unit, uint32_t ranks,
                     const Coded& to) {
    const auto division = Mean::division(largest, unit, ranks, Coded::extra(to));
    *to.scale_at = static_cast<uint8_t>(division.byte);
    alignas(64) int8_t whole[kBlockMost];
    divide(sums, count, division.divisor, to.halves, whole);
    pack<kBits>(whole, count, to.q);
  }
  template <class Integer>
  HD uint64_t largest_of(const Integer* sums, size_t count) {
    Integer largest = 0;
    for (size_t i = 0; i < count; i++) {
      const Integer magnitude = sums[i] < 0 ? -sums[i] : sums[i];
      largest = magnitude > largest ? magnitude : largest;
    }
    return static_cast<uint64_t>(largest);
  }

  // The smallest and largest scale byte of the contributions that are not zero blocks; least > most when
  // there is none. False where only the slow path gives the mean.
  HD bool scale_range(const Contributions& c, uint32_t* least, uint32_t* most) {
    *least = 256, *most = 0;
    for (uint32_t rank = 0; rank < c.ranks; rank++) {
      const uint32_t byte = Contributions::byte(c, rank);
      if (byte > Mean::kSafeByte) return false;
      if (byte == 0) {
        if (!all_zero(Contributions::q(c, rank), c.count)) return false;
        continue;
      }
      *least = byte < *least ? byte : *least;
      *most = byte > *most ? byte : *most;
    }
    return *least > *most || Mean::fits(c.ranks, *most - *least);
  }
  // sums[i] += q[i] * 2^shift
  HD void add_shifted(const uint8_t* q, size_t count, int shift, int32_t* __restrict sums) {
#if GM_ISA_avx512
    if (count % 16 == 0) {
      for (size_t i = 0; i < count; i += 16) {
        const __m512i term =
            _mm512_sll_epi32(integers16<kBits>(q + i / Block::kPerByte), _mm_cvtsi32_si128(shift));
        _mm512_storeu_si512(sums + i, _mm512_add_epi32(_mm512_loadu_si512(sums + i), term));
      }
      return;
    }
#endif
    alignas(64) int8_t whole[kBlockMost];
    unpack<kBits>(q, count, whole);
    for (size_t i = 0; i < count; i++) sums[i] += static_cast<int32_t>(whole[i]) * (1 << shift);
  }
  HD void mean_fast(const Contributions& c, uint32_t least, const Coded& to) {
    alignas(64) int32_t sums[kBlockMost];
    memset(sums, 0, c.count * sizeof *sums);
    for (uint32_t rank = 0; rank < c.ranks; rank++) {
      const uint32_t byte = Contributions::byte(c, rank);
      if (byte != 0) add_shifted(Contributions::q(c, rank), c.count, static_cast<int>(byte - least), sums);
    }
    const uint64_t largest = largest_of(sums, c.count);
    if (largest == 0) return write_constant(to, c.count, 0);
    code_small(sums, c.count, largest, static_cast<int>(least), c.ranks, to);
  }

  // The exact sums of elements from .. from + count of the block; count <= kTile. False: a contribution is
  // not finite.
  static bool tile_sums(const Contributions& c, size_t from, size_t count, Wide* sums) {
    alignas(64) int64_t limbs[Sum::kLimbs][kTile];
    int8_t whole[kTile];
    uint64_t used = 0;
    const SumRows<Sum> rows = {&used, limbs[0], kTile};
    for (uint32_t rank = 0; rank < c.ranks; rank++) {
      const uint32_t byte = Contributions::byte(c, rank);
      const uint8_t* q = Contributions::q(c, rank) + from / Block::kPerByte;
      if (!all_finite(q, count, byte)) return false;
      unpack<kBits>(q, count, whole);
      add_terms(
          rows, count, byte, [&](size_t i) __attribute__((always_inline)) { return int64_t{whole[i]}; });
    }
    for (size_t i = 0; i < count; i++) sums[i] = Sum::sum_of(&limbs[0][i], kTile, used);
    return true;
  }
  HD Wide largest_of(const Wide* sums, size_t count, Wide largest) {
    for (size_t i = 0; i < count; i++) {
      const Wide magnitude = Wide::magnitude(sums[i]);
      if (!Wide::at_most(magnitude, largest)) largest = magnitude;
    }
    return largest;
  }
  // The code of a block whose sums tile(from, count, sums) gives, kTile at a time; false where there are
  // none.
  template <class Tile>
  HD void code_wide(size_t count, uint32_t ranks, const Coded& to, Tile tile) {
    Wide sums[kTile];
    Wide largest = Wide::zero();
    for (size_t from = 0; from < count; from += kTile) {
      const size_t some = count - from < kTile ? count - from : kTile;
      if (!tile(from, some, sums)) return write_constant(to, count, Block::kNanByte);
      largest = largest_of(sums, some, largest);
    }
    if (Wide::at_most(largest, Wide::zero())) return write_constant(to, count, 0);
    const uint32_t byte = Mean::byte_of(largest, ranks);
    *to.scale_at = static_cast<uint8_t>(byte);
    for (size_t from = 0; from < count; from += kTile) {
      const size_t some = count - from < kTile ? count - from : kTile;
      if (count > kTile) tile(from, some, sums);
      int8_t whole[kTile];
      for (size_t i = 0; i < some; i++)
        whole[i] = rounded(Mean::divide(sums[i], ranks, byte, Coded::extra(to)), to.halves, from + i);
      pack<kBits>(whole, some, to.q + from / Block::kPerByte);
    }
  }
  // Not inlined: rare, and long.
  __attribute__((noinline)) static void mean_slow(const Contributions& c, const Coded& to) {
    code_wide(c.count, c.ranks, to,
              [&](size_t from, size_t count, Wide* sums) { return tile_sums(c, from, count, sums); });
  }
  HD void mean(const Contributions& c, const Coded& to) {
    uint32_t least = 0, most = 0;
    if (!scale_range(c, &least, &most)) return mean_slow(c, to);
    if (least > most) return write_constant(to, c.count, 0);
    mean_fast(c, least, to);
  }

  HD void accumulate(const uint8_t* q, size_t count, uint32_t byte, const SumRows<Sum>& rows) {
    if (!all_finite(q, count, byte)) return mark_nan(rows);
    if (byte == 0 && all_zero(q, count)) return;
    alignas(64) int8_t whole[kBlockMost];
    unpack<kBits>(q, count, whole);
    add_terms(
        rows, count, byte, [&](size_t i) __attribute__((always_inline)) { return int64_t{whole[i]}; });
  }
  // Sums that one row holds, or two neighbours whose upper one is small: then they fit an int64 and a double.
  HD bool finish_small(const SumRows<const Sum>& rows, size_t count, uint32_t ranks, const Coded& to) {
    const int limb = __builtin_ctzll(*rows.header);
    const int64_t *low = rows.first + static_cast<size_t>(limb) * rows.stride, *high = low + rows.stride;
    const uint64_t others = *rows.header >> limb;
    if (others != 1 && others != 3) return false;
    alignas(64) int64_t sums[kBlockMost];
    if (others == 3) {
      const uint64_t most = static_cast<uint64_t>(codecs::fixed_sum::kSumMost) / 2;
      if (largest_of(high, count) > most >> Sum::kLimbBits || largest_of(low, count) > most) return false;
      for (size_t i = 0; i < count; i++) sums[i] = high[i] * (int64_t{1} << Sum::kLimbBits) + low[i];
      low = sums;
    }
    const uint64_t largest = largest_of(low, count);
    if (largest > static_cast<uint64_t>(codecs::fixed_sum::kSumMost)) return false;
    if (largest == 0)
      write_constant(to, count, 0);
    else
      code_small(low, count, largest, limb * Sum::kLimbBits, ranks, to);
    return true;
  }
  __attribute__((noinline)) static void finish_slow(const SumRows<const Sum>& rows, size_t count,
                                                    uint32_t ranks, const Coded& to) {
    code_wide(count, ranks, to, [&](size_t from, size_t some, Wide* sums) {
      for (size_t i = 0; i < some; i++)
        sums[i] = Sum::sum_of(rows.first + from + i, rows.stride, *rows.header);
      return true;
    });
  }
  HD void finish(const SumRows<const Sum>& rows, size_t count, uint32_t ranks, const Coded& to) {
    if (*rows.header & Sum::kNan) return write_constant(to, count, Block::kNanByte);
    if (*rows.header == 0) return write_constant(to, count, 0);
    if (!finish_small(rows, count, ranks, to)) finish_slow(rows, count, ranks, to);
  }
};

}  // namespace
}  // namespace gradmesh::GM_ISA
