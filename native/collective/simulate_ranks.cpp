// Schedules as a simulation keeps them.
#include "collective/simulate_ranks.h"

#include <algorithm>
#include <tuple>

#include "collective/region.h"

namespace gradmesh {
namespace {

uint64_t work_bytes(const Step& step) {
  uint64_t elements = 0;
  for (const Region& source : step.sources) elements += source.elements;
  return elements * sizeof(float);
}

}  // namespace

SimulatedRank::SimulatedRank(const ScheduleRequest& request, const Schedule& schedule)
    : waits_left_(schedule.steps.size()), dependents_begin_(schedule.steps.size() + 1) {
  items_.reserve(schedule.steps.size());
  for (uint32_t index = 0; index < schedule.steps.size(); ++index) {
    const Step& step = schedule.steps[index];
    const bool send = step.kind == StepKind::send, recv = step.kind == StepKind::recv;
    const uint64_t bytes =
        send || recv ? region_bytes(wires_of(request), request.dtype, send ? step.sources[0] : step.target)
                     : work_bytes(step);
    items_.push_back({step.kind, step.peer, step.tag, bytes});
    if (recv) recvs_.push_back(index);
    waits_left_[index] = static_cast<uint32_t>(step.waits.size());
    for (const uint32_t wait : step.waits) ++dependents_begin_[wait + 1];
  }
  for (size_t index = 0; index < items_.size(); ++index)
    dependents_begin_[index + 1] += dependents_begin_[index];
  dependents_.resize(dependents_begin_.back());
  std::vector<uint32_t> filled(dependents_begin_.begin(), dependents_begin_.end() - 1);
  for (uint32_t index = 0; index < items_.size(); ++index)
    for (const uint32_t wait : schedule.steps[index].waits) dependents_[filled[wait]++] = index;
  std::sort(recvs_.begin(), recvs_.end(), [&](uint32_t a, uint32_t b) {
    return std::tie(items_[a].peer, items_[a].tag) < std::tie(items_[b].peer, items_[b].tag);
  });
}

uint32_t SimulatedRank::recv_of(uint32_t peer, uint64_t tag) const {
  const auto found = std::lower_bound(
      recvs_.begin(), recvs_.end(), std::tie(peer, tag),
      [&](uint32_t step, auto key) { return std::tie(items_[step].peer, items_[step].tag) < key; });
  if (found == recvs_.end() || items_[*found].peer != peer || items_[*found].tag != tag) return steps();
  return *found;
}

}  // namespace gradmesh
