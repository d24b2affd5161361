// The halving and doubling collective: see halving_doubling.cpp.
#pragma once
#include "collective/schedule.h"

namespace gradmesh {

// The request is valid (write_schedule checks it); schedule is empty.
void halving_doubling_schedule(const ScheduleRequest& request, Schedule* schedule);
Cost halving_doubling_cost(const ScheduleRequest& request);

}  // namespace gradmesh
