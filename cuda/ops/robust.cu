// Aggregation over peers' rows: a thread has a column of sums and trimmed means; a block has a pair of rows
// whose distance it takes in the fixed tree.
#include "launchers.h"
#include "long_lanes.h"
#include "numeric/convert.h"
#include "ops/define/robust.h"

namespace gradmesh::ops::device {
namespace {

// ---- helpers ----

constexpr unsigned kThreads = 256;

// As define::trimmed_mean; every index is known when this is compiled, so that keys are registers.
template <int Rows>
__device__ __forceinline__ float trimmed_column(define::OneKey* keys, int faulty) {
  define::sort_rows<Rows>(keys);
  float sum = 0.0f;
#pragma unroll
  for (int row = 0; row < Rows; ++row) {
    const float value = define::value_of(keys[row]);
    if (row > faulty && row < Rows - faulty) sum = define::sum_of(sum, value);
    if (row == faulty) sum = value;
  }
  return define::part_of(sum, (float)(Rows - 2 * faulty));
}

// The sum of (x - y)^2 in the fixed tree, in thread 0.
__device__ __forceinline__ float squared_distance(size_t count, const float* x, const float* y) {
  float lane = 0.0f;
  each_of_long_lane(
      count,
      [&](const float* terms) {
        const float difference = exact::sub(terms[0], terms[1]);
        lane = exact::fma(difference, difference, lane);
      },
      x, y);
  return exact::canonical(fold_lanes(lane));
}

// ---- kernels ----

__global__ void __launch_bounds__(kThreads)
    combine_kernel(size_t rows, size_t columns, const float* x, const float* weights, float* out) {
  const size_t threads = (size_t)gridDim.x * blockDim.x;
  for (size_t i = (size_t)blockIdx.x * blockDim.x + threadIdx.x; i < columns; i += threads) {
    float sum = 0.0f;
#pragma unroll 4
    for (size_t row = 0; row < rows; ++row)
      if (weights[row] != 0.0f) sum = exact::fma(weights[row], x[row * columns + i], sum);
    out[i] = exact::canonical(sum);
  }
}

template <int Rows>
__global__ void __launch_bounds__(kThreads)
    trimmed_kernel(size_t columns, int faulty, const float* x, float* out) {
  const size_t threads = (size_t)gridDim.x * blockDim.x;
  for (size_t i = (size_t)blockIdx.x * blockDim.x + threadIdx.x; i < columns; i += threads) {
    define::OneKey keys[Rows];
#pragma unroll
    for (int row = 0; row < Rows; ++row) keys[row].key = order::key(x[(size_t)row * columns + i]);
    out[i] = trimmed_column<Rows>(keys, faulty);
  }
}

__global__ void __launch_bounds__(kLongThreads)
    pairs_kernel(size_t rows, size_t columns, const float* x, float* out) {
  const size_t row = blockIdx.x, other = blockIdx.y;
  if (other > row) return;
  const float distance = squared_distance(columns, x + row * columns, x + other * columns);
  if (threadIdx.x != 0) return;
  out[row * rows + other] = distance;
  out[other * rows + row] = distance;
}

__global__ void __launch_bounds__(kThreads)
    center_kernel(size_t rows, size_t columns, const float* x, const float* factors, float* center) {
  const size_t threads = (size_t)gridDim.x * blockDim.x;
  for (size_t i = (size_t)blockIdx.x * blockDim.x + threadIdx.x; i < columns; i += threads) {
    const float from = center[i];
    float step = 0.0f;
#pragma unroll 4
    for (size_t row = 0; row < rows; ++row)
      if (factors[row] != 0.0f) step = exact::fma(factors[row], exact::sub(x[row * columns + i], from), step);
    center[i] = exact::canonical(exact::add(from, step));
  }
}

__global__ void __launch_bounds__(kLongThreads)
    distances_kernel(size_t columns, const float* x, const float* center, float* distances) {
  const size_t row = blockIdx.x;
  const float distance = squared_distance(columns, center, x + row * columns);
  if (threadIdx.x == 0) distances[row] = distance;
}

template <int Rows>
cudaError_t launch_trimmed(size_t rows, size_t columns, int faulty, const float* x, float* out,
                           cudaStream_t stream) {
  if (rows == Rows)
    return LAUNCH((trimmed_kernel<Rows>), grid_of(columns, kThreads), kThreads, 0, stream, columns, faulty, x,
                  out);
  if constexpr (Rows > 1) return launch_trimmed<Rows - 1>(rows, columns, faulty, x, out, stream);
  return cudaErrorInvalidValue;
}

}  // namespace

// ---- launchers ----

cudaError_t combine_rows(const Arguments& arguments, cudaStream_t stream) {
  const size_t columns = integer(arguments, 1);
  return LAUNCH(combine_kernel, grid_of(columns, kThreads), kThreads, 0, stream, integer(arguments, 0),
                columns, input(arguments, 0), input(arguments, 1), output(arguments, 0));
}

cudaError_t trimmed_mean(const Arguments& arguments, cudaStream_t stream) {
  return launch_trimmed<define::kPeersMax>(integer(arguments, 0), integer(arguments, 1),
                                           arguments.integers[2], input(arguments, 0), output(arguments, 0),
                                           stream);
}

cudaError_t pair_distances(const Arguments& arguments, cudaStream_t stream) {
  const size_t rows = integer(arguments, 0);
  const dim3 pairs((unsigned)rows, (unsigned)rows);
  return LAUNCH(pairs_kernel, pairs, kLongThreads, 0, stream, rows, integer(arguments, 1),
                input(arguments, 0), output(arguments, 0));
}

cudaError_t centered_clip(const Arguments& arguments, cudaStream_t stream) {
  const size_t rows = integer(arguments, 0), columns = integer(arguments, 1);
  const float* x = input(arguments, 0);
  float* center = output(arguments, 0);
  const cudaError_t stepped = LAUNCH(center_kernel, grid_of(columns, kThreads), kThreads, 0, stream, rows,
                                     columns, x, input(arguments, 1), center);
  if (stepped != cudaSuccess) return stepped;
  return LAUNCH(distances_kernel, (unsigned)rows, kLongThreads, 0, stream, columns, x, center,
                output(arguments, 1));
}

}  // namespace gradmesh::ops::device
