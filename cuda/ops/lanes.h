// The fixed tree of numeric/tree.h on a GPU: sixteen neighbouring threads share a row, and each is one of the
// tree's lanes. A lane takes the elements i mod 16 by ascending i; shuffles fold the lanes in the tree's
// order.
#pragma once
#include "launch.h"
#include "numeric/order.h"
#include "numeric/tree.h"

namespace gradmesh::ops::device {

constexpr unsigned kLanes = tree::kLanes;
constexpr unsigned kRowThreads = 128;
constexpr unsigned kRowsPerBlock = kRowThreads / kLanes;
constexpr unsigned kWholeWarp = 0xffffffffu;

// Which row and lane a thread has. Threads past the last row repeat it, as all of a warp must meet in its
// shuffles, and write nothing.
struct RowPlace {
  size_t row;
  unsigned lane;
  bool writes;
};
__device__ __forceinline__ RowPlace row_place(size_t rows) {
  const size_t row = (size_t)blockIdx.x * kRowsPerBlock + threadIdx.x / kLanes;
  return {row < rows ? row : rows - 1, threadIdx.x % kLanes, row < rows};
}

// Sixteen lanes to one, which all of them get: lane j and lane j + step add the same two numbers, and an
// addition does not care which comes first.
__device__ __forceinline__ float fold_lanes(float lane) {
#pragma unroll
  for (int step = kLanes / 2; step > 0; step /= 2)
    lane = exact::add(lane, __shfl_xor_sync(kWholeWarp, lane, step));
  return lane;
}
__device__ __forceinline__ int32_t largest_of_lanes(int32_t key) {
#pragma unroll
  for (int step = kLanes / 2; step > 0; step /= 2) {
    const int32_t other = __shfl_xor_sync(kWholeWarp, key, step);
    key = other > key ? other : key;
  }
  return key;
}

// A lane's part of a row of x. Items > 0 holds it in registers (up to 16 Items elements); Items = 0 reads it
// again at each pass, for rows of any length. Beyond the row's end elements are +0.
template <int Items>
struct LaneOfRow {
  float held[Items > 0 ? Items : 1];
  const float* x;
  unsigned count, lane;

  __device__ __forceinline__ LaneOfRow(const float* x_, unsigned count_, unsigned lane_)
      : x(x_), count(count_), lane(lane_) {
    if constexpr (Items > 0) {
#pragma unroll
      for (int j = 0; j < Items; ++j) held[j] = read(j * kLanes + lane);
    }
  }
  __device__ __forceinline__ float read(unsigned i) const { return i < count ? x[i] : 0.0f; }
};

// Calls f(i, whether i is inside the row, the elements of the rows there) for this lane's part of rows of one
// length, by ascending i, the tree's filling included.
template <int Items, class Function, class... Others>
__device__ __forceinline__ void each_of_lane(Function f, LaneOfRow<Items>& first, Others&... others) {
  const unsigned count = first.count, lane = first.lane;
  if constexpr (Items > 0) {
#pragma unroll
    for (int j = 0; j < Items; ++j)
      if (j * kLanes < count)
        f(j * kLanes + lane, j * kLanes + lane < count, first.held[j], others.held[j]...);
  } else {
#pragma unroll 4
    for (unsigned group = 0; group < count; group += kLanes) {
      const unsigned i = group + lane;
      first.held[0] = first.read(i);
      ((others.held[0] = others.read(i)), ...);
      f(i, i < count, first.held[0], others.held[0]...);
    }
  }
}

// LAUNCH_ROWS(kernel, count, rows, stream, arguments...): the version of a kernel over rows of `count`
// elements that holds them in registers where they fit.
#define LAUNCH_ROWS(kernel, count, rows, stream, ...)                                                     \
  ((count) <= 8 * kLanes                                                                                  \
       ? LAUNCH((kernel<8>), cuda::blocks_for(rows, kRowsPerBlock), kRowThreads, 0, stream, __VA_ARGS__)  \
   : (count) <= 32 * kLanes                                                                               \
       ? LAUNCH((kernel<32>), cuda::blocks_for(rows, kRowsPerBlock), kRowThreads, 0, stream, __VA_ARGS__) \
       : LAUNCH((kernel<0>), cuda::blocks_for(rows, kRowsPerBlock), kRowThreads, 0, stream, __VA_ARGS__))

}  // namespace gradmesh::ops::device
