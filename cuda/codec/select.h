// What the twins of topk and dct_topk share: how a thread block finds the elements of largest magnitude in
// shared memory. The k-th largest magnitude is found by digits, most significant first, counted in shared
// memory; counts are integers, so their order does not matter. Bitmaps of what lies above it and of what
// equals it then give every kept element its place, by index.
#pragma once
#include "codec/kept_values.h"
#include "codec/topk.h"

namespace gradmesh::cuda {

using codecs::topk;

constexpr unsigned kMost = 4096, kBins = 256, kWords = kMost / kWarp;

struct Selection {
  uint32_t histogram[kBins];
  uint32_t above[kWords], equal[kWords];  // a bit for each element
  uint32_t before[kWords];  // of each word: how many above and equal lie before it, 16 bits each
  uint32_t level, equals;   // the least kept magnitude, and how many of it are kept
};

// The highest digit whose count, with those of the digits above it, reaches `wanted`; lane 0 of the first
// warp appends it to level and leaves in equals what is wanted of it.
__device__ __forceinline__ void take_digit(Selection* selection, uint32_t wanted, unsigned shift) {
  constexpr unsigned kEach = kBins / kWarp;
  const unsigned lane = threadIdx.x, top = kBins - 1 - lane * kEach;
  uint32_t own = 0;
  for (unsigned i = 0; i < kEach; i++) own += selection->histogram[top - i];
  uint32_t reached = own;
  for (unsigned step = 1; step < kWarp; step *= 2) {
    const uint32_t other = __shfl_up_sync(kEvery, reached, step);
    if (lane >= step) reached += other;
  }
  uint32_t passed = reached - own;
  if (passed >= wanted || reached < wanted) return;
  for (unsigned i = 0; i < kEach; i++) {
    const uint32_t count = selection->histogram[top - i];
    if (passed + count >= wanted) {
      selection->level |= (top - i) << shift;
      selection->equals = wanted - passed;
      return;
    }
    passed += count;
  }
}

// Finds level and equals for tile[count]; 1 <= kept <= count.
__device__ __forceinline__ void find_level(const float* tile, unsigned count, unsigned kept,
                                           Selection* selection) {
  if (threadIdx.x == 0) {
    selection->level = 0;
    selection->equals = kept;
  }
  const unsigned shifts[] = {23, 15, 7, 0};
#pragma unroll
  for (unsigned digit = 0; digit < 4; digit++) {
    const unsigned shift = shifts[digit];
    const uint32_t below = digit == 0 ? 0x7fffffffu : (1u << shifts[digit == 0 ? 0 : digit - 1]) - 1;
    for (unsigned i = threadIdx.x; i < kBins; i += blockDim.x) selection->histogram[i] = 0;
    __syncthreads();
    const uint32_t level = selection->level, wanted = selection->equals;
    for (unsigned i = threadIdx.x; i < count; i += blockDim.x) {
      const uint32_t magnitude = topk::magnitude(tile[i]);
      if ((magnitude & ~below) == level) atomicAdd(&selection->histogram[(magnitude & below) >> shift], 1u);
    }
    __syncthreads();
    if (threadIdx.x < kWarp) take_digit(selection, wanted, shift);
    __syncthreads();
  }
}

__device__ __forceinline__ void make_bitmaps(const float* tile, unsigned count, Selection* selection) {
  const unsigned lane = threadIdx.x % kWarp;
  for (unsigned word = threadIdx.x / kWarp; word * kWarp < count; word += blockDim.x / kWarp) {
    const unsigned i = word * kWarp + lane;
    const uint32_t magnitude = i < count ? topk::magnitude(tile[i]) : 0;
    const uint32_t above = __ballot_sync(kEvery, i < count && magnitude > selection->level);
    const uint32_t equal = __ballot_sync(kEvery, i < count && magnitude == selection->level);
    if (lane == 0) {
      selection->above[word] = above;
      selection->equal[word] = equal;
    }
  }
  __syncthreads();
  if (threadIdx.x < kWarp) {
    constexpr unsigned kEach = kWords / kWarp;
    uint32_t counts[kEach], own = 0;
#pragma unroll
    for (unsigned j = 0; j < kEach; j++) {
      const unsigned word = lane * kEach + j;
      const bool inside = word * kWarp < count;
      counts[j] = inside ? static_cast<uint32_t>(__popc(selection->above[word])) << 16 |
                               static_cast<uint32_t>(__popc(selection->equal[word]))
                         : 0;
      own += counts[j];
    }
    uint32_t before = own;
    for (unsigned step = 1; step < kWarp; step *= 2) {
      const uint32_t other = __shfl_up_sync(kEvery, before, step);
      if (lane >= step) before += other;
    }
    before -= own;
#pragma unroll
    for (unsigned j = 0; j < kEach; j++) {
      const unsigned word = lane * kEach + j;
      if (word * kWarp < count) selection->before[word] = before;
      before += counts[j];
    }
  }
  __syncthreads();
}

__device__ __forceinline__ void list_kept(const float* tile, unsigned count, const Selection& selection,
                                          float* values, uint16_t* index) {
  for (unsigned i = threadIdx.x; i < count; i += blockDim.x) {
    const unsigned word = i / kWarp, bit = i % kWarp;
    const uint32_t lower = (1u << bit) - 1, before = selection.before[word];
    const uint32_t above = (before >> 16) + static_cast<uint32_t>(__popc(selection.above[word] & lower));
    const uint32_t equal = (before & 0xffffu) + static_cast<uint32_t>(__popc(selection.equal[word] & lower));
    const bool is_equal = (selection.equal[word] >> bit & 1u) != 0;
    if ((selection.above[word] >> bit & 1u) == 0 && !(is_equal && equal < selection.equals)) continue;
    const uint32_t at = above + min(equal, selection.equals);
    values[at] = tile[i];
    index[at] = static_cast<uint16_t>(i);
  }
  __syncthreads();
}

// index[kept] as packed bytes of `width` bits each.
__device__ __forceinline__ void pack_indices(const uint16_t* index, size_t kept, uint32_t width,
                                             uint8_t* out) {
  const size_t bytes = (kept * width + 7) / 8;
  for (size_t b = threadIdx.x; b < bytes; b += blockDim.x) out[b] = topk::index_byte(index, kept, width, b);
}

}  // namespace gradmesh::cuda
