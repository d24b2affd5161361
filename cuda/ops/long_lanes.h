// Sums over tensors of any length in the fixed tree. The tree has sixteen lanes whatever the length, so a sum
// of n elements is n / 16 additions one after the other: that latency is the floor. One block fetches ahead
// of the sixteen threads that add, so that memory adds nothing to it.
#pragma once
#include "lanes.h"

namespace gradmesh::ops::device {

constexpr unsigned kLongThreads = 512, kTile = 16 * kLongThreads;  // elements of all tensors

// Calls f for each of this lane's elements, by ascending index, the tree's filling included; the other
// threads fetch.
template <class Function, class... Tensors>
__device__ __forceinline__ void each_of_long_lane(size_t count, Function f, Tensors... x) {
  constexpr unsigned kTensors = sizeof...(x), kFetches = kTile / kLongThreads / kTensors;
  constexpr unsigned kItems = kLongThreads * kFetches;
  const float* const tensors[kTensors] = {x...};
  __shared__ float tile[kTensors][kItems];
  float fetched[kTensors][kFetches];
  const auto fetch = [&](size_t first) {
#pragma unroll
    for (unsigned j = 0; j < kFetches; ++j) {
      const size_t i = first + j * kLongThreads + threadIdx.x;
#pragma unroll
      for (unsigned t = 0; t < kTensors; ++t) fetched[t][j] = i < count ? tensors[t][i] : 0.0f;
    }
  };
  fetch(0);
  for (size_t first = 0; first < count; first += kItems) {
#pragma unroll
    for (unsigned j = 0; j < kFetches; ++j)
#pragma unroll
      for (unsigned t = 0; t < kTensors; ++t) tile[t][j * kLongThreads + threadIdx.x] = fetched[t][j];
    __syncthreads();
    fetch(first + kItems);
    const unsigned left = count - first < kItems ? (unsigned)(count - first) : kItems;
    if (threadIdx.x < kLanes) {
#pragma unroll 16
      for (unsigned group = 0; group < left; group += kLanes) {
        float terms[kTensors];
#pragma unroll
        for (unsigned t = 0; t < kTensors; ++t) terms[t] = tile[t][group + threadIdx.x];
        f(terms);
      }
    }
    __syncthreads();
  }
}

}  // namespace gradmesh::ops::device
