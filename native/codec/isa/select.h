// The k elements of largest magnitude, and their packed indices: what topk and dct_topk share. Only files of
// isa/ include this. Which elements are kept is decided in three steps, none of which the result depends on:
// 1. The block is seen as rows of `columns` elements, columns >= k. Every column's largest magnitude is an
// element of
//    its own, so the k-th largest of them is a lower bound of the k-th largest of the block.
// 2. What reaches the bound are the candidates (for k = 64 of 4096 about 300), listed by index.
// 3. The k-th largest magnitude is found bit by bit, counting candidates; then the candidates above it are
// kept, and as
//    many of those equal to it, from the lowest index on, as are still missing.
#pragma once
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "codec/topk.h"
#include "numeric/intrinsics.h"

namespace gradmesh::GM_ISA {
namespace {

using codecs::topk;

constexpr size_t kMost = 4096;  // elements to choose from
constexpr size_t kFewColumns = 64, kManyColumns = 256;
constexpr size_t kSpare = 16;  // what a whole vector may write behind a list's end

struct Candidates {
  alignas(64) uint32_t magnitude[kMost + kSpare];
  alignas(64) uint32_t index[kMost + kSpare];
  size_t count;
};

#if GM_ISA_avx512

HD __m512i magnitudes(const float* source) {
  return _mm512_and_si512(_mm512_loadu_si512(source), _mm512_set1_epi32(0x7fffffff));
}

// The largest of each column, count a multiple of columns.
template <size_t columns>
HD void column_maxima(const float* source, size_t count, uint32_t* maxima) {
  constexpr size_t kVectors = columns / 16;
  __m512i best[kVectors];
  for (size_t v = 0; v < kVectors; v++) best[v] = _mm512_setzero_si512();
  for (size_t row = 0; row < count; row += columns)
    for (size_t v = 0; v < kVectors; v++)
      best[v] = _mm512_maskz_max_epu32(0xffff, best[v], magnitudes(source + row + 16 * v));
  for (size_t v = 0; v < kVectors; v++) _mm512_store_si512(maxima + 16 * v, best[v]);
}

HD void list(const float* source, size_t count, uint32_t bound, Candidates* candidates) {
  const __m512i least = _mm512_set1_epi32(static_cast<int>(bound));
  __m512i index = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
  size_t listed = 0;
  for (size_t i = 0; i < count; i += 16) {
    const __mmask16 inside = static_cast<__mmask16>(count - i < 16 ? (1u << (count - i)) - 1 : 0xffffu);
    const __m512i magnitude =
        _mm512_and_si512(_mm512_maskz_loadu_epi32(inside, source + i), _mm512_set1_epi32(0x7fffffff));
    const __mmask16 reached = _mm512_mask_cmpge_epu32_mask(inside, magnitude, least);
    _mm512_storeu_si512(candidates->magnitude + listed, _mm512_maskz_compress_epi32(reached, magnitude));
    _mm512_storeu_si512(candidates->index + listed, _mm512_maskz_compress_epi32(reached, index));
    listed += static_cast<size_t>(__builtin_popcount(reached));
    index = _mm512_add_epi32(index, _mm512_set1_epi32(16));
  }
  candidates->count = listed;
}

// The first `count` of the set bits.
HD uint32_t first_bits(uint32_t bits, uint32_t count) {
  while (static_cast<uint32_t>(__builtin_popcount(bits)) > count)
    bits &= ~(0x80000000u >> __builtin_clz(bits));
  return bits;
}

HD void keep(const Candidates& candidates, uint32_t threshold, uint32_t equals, uint32_t* index) {
  const __m512i level = _mm512_set1_epi32(static_cast<int>(threshold));
  for (size_t i = 0; i < candidates.count; i += 16) {
    const size_t left = candidates.count - i;
    const __mmask16 inside = static_cast<__mmask16>(left < 16 ? (1u << left) - 1 : 0xffffu);
    const __m512i magnitude = _mm512_load_si512(candidates.magnitude + i);
    const uint32_t above = _mm512_mask_cmpgt_epu32_mask(inside, magnitude, level);
    const uint32_t equal = first_bits(_mm512_mask_cmpeq_epu32_mask(inside, magnitude, level), equals);
    equals -= static_cast<uint32_t>(__builtin_popcount(equal));
    const __mmask16 chosen = static_cast<__mmask16>(above | equal);
    _mm512_storeu_si512(index, _mm512_maskz_compress_epi32(chosen, _mm512_load_si512(candidates.index + i)));
    index += __builtin_popcount(chosen);
  }
}

#else

template <size_t columns>
HD void column_maxima(const float* source, size_t count, uint32_t* maxima) {
  memset(maxima, 0, columns * sizeof *maxima);
  for (size_t row = 0; row < count; row += columns)
    for (size_t i = 0; i < columns; i++) {
      const uint32_t magnitude = topk::magnitude(source[row + i]);
      maxima[i] = magnitude > maxima[i] ? magnitude : maxima[i];
    }
}

HD void list(const float* source, size_t count, uint32_t bound, Candidates* candidates) {
  size_t listed = 0;
  for (size_t i = 0; i < count;
       i++) {  // without a branch: whether an element reaches the bound is anyone's guess
    const uint32_t magnitude = topk::magnitude(source[i]);
    candidates->magnitude[listed] = magnitude;
    candidates->index[listed] = static_cast<uint32_t>(i);
    listed += magnitude >= bound;
  }
  candidates->count = listed;
}

HD void keep(const Candidates& candidates, uint32_t threshold, uint32_t equals, uint32_t* index) {
  for (size_t i = 0; i < candidates.count; i++) {
    const uint32_t magnitude = candidates.magnitude[i];
    const bool equal = magnitude == threshold && equals > 0;
    equals -= equal;
    *index = candidates.index[i];
    index += magnitude > threshold || equal;
  }
}

#endif

HD uint32_t above(const uint32_t* magnitude, size_t count, uint32_t level) {
  uint32_t number = 0;
  for (size_t i = 0; i < count; i++)
    number += static_cast<int32_t>(magnitude[i]) > static_cast<int32_t>(level);
  return number;
}

// A level that exactly k of magnitude[count] reach, or else the k-th largest; 1 <= k <= count. Bit by bit
// from the highest one in which any two differ: the result is the greatest level so far that at least k
// reach.
HD uint32_t level_of(const uint32_t* magnitude, size_t count, size_t k) {
  uint32_t every = ~0u, any = 0;
  for (size_t i = 0; i < count; i++) every &= magnitude[i], any |= magnitude[i];
  uint32_t level = every;
  if (every == any) return level;
  const int highest = 31 - __builtin_clz(every ^ any);
  level = every & ~((2u << highest) - 1);
  for (int bit = highest; bit >= 0; bit--) {
    const uint32_t higher = level | 1u << bit, number = above(magnitude, count, higher - 1);
    if (number < k) continue;
    level = higher;
    if (number == k) break;
  }
  return level;
}

template <size_t columns>
HD uint32_t bound_of(const float* source, size_t count, size_t k) {
  alignas(64) uint32_t maxima[columns];
  column_maxima<columns>(source, count, maxima);
  return level_of(maxima, columns, k);
}

// The indices of the kept elements, ascending; index has room for kept + kSpare.
__attribute__((noinline)) void select(const float* source, size_t count, size_t kept, uint32_t* index) {
  Candidates candidates;
  uint32_t bound = 0;
  if (kept <= kFewColumns && count % kFewColumns == 0)
    bound = bound_of<kFewColumns>(source, count, kept);
  else if (kept <= kManyColumns && count % kManyColumns == 0)
    bound = bound_of<kManyColumns>(source, count, kept);
  list(source, count, bound, &candidates);
  const uint32_t level = level_of(candidates.magnitude, candidates.count, kept);
  const uint32_t greater = above(candidates.magnitude, candidates.count, level);
  keep(candidates, level, static_cast<uint32_t>(kept) - greater, index);
}

HD void pack(const uint32_t* index, size_t kept, uint32_t width, uint8_t* out) {
  uint64_t bits = 0;
  uint32_t held = 0;
  for (size_t j = 0; j < kept; j++) {
    bits |= static_cast<uint64_t>(index[j]) << held;
    held += width;
    if (held < 32) continue;
    const uint32_t word = static_cast<uint32_t>(bits);
    memcpy(out, &word, 4);
    out += 4;
    bits >>= 32;
    held -= 32;
  }
  for (; held > 0; held = held < 8 ? 0 : held - 8, bits >>= 8) *out++ = static_cast<uint8_t>(bits);
}

// As topk::index_of each, with one load where four bytes are there.
HD void unpack(const uint8_t* in, size_t bytes, size_t kept, uint32_t width, uint32_t* index) {
  const uint32_t mask = (1u << width) - 1;
  size_t j = 0;
  for (; j < kept && j * width / 8 + 4 <= bytes; j++) {
    uint32_t word;
    memcpy(&word, in + j * width / 8, 4);
    index[j] = word >> (j * width % 8) & mask;
  }
  for (; j < kept; j++) index[j] = topk::index_of(in, j, width);
}

}  // namespace
}  // namespace gradmesh::GM_ISA
