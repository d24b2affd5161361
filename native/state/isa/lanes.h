// Word lanes: a register of 32-bit words, one of each chunk or parent that is hashed at the same time, and
// the transposition that loads blocks into such registers. Only files of isa/ include this.
#pragma once
#include <cstddef>
#include <cstdint>

#include "numeric/exact.h"
#include "numeric/intrinsics.h"

namespace gradmesh::blake3::GM_ISA {
namespace {

#if defined(GM_ISA_avx512)

constexpr size_t kLanes = 16;  // of a register
struct Register {
  __m512i v;
};
HD Register spread(uint32_t x) { return {_mm512_set1_epi32(static_cast<int32_t>(x))}; }
HD Register load(const uint32_t* p) { return {_mm512_loadu_si512(p)}; }
HD void store(uint32_t* p, Register a) { _mm512_storeu_si512(p, a.v); }
HD Register add(Register a, Register b) { return {_mm512_add_epi32(a.v, b.v)}; }
HD Register exclusive_or(Register a, Register b) { return {_mm512_xor_si512(a.v, b.v)}; }
template <int bits>
HD Register rotate_right(Register a) {
  return {_mm512_ror_epi32(a.v, bits)};
}

// rows[lane] at `stride` bytes from each other, 16 words each -> columns[word], the word of each lane. Pairs
// of words, then of pairs, within 128 bits; then the 128-bit parts.
HD void transpose(const uint8_t* const* rows, size_t offset, Register (&columns)[16]) {
  __m512i r[16], pairs[16], quads[16];
#pragma GCC unroll 16
  for (int i = 0; i < 16; ++i) r[i] = _mm512_loadu_si512(rows[i] + offset);
#pragma GCC unroll 8
  for (int i = 0; i < 16; i += 2) {
    pairs[i] = _mm512_unpacklo_epi32(r[i], r[i + 1]);
    pairs[i + 1] = _mm512_unpackhi_epi32(r[i], r[i + 1]);
  }
#pragma GCC unroll 4
  for (int i = 0; i < 16; i += 4) {
    quads[i] = _mm512_unpacklo_epi64(pairs[i], pairs[i + 2]);
    quads[i + 1] = _mm512_unpackhi_epi64(pairs[i], pairs[i + 2]);
    quads[i + 2] = _mm512_unpacklo_epi64(pairs[i + 1], pairs[i + 3]);
    quads[i + 3] = _mm512_unpackhi_epi64(pairs[i + 1], pairs[i + 3]);
  }
#pragma GCC unroll 4
  for (int i = 0; i < 4; ++i) {  // quads[4 g + i]: word 4 p + i of rows 4 g .. 4 g + 3, in part p
    const __m512i low01 = _mm512_shuffle_i32x4(quads[i], quads[4 + i], 0x44);
    const __m512i high01 = _mm512_shuffle_i32x4(quads[i], quads[4 + i], 0xee);
    const __m512i low23 = _mm512_shuffle_i32x4(quads[8 + i], quads[12 + i], 0x44);
    const __m512i high23 = _mm512_shuffle_i32x4(quads[8 + i], quads[12 + i], 0xee);
    columns[i].v = _mm512_shuffle_i32x4(low01, low23, 0x88);
    columns[4 + i].v = _mm512_shuffle_i32x4(low01, low23, 0xdd);
    columns[8 + i].v = _mm512_shuffle_i32x4(high01, high23, 0x88);
    columns[12 + i].v = _mm512_shuffle_i32x4(high01, high23, 0xdd);
  }
}

#elif defined(GM_ISA_avx2)

constexpr size_t kLanes = 8;
struct Register {
  __m256i v;
};
HD Register spread(uint32_t x) { return {_mm256_set1_epi32(static_cast<int32_t>(x))}; }
HD Register load(const uint32_t* p) { return {_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p))}; }
HD void store(uint32_t* p, Register a) { _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), a.v); }
HD Register add(Register a, Register b) { return {_mm256_add_epi32(a.v, b.v)}; }
HD Register exclusive_or(Register a, Register b) { return {_mm256_xor_si256(a.v, b.v)}; }
// By whole bytes it is one shuffle.
template <int bits>
HD Register rotate_right(Register a) {
  if constexpr (bits == 16)
    return {_mm256_shuffle_epi8(a.v, _mm256_setr_epi8(2, 3, 0, 1, 6, 7, 4, 5, 10, 11, 8, 9, 14, 15, 12, 13, 2,
                                                      3, 0, 1, 6, 7, 4, 5, 10, 11, 8, 9, 14, 15, 12, 13))};
  else if constexpr (bits == 8)
    return {_mm256_shuffle_epi8(a.v, _mm256_setr_epi8(1, 2, 3, 0, 5, 6, 7, 4, 9, 10, 11, 8, 13, 14, 15, 12, 1,
                                                      2, 3, 0, 5, 6, 7, 4, 9, 10, 11, 8, 13, 14, 15, 12))};
  else
    return {_mm256_or_si256(_mm256_srli_epi32(a.v, bits), _mm256_slli_epi32(a.v, 32 - bits))};
}

