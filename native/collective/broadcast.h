// The broadcast collective: see broadcast.cpp.
#pragma once
#include "collective/schedule.h"

namespace gradmesh {

// The request is valid (write_schedule checks it); schedule is empty.
void broadcast_schedule(const ScheduleRequest& request, Schedule* schedule);
Cost broadcast_cost(const ScheduleRequest& request);

}  // namespace gradmesh
