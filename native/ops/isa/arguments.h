// Typed access to a kernel's arguments.
#pragma once
#include "ops/isa/vector.h"
#include "ops/kernels.h"

namespace gradmesh::ops::GM_ISA {

HD const float* input(const Arguments& arguments, int index) {
  return static_cast<const float*>(arguments.inputs[index]);
}
HD const int32_t* input_i32(const Arguments& arguments, int index) {
  return static_cast<const int32_t*>(arguments.inputs[index]);
}
HD float* output(const Arguments& arguments, int index) {
  return static_cast<float*>(arguments.outputs[index]);
}
HD size_t integer(const Arguments& arguments, int index) { return (size_t)arguments.integers[index]; }

}  // namespace gradmesh::ops::GM_ISA
