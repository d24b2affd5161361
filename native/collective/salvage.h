// What a failed operation finished is kept: the survivors give each other the elements of the result that any
// of them holds, and reduce the rest among themselves.
#pragma once
#include "collective/schedule.h"

namespace gradmesh {

// The ranges of the output whose last writing step is done, ascending and merged. done: [steps].
std::vector<Range> finished_ranges(const Schedule& schedule, const std::vector<bool>& done);

// Whose result a part of the output is.
struct Contributors {
  Range range;
  uint32_t ranks;  // of the failed operation where it is kept, of this one where it is reduced again
};
// Of a request with `held`, for all elements in ascending order, merged. ranks_before: of the failed
// operation.
std::vector<Contributors> contributors(const ScheduleRequest& request, uint32_t ranks_before);

// Whether the row's result is the same on every rank and final once written, so that it may be salvaged.
bool salvageable(uint32_t collective);

// As a row's functions, for a request with `held`: see salvage.cpp.
void salvage_schedule(const ScheduleRequest& request, Schedule* schedule);
Cost salvage_cost(const ScheduleRequest& request);

}  // namespace gradmesh
