// The mixing collective: see mix.cpp.
#pragma once
#include "collective/schedule.h"

namespace gradmesh {

// The request is valid (write_schedule checks it); schedule is empty.
void mix_schedule(const ScheduleRequest& request, Schedule* schedule);
Cost mix_cost(const ScheduleRequest& request);

}  // namespace gradmesh
