// Elements by their indices, out of a tensor and back into it. The graph has checked that every index is one
// of the tensor's, and that a scatter's ascend: so no two units write one element.
#include "ops/isa/arguments.h"

namespace gradmesh::ops::GM_ISA {

void gather(const Arguments& arguments, uint64_t unit_begin, uint64_t unit_end) {
  const float* __restrict x = input(arguments, 0);
  const int32_t* __restrict index = input_i32(arguments, 1);
  float* __restrict y = output(arguments, 0);
  const size_t end = smaller(unit_end * kElementsPerUnit, integer(arguments, 1));
  for (size_t i = unit_begin * kElementsPerUnit; i < end; ++i) y[i] = x[(size_t)index[i]];
}

void scatter(const Arguments& arguments, uint64_t unit_begin, uint64_t unit_end) {
  const float* __restrict y = input(arguments, 0);
  const int32_t* __restrict index = input_i32(arguments, 1);
  float* __restrict x = output(arguments, 0);
  const size_t end = smaller(unit_end * kElementsPerUnit, integer(arguments, 1));
  for (size_t i = unit_begin * kElementsPerUnit; i < end; ++i) x[(size_t)index[i]] = y[i];
}

}  // namespace gradmesh::ops::GM_ISA
