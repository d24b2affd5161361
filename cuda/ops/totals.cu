// One sum over a whole tensor in the fixed tree: the mean, the norm that gradients are clipped by, and the
// dot product of two. The tree has sixteen lanes whatever the length, so a sum of n elements is n / 16
// additions one after the other: that latency is the floor. One block fetches ahead of the sixteen threads
// that add, so that memory adds nothing to it.
#include "lanes.h"
#include "launchers.h"
#include "numeric/convert.h"
#include "ops/define/loss.h"

namespace gradmesh::ops::device {
namespace {

// ---- helpers ----

constexpr unsigned kThreads = 512, kTile = 16 * kThreads;  // elements of all tensors

// Calls f for each of this lane's elements, by ascending index, the tree's filling included; the other
// threads fetch.
template <class Function, class... Tensors>
__device__ __forceinline__ void each_of_long_lane(size_t count, Function f, Tensors... x) {
  constexpr unsigned kTensors = sizeof...(x), kFetches = kTile / kThreads / kTensors;
  constexpr unsigned kItems = kThreads * kFetches;
  const float* const tensors[kTensors] = {x...};
  __shared__ float tile[kTensors][kItems];
  float fetched[kTensors][kFetches];
  const auto fetch = [&](size_t first) {
#pragma unroll
    for (unsigned j = 0; j < kFetches; ++j) {
      const size_t i = first + j * kThreads + threadIdx.x;
#pragma unroll
      for (unsigned t = 0; t < kTensors; ++t) fetched[t][j] = i < count ? tensors[t][i] : 0.0f;
    }
  };
  fetch(0);
  for (size_t first = 0; first < count; first += kItems) {
#pragma unroll
    for (unsigned j = 0; j < kFetches; ++j)
#pragma unroll
      for (unsigned t = 0; t < kTensors; ++t) tile[t][j * kThreads + threadIdx.x] = fetched[t][j];
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

// ---- kernels ----

__global__ void __launch_bounds__(kThreads) mean_kernel(size_t count, const float* x, float* out) {
  float lane = 0.0f;
  each_of_long_lane(
      count, [&](const float* terms) { lane = exact::add(lane, terms[0]); }, x);
  const float sum = fold_lanes(lane);
  if (threadIdx.x == 0) out[0] = exact::div(sum, (float)count);
}

__global__ void __launch_bounds__(kThreads)
    clip_scale_kernel(size_t count, float limit, const float* x, float* out) {
  float lane = 0.0f;
  each_of_long_lane(
      count, [&](const float* terms) { lane = exact::fma(terms[0], terms[0], lane); }, x);
  const float norm = exact::sqrt(fold_lanes(lane));
  if (threadIdx.x != 0) return;
  out[0] = define::clip_factor(norm, limit);
  out[1] = norm;
}

__global__ void __launch_bounds__(kThreads)
    dot_kernel(size_t count, const float* a, const float* b, float* out) {
  float lane = 0.0f;
  each_of_long_lane(
      count, [&](const float* terms) { lane = exact::fma(terms[0], terms[1], lane); }, a, b);
  const float sum = fold_lanes(lane);
  if (threadIdx.x == 0) out[0] = exact::canonical(sum);
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

cudaError_t dot(const Arguments& arguments, cudaStream_t stream) {
  const size_t count = integer(arguments, 0);
  const float* a = input(arguments, 0);
  const float* b = input(arguments, 1);
  float* out = output(arguments, 0);
  return LAUNCH(dot_kernel, 1, kThreads, 0, stream, count, a, b, out);
}

}  // namespace gradmesh::ops::device
