// One sum over a whole tensor in the fixed tree: the mean, the norm that gradients are clipped by, and the
// dot product of two.
#include "launchers.h"
#include "long_lanes.h"
#include "numeric/convert.h"
#include "ops/define/loss.h"

namespace gradmesh::ops::device {
namespace {

// ---- kernels ----

__global__ void __launch_bounds__(kLongThreads) mean_kernel(size_t count, const float* x, float* out) {
  float lane = 0.0f;
  each_of_long_lane(
      count, [&](const float* terms) { lane = exact::add(lane, terms[0]); }, x);
  const float sum = fold_lanes(lane);
  if (threadIdx.x == 0) out[0] = exact::div(sum, (float)count);
}

__global__ void __launch_bounds__(kLongThreads)
    clip_scale_kernel(size_t count, float limit, const float* x, float* out) {
  float lane = 0.0f;
  each_of_long_lane(
      count, [&](const float* terms) { lane = exact::fma(terms[0], terms[0], lane); }, x);
  const float norm = exact::sqrt(fold_lanes(lane));
  if (threadIdx.x != 0) return;
  out[0] = define::clip_factor(norm, limit);
  out[1] = norm;
}

__global__ void __launch_bounds__(kLongThreads)
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
  return LAUNCH(mean_kernel, 1, kLongThreads, 0, stream, count, x, out);
}

cudaError_t clip_scale(const Arguments& arguments, cudaStream_t stream) {
  const size_t count = integer(arguments, 0);
  const float limit = (float)arguments.floats[0];
  const float* x = input(arguments, 0);
  float* out = output(arguments, 0);
  return LAUNCH(clip_scale_kernel, 1, kLongThreads, 0, stream, count, limit, x, out);
}

cudaError_t dot(const Arguments& arguments, cudaStream_t stream) {
  const size_t count = integer(arguments, 0);
  const float* a = input(arguments, 0);
  const float* b = input(arguments, 1);
  float* out = output(arguments, 0);
  return LAUNCH(dot_kernel, 1, kLongThreads, 0, stream, count, a, b, out);
}

}  // namespace gradmesh::ops::device
