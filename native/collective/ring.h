// The ring collective: see ring.cpp.
#pragma once
#include "collective/schedule.h"

namespace gradmesh {

// The request is valid (write_schedule checks it); schedule is empty.
void ring_schedule(const ScheduleRequest& request, Schedule* schedule);
Cost ring_cost(const ScheduleRequest& request);

}  // namespace gradmesh
