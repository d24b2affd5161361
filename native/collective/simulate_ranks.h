// All ranks' schedules in little memory, and which of their steps are ready: what a simulation needs of them.
#pragma once
#include "collective/schedule.h"

namespace gradmesh {

class SimulatedRank {
 public:
  struct Item {
    StepKind kind;
    uint32_t peer;
    uint64_t tag;
    uint64_t bytes;  // of a send or recv the payload, of others the float32 that it takes in
  };

  explicit SimulatedRank(const ScheduleRequest& request, const Schedule& schedule);

  uint32_t steps() const { return static_cast<uint32_t>(items_.size()); }
  const Item& item(uint32_t step) const { return items_[step]; }
  bool finished() const { return done_ == steps(); }
  bool ready(uint32_t step) const { return waits_left_[step] == 0; }
  // The recv of a frame. Its step, or steps() where there is none.
  uint32_t recv_of(uint32_t peer, uint64_t tag) const;
  // Calls begin(step) for each step that waits for nothing.
  template <class Begin>
  void start(Begin&& begin) const {
    for (uint32_t step = 0; step < steps(); ++step)
      if (ready(step)) begin(step);
  }
  // A step is done: calls begin(step) for each that has become ready.
  template <class Begin>
  void complete(uint32_t step, Begin&& begin) {
    ++done_;
    for (uint32_t at = dependents_begin_[step]; at < dependents_begin_[step + 1]; ++at)
      if (--waits_left_[dependents_[at]] == 0) begin(dependents_[at]);
  }

 private:
  std::vector<Item> items_;
  std::vector<uint32_t> recvs_;  // by peer and tag
  std::vector<uint32_t> waits_left_, dependents_, dependents_begin_;
  uint32_t done_ = 0;
};

}  // namespace gradmesh
