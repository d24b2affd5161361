// Cross-entropy of softmax rows and its gradient: the kernels over define/loss.h.
#include "launchers.h"
#include "softmax.h"

namespace gradmesh::ops::device {
namespace {

// ---- kernels ----

template <int Items>
__global__ void __launch_bounds__(kRowThreads)
    cross_entropy_kernel(size_t rows, unsigned classes, const float* logits, const int32_t* targets,
                         float* losses, float* probabilities) {
  const RowPlace place = row_place(rows);
  const float* row = logits + place.row * classes;
  LaneOfRow<Items> x(row, classes, place.lane);
  const SoftmaxOfRow softmax = softmax_row(x, 1.0f, probabilities + place.row * classes, place.writes);
  if (place.writes && place.lane == 0)
    losses[place.row] = define::cross_entropy(softmax.sum, row[targets[place.row]], softmax.largest);
}

__global__ void __launch_bounds__(kRowThreads)
    cross_entropy_backward_kernel(size_t rows, unsigned classes, const float* probabilities,
                                  const int32_t* targets, float* d_logits) {
  const RowPlace place = row_place(rows);
  if (!place.writes) return;
  const float weight = exact::div(1.0f, (float)rows);
  const unsigned target = (unsigned)targets[place.row];
  const float* row = probabilities + place.row * classes;
  float* d_row = d_logits + place.row * classes;
#pragma unroll 4
  for (unsigned i = place.lane; i < classes; i += kLanes)
    d_row[i] = define::cross_entropy_slope(row[i], i == target, weight);
}

}  // namespace

// ---- launchers ----

cudaError_t cross_entropy(const Arguments& arguments, cudaStream_t stream) {
  const size_t rows = integer(arguments, 0);
  const unsigned classes = (unsigned)integer(arguments, 1);
  const float* logits = input(arguments, 0);
  const int32_t* targets = input_i32(arguments, 1);
  float* losses = output(arguments, 0);
  float* probabilities = output(arguments, 1);
  return LAUNCH_ROWS(cross_entropy_kernel, classes, rows, stream, rows, classes, logits, targets, losses,
                     probabilities);
}

cudaError_t cross_entropy_backward(const Arguments& arguments, cudaStream_t stream) {
  const size_t rows = integer(arguments, 0);
  const unsigned classes = (unsigned)integer(arguments, 1);
  const float* probabilities = input(arguments, 0);
  const int32_t* targets = input_i32(arguments, 1);
  float* d_logits = output(arguments, 0);
  return LAUNCH(cross_entropy_backward_kernel, cuda::blocks_for(rows, kRowsPerBlock), kRowThreads, 0, stream,
                rows, classes, probabilities, targets, d_logits);
}

}  // namespace gradmesh::ops::device
