// What only a run can know about its buffers, checked before its first node on every kind of device.
#pragma once
#include <span>
#include <vector>

#include "base/status.h"
#include "ops/plan.h"

namespace gradmesh::ops {

// GM_INVALID_ARGUMENT for too few or too short buffers, ones that start between two floats, and a written one
// that overlaps another.
Status check_bindings(const Plan& plan, std::span<const gm_bytes> bindings);

// GM_INVALID_ARGUMENT for a token, target or other index out of range, and for a scatter's that do not
// ascend. indices holds the copies of the i32 tensors, as Plan::indices places them.
Status check_indices(const Plan& plan, const int32_t* indices);

// GM_INVALID_ARGUMENT for an AdamW step that is no whole number from 1 to 2^24; only those bindings are
// looked at whose place in `looked_at` is true.
Status check_steps(const Plan& plan, std::span<const gm_bytes> bindings, const std::vector<bool>& looked_at);

}  // namespace gradmesh::ops
