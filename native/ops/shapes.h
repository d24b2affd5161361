// The registry of operators at run time, and what an operator's integers imply: the sizes of its tensors, how
// its work is cut into units, and how much scratch a thread needs.
#pragma once
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "base/status.h"
#include "ops/kernels.h"

namespace gradmesh::ops {

enum class Op : uint32_t {
#define GM_OP(name, id, inputs, outputs, integers, floats, doc) name = id,
#include "ops/ops.def"
#undef GM_OP
};

struct OpRow {
  const char* name;
  uint32_t id, inputs, outputs, integers, floats;
  const char* doc;
};
inline constexpr uint32_t kOps = 34;
// Ordered by id; null when there is no such id or name.
const OpRow* op_find(uint32_t id);
const OpRow* op_find(std::string_view name);
// The operator's function for the backend that is active now.
Kernel op_kernel(Op op);

inline constexpr uint64_t kAnySize = UINT64_MAX;  // of a tensor that is not read
inline constexpr uint64_t kElementsMax = uint64_t{1} << 40;

struct Shape {
  uint64_t inputs[kInputsMax] = {};  // elements of each tensor
  uint64_t outputs[kOutputsMax] = {};
  int index_input = -1;        // the input that is i32, or -1
  uint64_t index_rows = 0;     // its values are in [0, index_rows)
  bool index_ascends = false;  // and each is larger than the one before
  bool in_place = false;       // outputs are read before they are written
  uint64_t units = 0;
  uint64_t scratch = 0;         // floats a thread
  uint64_t device_scratch = 0;  // floats that the operator's CUDA twin needs
};

// GM_INVALID_ARGUMENT names the integer or float that is impossible. The counts of both are right already.
Status op_shape(Op op, std::span<const int32_t> integers, std::span<const double> floats, Shape* shape);

}  // namespace gradmesh::ops
