// The barrier collective: see barrier.cpp.
#pragma once
#include "collective/schedule.h"

namespace gradmesh {

// The request is valid (write_schedule checks it); schedule is empty.
void barrier_schedule(const ScheduleRequest& request, Schedule* schedule);
Cost barrier_cost(const ScheduleRequest& request);

}  // namespace gradmesh
