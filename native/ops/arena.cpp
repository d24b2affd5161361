// Follows writes: a tensor holds its value until another one that shares its place is written.
#include "ops/arena.h"

namespace gradmesh::ops {

void Arena::forget() {
  holds_.assign(plan_.tensors.size(), false);
  settled_ = true;
}

void Arena::ran_all() { settled_ = false; }

bool Arena::holds(uint32_t tensor) {
  settle();
  return holds_[tensor];
}

void Arena::wrote(uint32_t tensor) {
  settle();
  const Tensor& written = plan_.tensors[tensor];
  for (uint32_t id = 0; id < plan_.tensors.size(); ++id) {
    const Tensor& other = plan_.tensors[id];
    if (owns(id) && other.offset < written.offset + written.elements &&
        written.offset < other.offset + other.elements)
      holds_[id] = false;
  }
  holds_[tensor] = true;
}

void Arena::ran(const Node& node) {
  for (const uint32_t output : node.outputs)
    if (owns(output)) wrote(output);
}

Status Arena::check_inputs(uint32_t begin, uint32_t end) {
  Arena ahead = *this;
  for (uint32_t n = begin; n < end; ++n) {
    for (const uint32_t input : plan_.nodes[n].inputs)
      if (owns(input) && !ahead.holds(input))
        return {GM_INVALID_ARGUMENT, node_name(plan_, n) + " would read tensor " + std::to_string(input) +
                                         ", which does not hold its value now; run the nodes that make it, "
                                         "or write it first"};
    ahead.ran(plan_.nodes[n]);
  }
  return Status::ok();
}

void Arena::settle() {
  if (settled_) return;
  forget();
  for (const Node& node : plan_.nodes) ran(node);
}

}  // namespace gradmesh::ops
