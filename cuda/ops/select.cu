// Elements by their indices, out of a tensor and back into it. The graph has checked that every index is one
// of the tensor's, and that a scatter's ascend: so no two threads write one element.
#include "launchers.h"

namespace gradmesh::ops::device {
namespace {

constexpr unsigned kThreads = 256;

// ---- kernels ----

__global__ void __launch_bounds__(kThreads)
    gather_kernel(size_t count, const float* x, const int32_t* index, float* y) {
  const size_t threads = (size_t)gridDim.x * blockDim.x;
#pragma unroll 4
  for (size_t i = (size_t)blockIdx.x * blockDim.x + threadIdx.x; i < count; i += threads)
    y[i] = x[(size_t)index[i]];
}

__global__ void __launch_bounds__(kThreads)
    scatter_kernel(size_t count, const float* y, const int32_t* index, float* x) {
  const size_t threads = (size_t)gridDim.x * blockDim.x;
#pragma unroll 4
  for (size_t i = (size_t)blockIdx.x * blockDim.x + threadIdx.x; i < count; i += threads)
    x[(size_t)index[i]] = y[i];
}

}  // namespace

// ---- launchers ----

cudaError_t gather(const Arguments& arguments, cudaStream_t stream) {
  const size_t count = integer(arguments, 1);
  return LAUNCH(gather_kernel, grid_of(count, kThreads), kThreads, 0, stream, count, input(arguments, 0),
                input_i32(arguments, 1), output(arguments, 0));
}

cudaError_t scatter(const Arguments& arguments, cudaStream_t stream) {
  const size_t count = integer(arguments, 1);
  return LAUNCH(scatter_kernel, grid_of(count, kThreads), kThreads, 0, stream, count, input(arguments, 0),
                input_i32(arguments, 1), output(arguments, 0));
}

}  // namespace gradmesh::ops::device
