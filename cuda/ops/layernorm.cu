// Layer normalization, forward and backward: the kernels over define/layernorm.h.
#include "column_sums.h"
#include "lanes.h"
#include "launchers.h"
#include "ops/define/layernorm.h"

namespace gradmesh::ops::device {
namespace {

// ---- kernels ----

struct Norm {
  const float *x, *gain, *bias;
  float *y, *mean, *rstd;
};

template <int Items>
__global__ void __launch_bounds__(kRowThreads)
    layernorm_kernel(size_t rows, unsigned columns, float epsilon, Norm t) {
  const RowPlace place = row_place(rows);
  LaneOfRow<Items> x(t.x + place.row * columns, columns, place.lane);
  float sum = 0.0f;
  each_of_lane([&](unsigned, bool, float value) { sum = exact::add(sum, value); }, x);
  const float mean = exact::div(fold_lanes(sum), (float)columns);
  float squares = 0.0f;
  each_of_lane(
      [&](unsigned, bool inside, float value) {
        const float deviation = inside ? exact::sub(value, mean) : 0.0f;
        squares = exact::fma(deviation, deviation, squares);
      },
      x);
  const float rstd = define::layernorm_rstd(fold_lanes(squares), (float)columns, epsilon);
  if (!place.writes) return;
  float* y = t.y + place.row * columns;
  each_of_lane(
      [&](unsigned i, bool inside, float value) {
        if (inside)
          y[i] = define::layernorm_element(define::layernorm_normal(value, mean, rstd), t.gain[i], t.bias[i]);
      },
      x);
  if (place.lane == 0) t.mean[place.row] = mean, t.rstd[place.row] = rstd;
}

struct NormBackward {
  const float *d_y, *x, *gain, *mean, *rstd;
  float* d_x;
};

template <int Items>
__global__ void __launch_bounds__(kRowThreads)
    layernorm_backward_kernel(size_t rows, unsigned columns, NormBackward t) {
  const RowPlace place = row_place(rows);
  LaneOfRow<Items> d_y(t.d_y + place.row * columns, columns, place.lane);
  LaneOfRow<Items> x(t.x + place.row * columns, columns, place.lane);
  const float mean = t.mean[place.row], rstd = t.rstd[place.row];
  float sum = 0.0f, product = 0.0f;
  each_of_lane(
      [&](unsigned i, bool inside, float slope, float value) {
        const float scaled = inside ? exact::mul(slope, t.gain[i]) : 0.0f;
        const float normal = inside ? define::layernorm_normal(value, mean, rstd) : 0.0f;
        sum = exact::add(sum, scaled);
        product = exact::fma(scaled, normal, product);
      },
      d_y, x);
  const float mean_scaled = exact::div(fold_lanes(sum), (float)columns);
  const float mean_product = exact::div(fold_lanes(product), (float)columns);
  if (!place.writes) return;
  float* d_x = t.d_x + place.row * columns;
  each_of_lane(
      [&](unsigned i, bool inside, float slope, float value) {
        if (!inside) return;
        const float scaled = exact::mul(slope, t.gain[i]);
        const float normal = define::layernorm_normal(value, mean, rstd);
        d_x[i] = define::layernorm_slope(scaled, normal, rstd, mean_scaled, mean_product);
      },
      d_y, x);
}

// d_gain and d_bias: the terms of both sums of a column.
struct GainAndBias {
  static constexpr unsigned kValues = 2, kParts = 2;
  const float *d_y, *x, *mean, *rstd;
  size_t columns;
  __device__ __forceinline__ void fetch(size_t row, size_t column, float (&terms)[2]) const {
    terms[0] = d_y[row * columns + column];
    terms[1] = define::layernorm_normal(x[row * columns + column], mean[row], rstd[row]);
  }
  __device__ __forceinline__ float add(unsigned part, float sum, const float (&terms)[2]) const {
    return part == 0 ? exact::fma(terms[0], terms[1], sum) : exact::add(sum, terms[0]);
  }
};

template <unsigned Columns>
__global__ void __launch_bounds__(kSumThreads)
    gain_and_bias_kernel(size_t rows, GainAndBias source, float* d_gain, float* d_bias) {
  float* const out[2] = {d_gain, d_bias};
  sum_columns<Columns>(source, rows, source.columns, out);
}

}  // namespace

// ---- launchers ----

cudaError_t layernorm(const Arguments& arguments, cudaStream_t stream) {
  const size_t rows = integer(arguments, 0);
  const unsigned columns = (unsigned)integer(arguments, 1);
  const float epsilon = (float)arguments.floats[0];
  const Norm t = {input(arguments, 0),  input(arguments, 1),  input(arguments, 2),
                  output(arguments, 0), output(arguments, 1), output(arguments, 2)};
  return LAUNCH_ROWS(layernorm_kernel, columns, rows, stream, rows, columns, epsilon, t);
}

cudaError_t layernorm_backward(const Arguments& arguments, cudaStream_t stream) {
  const size_t rows = integer(arguments, 0);
  const unsigned columns = (unsigned)integer(arguments, 1);
  const NormBackward t = {input(arguments, 0), input(arguments, 1), input(arguments, 2),
                          input(arguments, 3), input(arguments, 4), output(arguments, 0)};
  const cudaError_t error = LAUNCH_ROWS(layernorm_backward_kernel, columns, rows, stream, rows, columns, t);
  if (error != cudaSuccess) return error;
  const GainAndBias source = {t.d_y, t.x, t.mean, t.rstd, columns};
  float* d_gain = output(arguments, 1);
  float* d_bias = output(arguments, 2);
  return LAUNCH_COLUMNS(gain_and_bias_kernel, columns, stream, rows, source, d_gain, d_bias);
}

}  // namespace gradmesh::ops::device
