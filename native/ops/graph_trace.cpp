// Runs part of a graph and looks into its own memory: what a verifier needs to find the operator whose output
// is wrong, and a referee to run that one operator.
#include <algorithm>

#include "ops/graph.h"
#include "state/digest.h"

namespace gradmesh::ops {
namespace {

Status invalid(const std::string& what) { return {GM_INVALID_ARGUMENT, what}; }
std::string text(uint64_t number) { return std::to_string(number); }

Status check_range(const Plan& plan, uint32_t begin, uint32_t end, size_t digest_bytes) {
  if (begin > end || end > plan.nodes.size())
    return invalid("begin is " + text(begin) + " and end is " + text(end) +
                   "; allowed: 0 <= begin <= end <= " + text(plan.nodes.size()) + ", the graph's nodes");
  size_t outputs = 0;
  for (uint32_t n = begin; n < end; ++n) outputs += plan.nodes[n].outputs.size();
  if (digest_bytes == 0 || digest_bytes == outputs * sizeof(StateDigest)) return Status::ok();
  return invalid("digests has " + text(digest_bytes) + " bytes; allowed: 0, or 32 for each of the " +
                 text(outputs) + " outputs of these nodes");
}

// That elements [offset, offset + count) lie in a tensor of the arena.
Status check_part(const Plan& plan, uint32_t tensor, uint64_t offset, size_t count) {
  if (tensor >= plan.tensors.size())
    return invalid("tensor is " + text(tensor) + ", allowed: 0 to " + text(plan.tensors.size() - 1));
  const Tensor& t = plan.tensors[tensor];
  if (t.binding >= 0)
    return invalid("tensor " + text(tensor) + " is part of binding " + std::to_string(t.binding) +
                   ", which is the caller's own; allowed: tensors of the graph's own memory");
  if (offset > t.elements || count > t.elements - offset)
    return invalid("offset is " + text(offset) + " and the buffer has " + text(count) + " elements; tensor " +
                   text(tensor) + " has " + text(t.elements));
  return Status::ok();
}

Status not_held(uint32_t tensor) {
  return invalid("tensor " + text(tensor) +
                 " does not hold its value now: no node has written it yet, or another tensor has taken its "
                 "place since");
}

}  // namespace

Status Graph::trace(std::span<const gm_bytes> bindings, uint32_t begin, uint32_t end,
                    std::span<uint8_t> digests) {
  const std::lock_guard lock(running_);
  GM_TRY(check_range(plan_, begin, end, digests.size()));
  GM_TRY(check_run(bindings));
  GM_TRY(holds_.check_inputs(begin, end));
  for (uint32_t n = begin; n < end; ++n) {
    const Node& node = plan_.nodes[n];
    run_node(node, bindings);
    holds_.ran(node);
    for (size_t i = 0; i < node.outputs.size() && !digests.empty(); ++i) {
      const auto* bytes = static_cast<const uint8_t*>(address(node.outputs[i], bindings));
      const Bytes output(bytes, plan_.tensors[node.outputs[i]].elements * 4);
      const StateDigest digest = state_digest({&output, 1}, &pool_);
      std::copy(digest.begin(), digest.end(), digests.begin());
      digests = digests.subspan(digest.size());
    }
  }
  return Status::ok();
}

Status Graph::read(uint32_t tensor, uint64_t offset, std::span<float> target) {
  const std::lock_guard lock(running_);
  GM_TRY(check_part(plan_, tensor, offset, target.size()));
  if (!holds_.holds(tensor)) return not_held(tensor);
  std::copy_n(arena_.get() + plan_.tensors[tensor].offset + offset, target.size(), target.begin());
  return Status::ok();
}

Status Graph::write(uint32_t tensor, uint64_t offset, std::span<const float> source) {
  const std::lock_guard lock(running_);
  GM_TRY(check_part(plan_, tensor, offset, source.size()));
  if (source.size() != plan_.tensors[tensor].elements && !holds_.holds(tensor)) return not_held(tensor);
  std::copy(source.begin(), source.end(), arena_.get() + plan_.tensors[tensor].offset + offset);
  holds_.wrote(tensor);
  return Status::ok();
}

}  // namespace gradmesh::ops
