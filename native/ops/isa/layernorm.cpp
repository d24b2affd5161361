// Layer normalization (arXiv 1607.06450) over the last dimension, forward and backward.
#include "ops/define/layernorm.h"

#include "ops/isa/arguments.h"
#include "ops/isa/rows.h"

namespace gradmesh::ops::GM_ISA {
namespace {

// The sum of squares of x - mean, in the fixed tree; the last group's missing elements count as +0.
HD float squared_deviations(const float* x, float mean, size_t count) {
  const F16 center = spread(mean);
  F16 lanes = zero();
  size_t i = 0;
  for (; i + kLanes <= count; i += kLanes) {
    const F16 deviation = sub(load(x + i), center);
    lanes = fma(deviation, deviation, lanes);
  }
  if (i < count) {
    alignas(64) float tail[kLanes] = {};
    store_part(tail, sub(load_part(x + i, count - i), center), count - i);
    const F16 deviation = load(tail);
    lanes = fma(deviation, deviation, lanes);
  }
  return tree_fold(lanes);
}

// d_x of one row, as define::layernorm_slope says.
HD void backward_row(const float* __restrict d_y, const float* __restrict x, const float* __restrict gain,
                     float mean, float rstd, size_t count, float* __restrict scaled, float* __restrict normal,
                     float* __restrict d_x) {
  for (size_t i = 0; i < count; ++i) {
    scaled[i] = exact::mul(d_y[i], gain[i]);
    normal[i] = define::layernorm_normal(x[i], mean, rstd);
  }
  const float columns = (float)count;
  const float mean_scaled = exact::div(row_sum(scaled, count), columns);
  const float mean_product = exact::div(row_dot(scaled, normal, count), columns);
  for (size_t i = 0; i < count; ++i)
    d_x[i] = define::layernorm_slope(scaled[i], normal[i], rstd, mean_scaled, mean_product);
}

}  // namespace

void layernorm(const Arguments& arguments, uint64_t unit_begin, uint64_t unit_end) {
  const size_t rows = integer(arguments, 0), columns = integer(arguments, 1);
  const float epsilon = (float)arguments.floats[0];
  const float* __restrict gain = input(arguments, 1);
  const float* __restrict bias = input(arguments, 2);
  for (size_t r = unit_begin * kRowsPerUnit; r < smaller(unit_end * kRowsPerUnit, rows); ++r) {
    const float* __restrict x = input(arguments, 0) + r * columns;
    float* __restrict y = output(arguments, 0) + r * columns;
    const float mean = exact::div(row_sum(x, columns), (float)columns);
    const float squares = squared_deviations(x, mean, columns);
    const float rstd = define::layernorm_rstd(squares, (float)columns, epsilon);
    for (size_t i = 0; i < columns; ++i)
      y[i] = define::layernorm_element(define::layernorm_normal(x[i], mean, rstd), gain[i], bias[i]);
    output(arguments, 1)[r] = mean;
    output(arguments, 2)[r] = rstd;
  }
}

// Units: first those of d_x, kRowsPerUnit rows each, then those of d_gain and d_bias, kColumnsPerUnit columns
// each.
void layernorm_backward(const Arguments& arguments, uint64_t unit_begin, uint64_t unit_end) {
  const size_t rows = integer(arguments, 0), columns = integer(arguments, 1);
  const float* d_y = input(arguments, 0);
  const float* x = input(arguments, 1);
  const float* mean = input(arguments, 3);
  const float* rstd = input(arguments, 4);
  const uint64_t row_units = blocks(rows, kRowsPerUnit);
  float* scaled = arguments.scratch;
  float* normal = arguments.scratch + whole_vectors(columns);
  for (size_t r = unit_begin * kRowsPerUnit; r < smaller(smaller(unit_end, row_units) * kRowsPerUnit, rows);
       ++r)
    backward_row(d_y + r * columns, x + r * columns, input(arguments, 2), mean[r], rstd[r], columns, scaled,
                 normal, output(arguments, 0) + r * columns);
  if (unit_end <= row_units) return;

  const uint64_t first_unit = unit_begin > row_units ? unit_begin - row_units : 0;
  const size_t begin = first_unit * kColumnsPerUnit;
  const size_t end = smaller((unit_end - row_units) * kColumnsPerUnit, columns);
  float* __restrict d_gain = output(arguments, 1);
  float* __restrict d_bias = output(arguments, 2);
  for (size_t i = begin; i < end; ++i) d_gain[i] = d_bias[i] = 0.0f;
  for (size_t r = 0; r < rows; ++r) {
    const float* __restrict d_row = d_y + r * columns;
    const float* __restrict x_row = x + r * columns;
    const float center = mean[r], scale = rstd[r];
    for (size_t i = begin; i < end; ++i) {
      d_gain[i] = exact::fma(d_row[i], define::layernorm_normal(x_row[i], center, scale), d_gain[i]);
      d_bias[i] = exact::add(d_bias[i], d_row[i]);
    }
  }
}

}  // namespace gradmesh::ops::GM_ISA
