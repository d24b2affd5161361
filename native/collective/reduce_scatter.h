// The reduce-scatter collective: see reduce_scatter.cpp.
#pragma once
#include "collective/schedule.h"

namespace gradmesh {

// The request is valid (write_schedule checks it); schedule is empty.
void reduce_scatter_schedule(const ScheduleRequest& request, Schedule* schedule);
Cost reduce_scatter_cost(const ScheduleRequest& request);

}  // namespace gradmesh
