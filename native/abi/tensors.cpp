// What a collective may read and write.
#include <algorithm>
#include <functional>

#include "abi/plans.h"

namespace gradmesh::abi {
namespace {

Status invalid(const std::string& what) { return {GM_INVALID_ARGUMENT, what}; }

Status check_length(const std::string& field, uint64_t bytes, const ScheduleRequest& plan, Dtype dtype) {
  const uint64_t due = plan.elements * dtype_bytes(dtype);
  if (bytes == due) return Status::ok();
  return invalid(field + " has " + std::to_string(bytes) + " bytes; allowed: " + std::to_string(due) +
                 ", the plan's " + std::to_string(plan.elements) + " elements of " + dtype_name(dtype));
}

Status check_feedback(const ScheduleRequest& plan, const std::string& field, gm_f32s memory) {
  if (plan.feeds_back()) return check_length(field, memory.length * sizeof(float), plan, Dtype::fp32);
  if (memory.length == 0) return Status::ok();
  return invalid(field + " has " + std::to_string(memory.length) +
                 " elements; allowed: none, as the plan has no owner_decay");
}

}  // namespace

Status check_tensors(const ScheduleRequest& plan, const std::string& place, ConstBytes input,
                     ConstBytes output, gm_f32s state, gm_f32s next, std::vector<NamedMemory>* all) {
  GM_TRY(check_length("output" + place, output.length, plan, plan.dtype));
  if (reads_input(plan) || input.length != 0)
    GM_TRY(check_length("input" + place, input.length, plan, plan.dtype));
  GM_TRY(check_feedback(plan, "state" + place, state));
  GM_TRY(check_feedback(plan, "next" + place, next));
  const auto bytes_of = [](gm_f32s floats) {
    return ConstBytes{reinterpret_cast<const uint8_t*>(floats.data), floats.length * sizeof(float)};
  };
  const struct {
    const char* name;
    ConstBytes memory;
    size_t alignment;
    bool written;
  } parts[] = {{"input", input, dtype_bytes(plan.dtype), false},
               {"output", output, dtype_bytes(plan.dtype), true},
               {"state", bytes_of(state), sizeof(float), false},
               {"next", bytes_of(next), sizeof(float), true}};
  for (const auto& [name, memory, alignment, written] : parts) {
    if (reinterpret_cast<uintptr_t>(memory.data) % alignment != 0)
      return invalid(name + place + " is at an odd address; allowed: a multiple of " +
                     std::to_string(alignment));
    if (memory.length != 0) all->push_back({name + place, memory.data, memory.length, written});
  }
  return Status::ok();
}

Status check_apart(std::vector<NamedMemory> all) {
  const std::less<const uint8_t*> before;
  std::stable_sort(all.begin(), all.end(),
                   [&](const NamedMemory& a, const NamedMemory& b) { return before(a.begin, b.begin); });
  // The one that reaches farthest of those before, and of those that are written.
  const NamedMemory *farthest = nullptr, *written = nullptr;
  const auto end = [](const NamedMemory& memory) { return memory.begin + memory.bytes; };
  for (const NamedMemory& each : all) {
    const NamedMemory* last = each.written ? farthest : written;
    if (last != nullptr && before(each.begin, end(*last)))
      return invalid(last->name + " and " + each.name +
                     " overlap; allowed: memory apart, because what is read stays intact");
    if (farthest == nullptr || before(end(*farthest), end(each))) farthest = &each;
    if (each.written && (written == nullptr || before(end(*written), end(each)))) written = &each;
  }
  return Status::ok();
}

}  // namespace gradmesh::abi
