// matmul, its two backward products, and the bias's sum over rows.
#include "column_sums.h"
#include "launchers.h"
#include "product.h"

namespace gradmesh::ops::device {
namespace {

// ---- kernels ----

struct Rows {
  static constexpr unsigned kValues = 1, kParts = 1;
  const float* x;
  size_t columns;
  __device__ __forceinline__ void fetch(size_t row, size_t column, float (&terms)[1]) const {
    terms[0] = x[row * columns + column];
  }
  __device__ __forceinline__ float add(unsigned, float sum, const float (&terms)[1]) const {
    return exact::add(sum, terms[0]);
  }
};

template <unsigned Columns>
__global__ void __launch_bounds__(kSumThreads) bias_backward_kernel(size_t rows, Rows source, float* d_bias) {
  float* const out[1] = {d_bias};
  sum_columns<Columns>(source, rows, source.columns, out);
}

}  // namespace

// ---- launchers ----

cudaError_t matmul(const Arguments& arguments, cudaStream_t stream) {
  const size_t m = integer(arguments, 0), k = integer(arguments, 1), n = integer(arguments, 2);
  Product p = {};
  p.a = {input(arguments, 0), k, 0, 0}, p.b = {input(arguments, 1), n, 0, 0};
  p.c = output(arguments, 0), p.c_stride = n;
  p.rows = (int)m, p.columns = (int)n, p.terms = (int)k;
  p.bias = integer(arguments, 3) == 1 ? input(arguments, 2) : nullptr;
  p.group = p.count = 1;
  return multiply<Inside::terms, Inside::outputs, Terms::all>(p, in_fours(p.a.data, p.b.data, p.c, k, n),
                                                              stream);
}

cudaError_t matmul_backward_input(const Arguments& arguments, cudaStream_t stream) {
  const size_t m = integer(arguments, 0), k = integer(arguments, 1), n = integer(arguments, 2);
  Product p = {};
  p.a = {input(arguments, 0), n, 0, 0}, p.b = {input(arguments, 1), n, 0, 0};
  p.c = output(arguments, 0), p.c_stride = k;
  p.rows = (int)m, p.columns = (int)k, p.terms = (int)n;
  p.group = p.count = 1;
  return multiply<Inside::terms, Inside::terms, Terms::all>(p, in_fours(p.a.data, p.b.data, p.c, k, n),
                                                            stream);
}

cudaError_t matmul_backward_weight(const Arguments& arguments, cudaStream_t stream) {
  const size_t m = integer(arguments, 0), k = integer(arguments, 1), n = integer(arguments, 2);
  Product p = {};
  p.a = {input(arguments, 0), k, 0, 0}, p.b = {input(arguments, 1), n, 0, 0};
  p.c = output(arguments, 0), p.c_stride = n;
  p.rows = (int)k, p.columns = (int)n, p.terms = (int)m;
  p.group = p.count = 1;
  return multiply<Inside::outputs, Inside::outputs, Terms::all>(p, in_fours(p.a.data, p.b.data, p.c, k, n),
                                                                stream);
}

cudaError_t bias_backward(const Arguments& arguments, cudaStream_t stream) {
  const size_t rows = integer(arguments, 0), columns = integer(arguments, 1);
  const Rows source = {input(arguments, 0), columns};
  float* d_bias = output(arguments, 0);
  return LAUNCH_COLUMNS(bias_backward_kernel, columns, stream, rows, source, d_bias);
}

}  // namespace gradmesh::ops::device
