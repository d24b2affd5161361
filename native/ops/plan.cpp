// Checks a description and places the arena's tensors.
#include "ops/plan.h"

#include <algorithm>
#include <cmath>

namespace gradmesh::ops {
namespace {

Status invalid(const std::string& what) { return {GM_INVALID_ARGUMENT, what}; }
std::string text(uint64_t number) { return std::to_string(number); }

// A whole number in [low, high]; doubles hold all of them exactly.
bool whole(double value, double low, double high) {
  return value >= low && value <= high && value == std::floor(value);
}

Status read_tensors(std::span<const double> numbers, Plan* plan) {
  if (numbers.size() % 4 != 0 || numbers.size() / 4 > kTensorsMax)
    return invalid("tensors holds " + text(numbers.size()) + " numbers; allowed: 4 for each of at most " +
                   text(kTensorsMax) + " tensors");
  const double elements_max = static_cast<double>(kElementsMax);
  for (size_t i = 0; i < numbers.size(); i += 4) {
    const std::string name = "tensor " + text(i / 4);
    const double binding = numbers[i], offset = numbers[i + 1], elements = numbers[i + 2],
                 kind = numbers[i + 3];
    if (!whole(binding, -1, kBindingsMax - 1))
      return invalid(name + ": binding is " + std::to_string(binding) + ", allowed: -1 to " +
                     text(kBindingsMax - 1));
    if (!whole(offset, 0, binding < 0 ? 0 : elements_max))
      return invalid(name + ": offset is " + std::to_string(offset) + ", allowed: 0 to 2^40, 0 in the arena");
    if (!whole(elements, 1, elements_max))
      return invalid(name + ": elements is " + std::to_string(elements) + ", allowed: 1 to 2^40");
    if (!whole(kind, 0, binding < 0 ? 0 : 1))
      return invalid(name + ": kind is " + std::to_string(kind) +
                     ", allowed: 0 (f32), 1 (i32, never in the arena)");
    Tensor tensor;
    tensor.binding = static_cast<int32_t>(binding);
    tensor.offset = static_cast<uint64_t>(offset);
    tensor.elements = static_cast<uint64_t>(elements);
    tensor.index = kind == 1;
    if (tensor.index) tensor.copied = plan->indices, plan->indices += tensor.elements;
    plan->tensors.push_back(tensor);
  }
  return Status::ok();
}

Status read_nodes(const Description& d, Plan* plan) {
  size_t at = 0, float_at = 0;
  while (at < d.nodes.size()) {
    const std::string name = "node " + text(plan->nodes.size());
    const OpRow* row = op_find(static_cast<uint32_t>(d.nodes[at]));
    if (row == nullptr)
      return invalid(name + ": operator is " + std::to_string(d.nodes[at]) + ", allowed: 0 to " +
                     text(kOps - 1));
    ++at;
    const size_t numbers = row->inputs + row->outputs + row->integers;
    if (d.nodes.size() - at < numbers || d.floats.size() - float_at < row->floats)
      return invalid(name + " (" + row->name + "): the description ends within it; it takes " +
                     text(numbers) + " numbers and " + text(row->floats) + " floats");
    Node node;
    node.op = static_cast<Op>(row->id);
    for (size_t i = 0; i < row->inputs + row->outputs; ++i, ++at) {
      if (d.nodes[at] < 0 || static_cast<size_t>(d.nodes[at]) >= plan->tensors.size())
        return invalid(name + " (" + row->name + "): tensor " + std::to_string(d.nodes[at]) +
                       " is none of the " + text(plan->tensors.size()) + " described");
      (i < row->inputs ? node.inputs : node.outputs).push_back(static_cast<uint32_t>(d.nodes[at]));
    }
    node.integers.assign(d.nodes.begin() + at, d.nodes.begin() + at + row->integers);
    node.floats.assign(d.floats.begin() + float_at, d.floats.begin() + float_at + row->floats);
    at += row->integers, float_at += row->floats;
    if (Status status = op_shape(node.op, node.integers, node.floats, &node.shape); !status)
      return invalid(name + ": " + status.message());
    plan->nodes.push_back(std::move(node));
  }
  if (float_at != d.floats.size())
    return invalid("floats holds " + text(d.floats.size()) + " numbers; the nodes take " + text(float_at));
  return Status::ok();
}

bool overlap(const Tensor& a, const Tensor& b) {
  return a.binding == b.binding && a.binding >= 0 && a.offset < b.offset + b.elements &&
         b.offset < a.offset + a.elements;
}

Status check_outputs_apart(const Plan& plan, const Node& node, const std::string& name) {
  for (size_t i = 0; i < node.outputs.size(); ++i) {
    std::vector<uint32_t> others(node.inputs);
    others.insert(others.end(), node.outputs.begin() + i + 1, node.outputs.end());
    for (const uint32_t other : others)
      if (other == node.outputs[i] || overlap(plan.tensors[other], plan.tensors[node.outputs[i]]))
        return invalid(name + ": output " + text(i) + " (tensor " + text(node.outputs[i]) +
                       ") overlaps tensor " + text(other) + " of the same node");
  }
  return Status::ok();
}

Status check_tensor(const Plan& plan, const std::string& slot, uint32_t id, uint64_t elements, bool index) {
  const Tensor& tensor = plan.tensors[id];
  if (elements != kAnySize && tensor.elements != elements)
    return invalid(slot + " (tensor " + text(id) + ") has " + text(tensor.elements) +
                   " elements; the integers ask for " + text(elements));
  if (elements != kAnySize && tensor.index != index)
    return invalid(slot + " (tensor " + text(id) + ") is " + (tensor.index ? "i32" : "f32") +
                   "; it must be " + (index ? "i32" : "f32"));
  return Status::ok();
}

Status check_nodes(Plan* plan) {
  for (size_t n = 0; n < plan->nodes.size(); ++n) {
    const Node& node = plan->nodes[n];
    const std::string name = node_name(*plan, n);
    for (size_t i = 0; i < node.inputs.size(); ++i) {
      const uint32_t id = node.inputs[i];
      const std::string slot = name + ": input " + text(i);
      GM_TRY(
          check_tensor(*plan, slot, id, node.shape.inputs[i], node.shape.index_input == static_cast<int>(i)));
      if (plan->tensors[id].binding < 0 && !plan->tensors[id].written)
        return invalid(slot + " (tensor " + text(id) + ") is read before any node has written it");
    }
    for (size_t i = 0; i < node.outputs.size(); ++i) {
      const uint32_t id = node.outputs[i];
      const std::string slot = name + ": output " + text(i);
      GM_TRY(check_tensor(*plan, slot, id, node.shape.outputs[i], false));
      if (node.shape.in_place && plan->tensors[id].binding < 0)
        return invalid(slot + " (tensor " + text(id) + ") is updated in place, so it must be bound");
      plan->tensors[id].written = true;
    }
    GM_TRY(check_outputs_apart(*plan, node, name));
    plan->scratch = std::max(plan->scratch, node.shape.scratch);
  }
  return Status::ok();
}

void size_bindings(Plan* plan) {
  for (const Tensor& tensor : plan->tensors) {
    if (tensor.binding < 0) continue;
    const auto binding = static_cast<size_t>(tensor.binding);
    if (binding >= plan->binding_elements.size()) {
      plan->binding_elements.resize(binding + 1);
      plan->binding_written.resize(binding + 1);
    }
    plan->binding_elements[binding] =
        std::max(plan->binding_elements[binding], tensor.offset + tensor.elements);
    if (tensor.written) plan->binding_written[binding] = true;
  }
}

struct Life {
  uint32_t tensor;
  size_t first, last;  // nodes
  uint64_t size;       // floats, whole cache lines
};

std::vector<Life> lives(const Plan& plan) {
  std::vector<Life> all(plan.tensors.size());
  std::vector<bool> seen(plan.tensors.size());
  for (size_t n = 0; n < plan.nodes.size(); ++n)
    for (const auto* ids : {&plan.nodes[n].inputs, &plan.nodes[n].outputs})
      for (const uint32_t id : *ids) {
        if (!seen[id]) all[id] = {id, n, n, blocks(plan.tensors[id].elements, 16) * 16};
        seen[id] = true;
        all[id].last = n;
      }
  std::vector<Life> arena;
  for (const Life& life : all)
    if (seen[life.tensor] && plan.tensors[life.tensor].binding < 0 && life.size > 0) arena.push_back(life);
  return arena;
}

// First fit, largest tensor first: each goes to the lowest place that is free during its whole life.
Status place_arena(Plan* plan) {
  std::vector<Life> order = lives(*plan);
  std::stable_sort(order.begin(), order.end(), [](const Life& a, const Life& b) { return a.size > b.size; });
  std::vector<Life> placed;  // by ascending offset
  for (const Life& life : order) {
    uint64_t offset = 0;
    for (const Life& other : placed) {
      const uint64_t start = plan->tensors[other.tensor].offset;
      if (other.last < life.first || life.last < other.first || start + other.size <= offset) continue;
      if (offset + life.size <= start) break;
      offset = start + other.size;
    }
    plan->tensors[life.tensor].offset = offset;
    plan->arena = std::max(plan->arena, offset + life.size);
    if (plan->arena > kElementsMax)
      return {GM_OUT_OF_MEMORY, "the graph's intermediate tensors exceed 2^40 elements"};
    const auto after = [&](uint64_t at, const Life& other) {
      return at < plan->tensors[other.tensor].offset;
    };
    placed.insert(std::upper_bound(placed.begin(), placed.end(), offset, after), life);
  }
  return Status::ok();
}

}  // namespace

std::string node_name(const Plan& plan, size_t node) {
  return "node " + text(node) + " (" + op_find(static_cast<uint32_t>(plan.nodes[node].op))->name + ")";
}

Status make_plan(const Description& description, Plan* plan) {
  *plan = {};
  GM_TRY(read_tensors(description.tensors, plan));
  GM_TRY(read_nodes(description, plan));
  GM_TRY(check_nodes(plan));
  if (plan->indices > kElementsMax) return invalid("the graph's i32 tensors exceed 2^40 elements");
  size_bindings(plan);
  return place_arena(plan);
}

}  // namespace gradmesh::ops
