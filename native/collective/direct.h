// The direct collective: see direct.cpp.
#pragma once
#include "collective/schedule.h"

namespace gradmesh {

// The request is valid (write_schedule checks it); schedule is empty.
void direct_schedule(const ScheduleRequest& request, Schedule* schedule);
Cost direct_cost(const ScheduleRequest& request);

}  // namespace gradmesh
