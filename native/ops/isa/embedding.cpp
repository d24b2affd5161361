// Token and position embeddings. The graph has checked that every token is a row of the table.
#include "ops/isa/arguments.h"

namespace gradmesh::ops::GM_ISA {

void embedding(const Arguments& arguments, uint64_t unit_begin, uint64_t unit_end) {
  const size_t rows = integer(arguments, 0), period = integer(arguments, 1), columns = integer(arguments, 2);
  const int32_t* tokens = input_i32(arguments, 0);
  for (size_t r = unit_begin * kRowsPerUnit; r < smaller(unit_end * kRowsPerUnit, rows); ++r) {
    const float* __restrict token = input(arguments, 1) + (size_t)tokens[r] * columns;
    const float* __restrict position = input(arguments, 2) + r % period * columns;
    float* __restrict out = output(arguments, 0) + r * columns;
    for (size_t i = 0; i < columns; ++i) out[i] = exact::add(token[i], position[i]);
  }
}

// Units are columns: each adds all rows, by ascending row, to the gradients of its columns.
void embedding_backward(const Arguments& arguments, uint64_t unit_begin, uint64_t unit_end) {
  const size_t rows = integer(arguments, 0), period = integer(arguments, 1);
  const size_t columns = integer(arguments, 2), entries = integer(arguments, 3);
  const size_t begin = unit_begin * kColumnsPerUnit, end = smaller(unit_end * kColumnsPerUnit, columns);
  if (begin >= end) return;
  const int32_t* tokens = input_i32(arguments, 0);
  float* d_table = output(arguments, 0);
  float* d_positions = output(arguments, 1);
  for (size_t v = 0; v < entries; ++v) memset(d_table + v * columns + begin, 0, (end - begin) * 4);
  for (size_t t = 0; t < period; ++t) memset(d_positions + t * columns + begin, 0, (end - begin) * 4);
  for (size_t r = 0; r < rows; ++r) {
    const float* __restrict d_out = input(arguments, 1) + r * columns;
    float* __restrict token = d_table + (size_t)tokens[r] * columns;
    float* __restrict position = d_positions + r % period * columns;
    for (size_t i = begin; i < end; ++i) {
      token[i] = exact::add(token[i], d_out[i]);
      position[i] = exact::add(position[i], d_out[i]);
    }
  }
}

}  // namespace gradmesh::ops::GM_ISA
