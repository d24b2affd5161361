// What only a run can know, checked alike for every kind of device.
#include "ops/checks.h"

#include <cmath>

namespace gradmesh::ops {
namespace {

Status invalid(const std::string& what) { return {GM_INVALID_ARGUMENT, what}; }

}  // namespace

Status check_bindings(const Plan& plan, std::span<const gm_bytes> bindings) {
  const size_t count = plan.binding_elements.size();
  if (bindings.size() < count)
    return invalid("bindings holds " + std::to_string(bindings.size()) + " buffers; the graph binds " +
                   std::to_string(count));
  for (size_t i = 0; i < count; ++i) {
    const std::string name = "binding " + std::to_string(i);
    if (bindings[i].length / 4 < plan.binding_elements[i])
      return invalid(name + " has " + std::to_string(bindings[i].length) +
                     " bytes; the graph needs at least " + std::to_string(plan.binding_elements[i] * 4));
    if (reinterpret_cast<uintptr_t>(bindings[i].data) % 4 != 0)
      return invalid(name + " does not start at a multiple of 4 bytes");
    for (size_t j = 0; j < count; ++j)
      if (j != i && plan.binding_written[i] && bindings[i].data < bindings[j].data + bindings[j].length &&
          bindings[j].data < bindings[i].data + bindings[i].length)
        return invalid(name + " is written by the graph and overlaps binding " + std::to_string(j));
  }
  return Status::ok();
}

Status check_indices(const Plan& plan, const int32_t* indices) {
  for (size_t n = 0; n < plan.nodes.size(); ++n) {
    const Node& node = plan.nodes[n];
    if (node.shape.index_input < 0) continue;
    const uint32_t id = node.inputs[static_cast<size_t>(node.shape.index_input)];
    const int32_t* values = indices + plan.tensors[id].copied;
    for (uint64_t i = 0; i < plan.tensors[id].elements; ++i)
      if (values[i] < 0 || static_cast<uint64_t>(values[i]) >= node.shape.index_rows)
        return invalid(node_name(plan, n) + ": tensor " + std::to_string(id) + " holds " +
                       std::to_string(values[i]) + " at " + std::to_string(i) + ", allowed: 0 to " +
                       std::to_string(node.shape.index_rows - 1));
    for (uint64_t i = 1; node.shape.index_ascends && i < plan.tensors[id].elements; ++i)
      if (values[i] <= values[i - 1])
        return invalid(node_name(plan, n) + ": tensor " + std::to_string(id) + " holds " +
                       std::to_string(values[i]) + " at " + std::to_string(i) + ", after " +
                       std::to_string(values[i - 1]) + "; allowed: ascending numbers, each once");
  }
  return Status::ok();
}

Status check_steps(const Plan& plan, std::span<const gm_bytes> bindings, const std::vector<bool>& looked_at) {
  for (size_t n = 0; n < plan.nodes.size(); ++n) {
    const Node& node = plan.nodes[n];
    if (node.op != Op::adamw) continue;
    const Tensor& schedule = plan.tensors[node.inputs[2]];
    if (schedule.binding < 0 || !looked_at[static_cast<size_t>(schedule.binding)]) continue;
    const gm_bytes& buffer = bindings[static_cast<size_t>(schedule.binding)];
    const float step = reinterpret_cast<const float*>(buffer.data + schedule.offset * 4)[1];
    if (!(step >= 1) || step > 0x1p24f || step != std::floor(step))
      return invalid(node_name(plan, n) + ": the step in tensor " + std::to_string(node.inputs[2]) + " is " +
                     std::to_string(step) + ", allowed: whole numbers from 1 to 2^24");
  }
  return Status::ok();
}

}  // namespace gradmesh::ops