HD void transpose(const uint8_t* const* rows, size_t offset, Register (&columns)[16]) {
#pragma GCC unroll 2
  for (int half = 0; half < 2; ++half) {
    __m256i r[8], pairs[8], quads[8];
#pragma GCC unroll 8
    for (int i = 0; i < 8; ++i)
      r[i] = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(rows[i] + offset + 32 * half));
#pragma GCC unroll 4
    for (int i = 0; i < 8; i += 2) {
      pairs[i] = _mm256_unpacklo_epi32(r[i], r[i + 1]);
      pairs[i + 1] = _mm256_unpackhi_epi32(r[i], r[i + 1]);
    }
#pragma GCC unroll 2
    for (int i = 0; i < 8; i += 4) {
      quads[i] = _mm256_unpacklo_epi64(pairs[i], pairs[i + 2]);
      quads[i + 1] = _mm256_unpackhi_epi64(pairs[i], pairs[i + 2]);
      quads[i + 2] = _mm256_unpacklo_epi64(pairs[i + 1], pairs[i + 3]);
      quads[i + 3] = _mm256_unpackhi_epi64(pairs[i + 1], pairs[i + 3]);
    }
#pragma GCC unroll 4
    for (int i = 0; i < 4; ++i) {
      columns[8 * half + i].v = _mm256_permute2x128_si256(quads[i], quads[4 + i], 0x20);
      columns[8 * half + 4 + i].v = _mm256_permute2x128_si256(quads[i], quads[4 + i], 0x31);
    }
  }
}

#else

constexpr size_t kLanes = 1;
using Register = uint32_t;
HD Register spread(uint32_t x) { return x; }
HD Register load(const uint32_t* p) { return *p; }
HD void store(uint32_t* p, Register a) { *p = a; }

HD void transpose(const uint8_t* const* rows, size_t offset, Register (&columns)[16]) {
  const uint8_t* p = rows[0] + offset;
  for (size_t i = 0; i < 16; ++i, p += 4)
    columns[i] = static_cast<uint32_t>(p[0]) | static_cast<uint32_t>(p[1]) << 8 |
                 static_cast<uint32_t>(p[2]) << 16 | static_cast<uint32_t>(p[3]) << 24;
}

#endif

// The block at `offset` of every row -> message[word], the word of each lane.
HD void load_block(const uint8_t* const* rows, size_t offset, Register (&message)[16]) {
  transpose(rows, offset, message);
}
HD void spread(uint32_t x, Register& word) { word = spread(x); }
HD void load(const uint32_t* p, Register& word) { word = load(p); }

template <class Word>
constexpr size_t kWidth = kLanes;

#if defined(GM_ISA_avx512)

// The same word of two registers' lanes: thirty-two registers hold two states, whose steps stand side by side
// and hide each other's latency.
struct Pair {
  Register a, b;
};
HD Pair add(Pair x, Pair y) { return {add(x.a, y.a), add(x.b, y.b)}; }
HD Pair exclusive_or(Pair x, Pair y) { return {exclusive_or(x.a, y.a), exclusive_or(x.b, y.b)}; }
template <int bits>
HD Pair rotate_right(Pair x) {
  return {rotate_right<bits>(x.a), rotate_right<bits>(x.b)};
}

template <>
constexpr size_t kWidth<Pair> = 2 * kLanes;

HD void spread(uint32_t x, Pair& word) { word.a = word.b = spread(x); }
HD void load(const uint32_t* p, Pair& word) { word = {load(p), load(p + kLanes)}; }
HD void store(uint32_t* p, Pair word) { store(p, word.a), store(p + kLanes, word.b); }
HD void load_block(const uint8_t* const* rows, size_t offset, Pair (&message)[16]) {
  Register columns[16];
  transpose(rows, offset, columns);
#pragma GCC unroll 16
  for (size_t i = 0; i < 16; ++i) message[i].a = columns[i];
  transpose(rows + kLanes, offset, columns);
#pragma GCC unroll 16
  for (size_t i = 0; i < 16; ++i) message[i].b = columns[i];
}

using Wide = Pair;

#else

using Wide = Register;

#endif

}  // namespace
}  // namespace gradmesh::blake3::GM_ISA
