// The tree broadcast collective: see tree_broadcast.cpp.
#pragma once
#include "collective/schedule.h"

namespace gradmesh {

// The request is valid (write_schedule checks it); schedule is empty.
void tree_broadcast_schedule(const ScheduleRequest& request, Schedule* schedule);
Cost tree_broadcast_cost(const ScheduleRequest& request);

}  // namespace gradmesh
