// The hierarchical collective: see hierarchical.cpp.
#pragma once
#include "collective/schedule.h"

namespace gradmesh {

// The request is valid (write_schedule checks it); schedule is empty.
void hierarchical_schedule(const ScheduleRequest& request, Schedule* schedule);
Cost hierarchical_cost(const ScheduleRequest& request);

}  // namespace gradmesh
