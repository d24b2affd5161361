// The plans that callers made, and what running one checks of their memory.
#pragma once
#include <vector>

#include "abi/abi.h"
#include "base/handles.h"
#include "collective/plan.h"

namespace gradmesh::abi {

HandleTable<const Plan>& plans();
// GM_CLOSED where there is none.
Status find_plan(uint32_t handle, std::shared_ptr<const Plan>* plan);
// Into the request; GM_INVALID_ARGUMENT.
Status read_arithmetic(uint32_t dtype, uint32_t reduction, ScheduleRequest* request);

struct ConstBytes {
  const uint8_t* data;
  uint64_t length;
};
// For messages about memory that overlaps.
struct NamedMemory {
  std::string name;
  const uint8_t* begin;
  uint64_t bytes;
  bool written;
};
// Lengths and alignment of what one rank reads and writes; `place` follows the fields' names, as in "[2]".
// Appends to `all`.
Status check_tensors(const ScheduleRequest& plan, const std::string& place, ConstBytes input,
                     ConstBytes output, gm_f32s state, gm_f32s next, std::vector<NamedMemory>* all);
// Nothing that is written overlaps anything else.
Status check_apart(std::vector<NamedMemory> all);

}  // namespace gradmesh::abi
