// The gather-mean collective: see gather_mean.cpp.
#pragma once
#include "collective/schedule.h"

namespace gradmesh {

// The request is valid (write_schedule checks it); schedule is empty.
void gather_mean_schedule(const ScheduleRequest& request, Schedule* schedule);
Cost gather_mean_cost(const ScheduleRequest& request);

}  // namespace gradmesh
