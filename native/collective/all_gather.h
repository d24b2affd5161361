// The all-gather collective: see all_gather.cpp.
#pragma once
#include "collective/schedule.h"

namespace gradmesh {

// The request is valid (write_schedule checks it); schedule is empty.
void all_gather_schedule(const ScheduleRequest& request, Schedule* schedule);
Cost all_gather_cost(const ScheduleRequest& request);

}  // namespace gradmesh
