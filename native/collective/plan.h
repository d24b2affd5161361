// A plan is a checked request with its schedule: made once, run any number of times.
#pragma once
#include <memory>

#include "collective/schedule.h"

namespace gradmesh {

struct Plan {
  ScheduleRequest request;
  Cost cost;
  Schedule schedule;
  uint64_t details;  // fingerprint of what the ranks must have alike beside the plain numbers

  // GM_INVALID_ARGUMENT names the field that is wrong.
  static Status make(ScheduleRequest request, std::shared_ptr<const Plan>* plan);
};

}  // namespace gradmesh
