// CRC-32C three ways. By folding (V. Gopal et al., "Fast CRC computation for generic polynomials using
// PCLMULQDQ instruction", Intel 2009): blocks of a message are multiplied by x^d mod P and added to those d
// bits further on, until so few bytes are left that have the same CRC; those, and short messages, by the
// instruction of SSE 4.2. Else by table (slicing-by-8).
#include "transport/crc32c.h"

#include <array>
#include <bit>
#include <cstring>

#ifdef GM_X86
#include <immintrin.h>
#endif

namespace gradmesh {
namespace {

constexpr uint32_t kPolynomial = 0x82f63b78;  // 0x1edc6f41 with its bits reversed
using Tables = std::array<std::array<uint32_t, 256>, 8>;

// x times a polynomial mod P, bits reversed.
constexpr uint32_t times_x(uint32_t value) { return (value >> 1) ^ ((value & 1) != 0 ? kPolynomial : 0); }

constexpr Tables make_tables() {
  Tables tables{};
  for (uint32_t byte = 0; byte < 256; ++byte) {
    uint32_t crc = byte;
    for (int bit = 0; bit < 8; ++bit) crc = times_x(crc);
    tables[0][byte] = crc;
  }
  for (uint32_t byte = 0; byte < 256; ++byte)
    for (size_t slice = 1; slice < 8; ++slice) {
      const uint32_t before = tables[slice - 1][byte];
      tables[slice][byte] = (before >> 8) ^ tables[0][before & 0xff];
    }
  return tables;
}
constexpr Tables kTables = make_tables();
static_assert(std::endian::native == std::endian::little,
              "frames are little endian, and so is every supported CPU");

uint32_t by_table(uint32_t crc, const uint8_t* bytes, size_t size) {
  for (; size >= 8; size -= 8, bytes += 8) {
    uint64_t word;
    std::memcpy(&word, bytes, 8);
    word ^= crc;
    crc = 0;
    for (size_t slice = 0; slice < 8; ++slice) crc ^= kTables[7 - slice][(word >> (8 * slice)) & 0xff];
  }
  for (; size > 0; --size) crc = (crc >> 8) ^ kTables[0][(crc ^ *bytes++) & 0xff];
  return crc;
}

#ifdef GM_X86
__attribute__((target("sse4.2"))) uint32_t by_instruction(uint32_t crc, const uint8_t* bytes, size_t size) {
  uint64_t state = crc;
  for (; size >= 8; size -= 8, bytes += 8) {
    uint64_t word;
    std::memcpy(&word, bytes, 8);
    state = _mm_crc32_u64(state, word);
  }
  uint32_t narrow = static_cast<uint32_t>(state);
  for (; size > 0; --size) narrow = _mm_crc32_u8(narrow, *bytes++);
  return narrow;
}

// x^bits mod P, as a carry-less multiplication of reversed bits wants it.
constexpr int64_t multiplier(int bits) {
  uint32_t power = 0x80000000;  // 1
  for (int bit = 0; bit < bits; ++bit) power = times_x(power);
  return static_cast<int64_t>(uint64_t{power} << 1);
}

// Of 16 bytes that move on by `bits`, the first eight and the last eight.
constexpr int64_t first_half(int bits) { return multiplier(bits + 32); }
constexpr int64_t second_half(int bits) { return multiplier(bits - 32); }

constexpr size_t kNarrowBlock = 8 * 16, kWideBlock = 4 * 64;

// Eight accumulators of 16 bytes. At least one block.
__attribute__((target("pclmul,sse4.2"))) uint32_t by_folding(uint32_t crc, const uint8_t* bytes,
                                                             size_t size) {
  constexpr int kDistance = 8 * kNarrowBlock;
  const __m128i factors = _mm_set_epi64x(second_half(kDistance), first_half(kDistance));
  __m128i sums[8];
  for (int lane = 0; lane < 8; ++lane)
    sums[lane] = _mm_loadu_si128(reinterpret_cast<const __m128i*>(bytes) + lane);
  sums[0] = _mm_xor_si128(sums[0], _mm_cvtsi32_si128(static_cast<int>(crc)));
  for (;;) {
    bytes += kNarrowBlock;
    size -= kNarrowBlock;
    if (size < kNarrowBlock) break;
#pragma GCC unroll 8
    for (int lane = 0; lane < 8; ++lane) {
      const __m128i moved = _mm_xor_si128(_mm_clmulepi64_si128(sums[lane], factors, 0x00),
                                          _mm_clmulepi64_si128(sums[lane], factors, 0x11));
      sums[lane] = _mm_xor_si128(moved, _mm_loadu_si128(reinterpret_cast<const __m128i*>(bytes) + lane));
    }
  }
  uint8_t left[kNarrowBlock];
  std::memcpy(left, sums, sizeof left);
  return by_instruction(by_instruction(0, left, sizeof left), bytes, size);
}

// Four accumulators of 64 bytes. At least one block.
__attribute__((target("vpclmulqdq,avx512f,pclmul,sse4.2"))) uint32_t by_wide_folding(uint32_t crc,
                                                                                     const uint8_t* bytes,
                                                                                     size_t size) {
  constexpr int kDistance = 8 * kWideBlock;
  constexpr int kThreeWayXor = 0x96;
  const int64_t first = first_half(kDistance), second = second_half(kDistance);
  const __m512i factors = _mm512_set_epi64(second, first, second, first, second, first, second, first);
  __m512i sums[4];
  for (int lane = 0; lane < 4; ++lane) sums[lane] = _mm512_loadu_si512(bytes + 64 * lane);
  sums[0] = _mm512_xor_si512(sums[0], _mm512_set_epi64(0, 0, 0, 0, 0, 0, 0, crc));
  for (;;) {
    bytes += kWideBlock;
    size -= kWideBlock;
    if (size < kWideBlock) break;
#pragma GCC unroll 4
    for (int lane = 0; lane < 4; ++lane)
      sums[lane] = _mm512_ternarylogic_epi64(_mm512_clmulepi64_epi128(sums[lane], factors, 0x00),
                                             _mm512_clmulepi64_epi128(sums[lane], factors, 0x11),
                                             _mm512_loadu_si512(bytes + 64 * lane), kThreeWayXor);
  }
  uint8_t left[kWideBlock];
  std::memcpy(left, sums, sizeof left);
  return by_instruction(by_instruction(0, left, sizeof left), bytes, size);
}
#endif

using Way = uint32_t (*)(uint32_t crc, const uint8_t* bytes, size_t size);
struct Ways {
  Way small = by_table, large = by_table;
  size_t large_bytes = ~size_t{0};  // from here on
};

Ways choose(Crc32c most) {
  Ways ways;
#ifdef GM_X86
  if (most >= Crc32c::instruction && __builtin_cpu_supports("sse4.2"))
    ways.small = by_instruction;
  else
    return ways;
  if (most >= Crc32c::folding && __builtin_cpu_supports("pclmul")) {
    ways.large = by_folding;
    ways.large_bytes = 2 * kNarrowBlock;
  }
  if (most >= Crc32c::wide_folding && __builtin_cpu_supports("vpclmulqdq") &&
      __builtin_cpu_supports("avx512f")) {
    ways.large = by_wide_folding;
    ways.large_bytes = 2 * kWideBlock;
  }
#endif
  return ways;
}

uint32_t run(const Ways& ways, uint32_t crc, const void* bytes, size_t size) {
  const Way way = size >= ways.large_bytes ? ways.large : ways.small;
  return ~way(~crc, static_cast<const uint8_t*>(bytes), size);
}

}  // namespace

uint32_t crc32c(uint32_t crc, const void* bytes, size_t size) {
  static const Ways best = choose(Crc32c::wide_folding);
  return run(best, crc, bytes, size);
}

uint32_t crc32c_by(Crc32c most, uint32_t crc, const void* bytes, size_t size) {
  return run(choose(most), crc, bytes, size);
}

}  // namespace gradmesh
