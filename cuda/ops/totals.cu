// One sum over a whole tensor in the fixed tree: the mean, and the norm that gradients are clipped by. The
// tree has sixteen lanes whatever the length, so a sum of n elements is n / 16 additions one after the other:
// that latency is the floor. One block fetches ahead of the sixteen threads that add, so that memory adds
// nothing to it.
#include "lanes.h"
#include "launchers.h"
#include "ops/define/loss.h"

namespace gradmesh::ops::device {
namespace {

// ---- helpers ----

constexpr unsigned kThreads = 512, kFetches = 16, kTile = kThreads * kFetches;

// Calls f for each of this lane's elements, by ascending index, the tree's filling included; the other
// threads fetch.
template <class Function>
__device__ __forceinline__ void each_of_long_lane(const float* x, size_t count, Function f) {
  __shared__ float tile[kTile];
  float fetched[kFetches];
  const auto fetch = [&](size_t first) {
#pragma unroll
    for (unsigned j = 0; j < kFetches; ++j) {
      const size_t i = first + j * kThreads + threadIdx.x;
      fetched[j] = i < count ? x[i] : 0.0f;
    }
  };
  fetch(0);
  for (size_t first = 0; first < count; first += kTile) {
#pragma unroll
    for (unsigned j = 0; j < kFetches; ++j) tile[j * kThreads + threadIdx.x] = fetched[j];
    __syncthreads();
    fetch(first + kTile);
    const unsigned left = count - first < kTile ? (unsigned)(count - first) : kTile;
    if (threadIdx.x < kLanes) {
#pragma unroll 16
      for (unsigned group = 0; group < left; group += kLanes) f(tile[group + threadIdx.x]);
    }
    __syncthreads();
  }
}

// ---- kernels ----

__global__ void __launch_bounds__(kThreads) mean_kernel(size_t count, const float* x, float* out) {
  float lane = 0.0f;
  each_of_long_lane(x, count, [&](float value) { lane = exact::add(lane, value); });
  const float sum = fold_lanes(lane);
  if (threadIdx.x == 0) out[0] = exact::div(sum, (float)count);
}

__global__ void __launch_bounds__(kThreads)
    clip_scale_kernel(size_t count, float limit, const float* x, float* out) {
  float lane = 0.0f;
  each_of_long_lane(x, count, [&](float value) { lane = exact::fma(value, value, lane); });
  const float norm = exact::sqrt(fold_lanes(lane));
  if (threadIdx.x != 0) return;
  out[0] = define::clip_factor(norm, limit);
  out[1] = norm;
}

}  // namespace

// ---- launchers ----

cudaError_t mean(const Arguments& arguments, cudaStream_t stream) {
  const size_t count = integer(arguments, 0);
  const float* x = input(arguments, 0);
  float* out = output(arguments, 0);
  return LAUNCH(mean_kernel, 1, kThreads, 0, stream, count, x, out);
}

cudaError_t clip_scale(const Arguments& arguments, cudaStream_t stream) {
  const size_t count = integer(arguments, 0);
  const float limit = (float)arguments.floats[0];
  const float* x = input(arguments, 0);
  float* out = output(arguments, 0);
  return LAUNCH(clip_scale_kernel, 1, kThreads, 0, stream, count, limit, x, out);
}

}  // namespace gradmesh::ops::device
