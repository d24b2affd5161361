// What a graph calls: one function an operator, for each instruction set. A kernel computes the work units
// [unit_begin, unit_end) of its outputs; units never share an output, so any split over threads gives the
// same bytes.
#pragma once
#include <cstddef>
#include <cstdint>

namespace gradmesh::ops {

inline constexpr int kInputsMax = 5;
inline constexpr int kOutputsMax = 3;

// Tensors, integers and floats in the order of ops.def. Outputs overlap nothing. scratch is this thread's
// own: 64-byte aligned, of scratch_bytes() of shapes.h.
struct Arguments {
  const void* inputs[kInputsMax];
  void* outputs[kOutputsMax];
  const int32_t* integers;
  const double* floats;
  float* scratch;
};

using Kernel = void (*)(const Arguments& arguments, uint64_t unit_begin, uint64_t unit_end);

// Sizes that the kernels and the planner of units and scratch share; none of them can change a result.
inline constexpr uint64_t kElementsPerUnit = 4096;  // elementwise operators
inline constexpr uint64_t kRowsPerUnit = 16;        // operators over rows
inline constexpr uint64_t kColumnsPerUnit = 64;     // sums over rows
inline constexpr uint64_t kBlockRows = 64;          // outputs of a unit of a matrix product
inline constexpr uint64_t kBlockColumns = 192;
inline constexpr uint64_t kBlockTerms =
    256;  // terms summed before the accumulators are stored and loaded again

constexpr uint64_t blocks(uint64_t count, uint64_t block) { return (count + block - 1) / block; }
constexpr uint64_t smaller(uint64_t a, uint64_t b) { return a < b ? a : b; }

#define GM_OP(name, id, inputs, outputs, integers, floats, doc) \
  void name(const Arguments& arguments, uint64_t unit_begin, uint64_t unit_end);
namespace scalar {
#include "ops/ops.def"
}
#if defined(GM_X86)
namespace avx2 {
#include "ops/ops.def"
}
namespace avx512 {
#include "ops/ops.def"
}
#endif
#undef GM_OP

}  // namespace gradmesh::ops
