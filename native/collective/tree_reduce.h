// The tree reduction collective: see tree_reduce.cpp.
#pragma once
#include "collective/schedule.h"

namespace gradmesh {

// The request is valid (write_schedule checks it); schedule is empty.
void tree_reduce_schedule(const ScheduleRequest& request, Schedule* schedule);
Cost tree_reduce_cost(const ScheduleRequest& request);

}  // namespace gradmesh
