// What the plugin calls: one launcher an operator, with the tensors and numbers that its row of ops.def
// names, all tensors in device memory. A launcher owns its grid, never waits, and gives the launch's error.
// The bytes are those of native/ops/isa on every grid, block and card.
#pragma once
#include <type_traits>

#include "launch.h"
#include "ops/kernels.h"

namespace gradmesh::ops::device {

#define GM_OP(name, id, inputs, outputs, integers, floats, doc) \
  cudaError_t name(const Arguments& arguments, cudaStream_t stream);
#include "ops/ops.def"
#undef GM_OP

inline const float* input(const Arguments& arguments, int index) {
  return static_cast<const float*>(arguments.inputs[index]);
}
inline const int32_t* input_i32(const Arguments& arguments, int index) {
  return static_cast<const int32_t*>(arguments.inputs[index]);
}
inline float* output(const Arguments& arguments, int index) {
  return static_cast<float*>(arguments.outputs[index]);
}
inline size_t integer(const Arguments& arguments, int index) {
  return static_cast<size_t>(arguments.integers[index]);
}

// Whether these addresses and sizes (in floats) allow 16-byte accesses.
template <class... Rest>
bool in_fours(Rest... rest) {
  const auto four = [](auto each) {
    if constexpr (std::is_pointer_v<decltype(each)>)
      return reinterpret_cast<uintptr_t>(each) % 16 == 0;
    else
      return static_cast<size_t>(each) % 4 == 0;
  };
  return (four(rest) && ...);
}

// Blocks for a loop in which every thread goes on by the grid's size: enough to fill any card several times
// over.
inline unsigned grid_of(size_t items, unsigned threads) {
  const size_t blocks = (items + threads - 1) / threads;
  return blocks < 4096 ? static_cast<unsigned>(blocks) : 4096;
}

}  // namespace gradmesh::ops::device
