// Cross-entropy of softmax rows and its gradient; and sums over a whole tensor: the mean, the norm that
// gradients are clipped by, and the dot product.
#include "ops/define/loss.h"

#include "ops/isa/arguments.h"
#include "ops/isa/rows.h"

namespace gradmesh::ops::GM_ISA {

void cross_entropy(const Arguments& arguments, uint64_t unit_begin, uint64_t unit_end) {
  const size_t rows = integer(arguments, 0), classes = integer(arguments, 1);
  const int32_t* targets = input_i32(arguments, 1);
  float* row = arguments.scratch;
  for (size_t r = unit_begin * kRowsPerUnit; r < smaller(unit_end * kRowsPerUnit, rows); ++r) {
    const float* logits = input(arguments, 0) + r * classes;
    memcpy(row, logits, classes * 4);
    const Softmax softmax = softmax_row(row, classes, 1.0f);
    memcpy(output(arguments, 1) + r * classes, row, classes * 4);
    output(arguments, 0)[r] = define::cross_entropy(softmax.sum, logits[targets[r]], softmax.largest);
  }
}

void cross_entropy_backward(const Arguments& arguments, uint64_t unit_begin, uint64_t unit_end) {
  const size_t rows = integer(arguments, 0), classes = integer(arguments, 1);
  const int32_t* targets = input_i32(arguments, 1);
  const float weight = exact::div(1.0f, (float)rows);
  for (size_t r = unit_begin * kRowsPerUnit; r < smaller(unit_end * kRowsPerUnit, rows); ++r) {
    const float* __restrict probabilities = input(arguments, 0) + r * classes;
    float* __restrict d_logits = output(arguments, 0) + r * classes;
    for (size_t i = 0; i < classes; ++i)
      d_logits[i] = define::cross_entropy_slope(probabilities[i], false, weight);
    const size_t target = (size_t)targets[r];
    d_logits[target] = define::cross_entropy_slope(probabilities[target], true, weight);
  }
}

void mean(const Arguments& arguments, uint64_t unit_begin, uint64_t unit_end) {
  if (unit_begin == unit_end) return;
  const size_t count = integer(arguments, 0);
  output(arguments, 0)[0] = exact::div(row_sum(input(arguments, 0), count), (float)count);
}

void clip_scale(const Arguments& arguments, uint64_t unit_begin, uint64_t unit_end) {
  if (unit_begin == unit_end) return;
  const float* x = input(arguments, 0);
  const float norm = exact::sqrt(row_dot(x, x, integer(arguments, 0)));
  output(arguments, 0)[0] = define::clip_factor(norm, (float)arguments.floats[0]);
  output(arguments, 0)[1] = norm;
}

void dot(const Arguments& arguments, uint64_t unit_begin, uint64_t unit_end) {
  if (unit_begin == unit_end) return;
  const float sum = row_dot(input(arguments, 0), input(arguments, 1), integer(arguments, 0));
  output(arguments, 0)[0] = exact::canonical(sum);
}

}  // namespace gradmesh::ops::GM_ISA
