// matmul, its two backward products, and the bias's sum over rows.
#include "ops/isa/arguments.h"
#include "ops/isa/product.h"

namespace gradmesh::ops::GM_ISA {
namespace {

// Units are blocks of kBlockRows x kBlockColumns outputs, down the rows first; neighbours in a column run as
// one, so that they share its panels.
void run_blocks(const Product& p, uint64_t unit_begin, uint64_t unit_end, float* panel) {
  const uint64_t row_blocks = blocks(p.rows, kBlockRows);
  while (unit_begin < unit_end) {
    const uint64_t column_block = unit_begin / row_blocks;
    const uint64_t stop = smaller(unit_end, (column_block + 1) * row_blocks);
    const uint64_t row = (unit_begin - column_block * row_blocks) * kBlockRows;
    const uint64_t row_end = smaller((stop - column_block * row_blocks) * kBlockRows, p.rows);
    const uint64_t column = column_block * kBlockColumns;
    multiply(p, row, row_end, column, smaller(column + kBlockColumns, p.columns), panel);
    unit_begin = stop;
  }
}

}  // namespace

void matmul(const Arguments& arguments, uint64_t unit_begin, uint64_t unit_end) {
  const size_t m = integer(arguments, 0), k = integer(arguments, 1), n = integer(arguments, 2);
  const float* bias = integer(arguments, 3) ? input(arguments, 2) : nullptr;
  const Product p = {
      input(arguments, 0), k, 1, input(arguments, 1), n, 1, output(arguments, 0), n, m, n, k, bias,
      Terms::all};
  run_blocks(p, unit_begin, unit_end, arguments.scratch);
}

void matmul_backward_input(const Arguments& arguments, uint64_t unit_begin, uint64_t unit_end) {
  const size_t m = integer(arguments, 0), k = integer(arguments, 1), n = integer(arguments, 2);
  const Product p = {
      input(arguments, 0), n, 1, input(arguments, 1), 1, n, output(arguments, 0), k, m, k, n, nullptr,
      Terms::all};
  run_blocks(p, unit_begin, unit_end, arguments.scratch);
}

void matmul_backward_weight(const Arguments& arguments, uint64_t unit_begin, uint64_t unit_end) {
  const size_t m = integer(arguments, 0), k = integer(arguments, 1), n = integer(arguments, 2);
  const Product p = {
      input(arguments, 0), 1, k, input(arguments, 1), n, 1, output(arguments, 0), n, k, n, m, nullptr,
      Terms::all};
  run_blocks(p, unit_begin, unit_end, arguments.scratch);
}

void bias_backward(const Arguments& arguments, uint64_t unit_begin, uint64_t unit_end) {
  const size_t m = integer(arguments, 0), n = integer(arguments, 1);
  const float* d_y = input(arguments, 0);
  float* d_bias = output(arguments, 0);
  const size_t begin = unit_begin * kColumnsPerUnit, end = smaller(unit_end * kColumnsPerUnit, n);
  for (size_t j = begin; j < end; ++j) d_bias[j] = 0.0f;
  for (size_t i = 0; i < m; ++i) {
    const float* __restrict row = d_y + i * n;
    float* __restrict sums = d_bias;
    for (size_t j = begin; j < end; ++j) sums[j] = exact::add(sums[j], row[j]);
  }
}

}  // namespace gradmesh::ops::GM_ISA
