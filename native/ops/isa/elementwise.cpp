// Operators on every element alone: the loops over define/elementwise.h, and copy.
#include "ops/define/elementwise.h"

#include "ops/isa/arguments.h"

namespace gradmesh::ops::GM_ISA {
namespace {

struct Range {
  size_t begin, end;
};
HD Range elements(const Arguments& arguments, uint64_t unit_begin, uint64_t unit_end) {
  return {unit_begin * kElementsPerUnit, smaller(unit_end * kElementsPerUnit, integer(arguments, 0))};
}

}  // namespace

void gelu(const Arguments& arguments, uint64_t unit_begin, uint64_t unit_end) {
  const Range range = elements(arguments, unit_begin, unit_end);
  const float* __restrict x = input(arguments, 0);
  float* __restrict y = output(arguments, 0);
  for (size_t i = range.begin; i < range.end; ++i) y[i] = define::gelu(x[i]);
}

void gelu_backward(const Arguments& arguments, uint64_t unit_begin, uint64_t unit_end) {
  const Range range = elements(arguments, unit_begin, unit_end);
  const float* __restrict x = input(arguments, 0);
  const float* __restrict d_y = input(arguments, 1);
  float* __restrict d_x = output(arguments, 0);
  for (size_t i = range.begin; i < range.end; ++i) d_x[i] = define::gelu_backward(x[i], d_y[i]);
}

void add(const Arguments& arguments, uint64_t unit_begin, uint64_t unit_end) {
  const Range range = elements(arguments, unit_begin, unit_end);
  const float* __restrict a = input(arguments, 0);
  const float* __restrict b = input(arguments, 1);
  float* __restrict out = output(arguments, 0);
  for (size_t i = range.begin; i < range.end; ++i) out[i] = define::add(a[i], b[i]);
}

void subtract(const Arguments& arguments, uint64_t unit_begin, uint64_t unit_end) {
  const Range range = elements(arguments, unit_begin, unit_end);
  const float* __restrict a = input(arguments, 0);
  const float* __restrict b = input(arguments, 1);
  float* __restrict out = output(arguments, 0);
  for (size_t i = range.begin; i < range.end; ++i) out[i] = define::subtract(a[i], b[i]);
}

void axpby(const Arguments& arguments, uint64_t unit_begin, uint64_t unit_end) {
  const Range range = elements(arguments, unit_begin, unit_end);
  const float* __restrict x = input(arguments, 0);
  const float* __restrict y = input(arguments, 1);
  float* __restrict out = output(arguments, 0);
  const float a = input(arguments, 2)[0], b = input(arguments, 2)[1];
  for (size_t i = range.begin; i < range.end; ++i) out[i] = define::axpby(a, x[i], b, y[i]);
}

void scale_by(const Arguments& arguments, uint64_t unit_begin, uint64_t unit_end) {
  const Range range = elements(arguments, unit_begin, unit_end);
  const float* __restrict x = input(arguments, 0);
  float* __restrict out = output(arguments, 0);
  const float factor = input(arguments, 1)[0];
  for (size_t i = range.begin; i < range.end; ++i) out[i] = define::scale_by(x[i], factor);
}

void copy(const Arguments& arguments, uint64_t unit_begin, uint64_t unit_end) {
  const Range range = elements(arguments, unit_begin, unit_end);
  memcpy(output(arguments, 0) + range.begin, input(arguments, 0) + range.begin,
         (range.end - range.begin) * 4);
}

}  // namespace gradmesh::ops::GM_ISA
