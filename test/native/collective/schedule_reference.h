// What every collective gives, from its definition and without schedules: whole tensors, one rank after the
// other, in the order of sums that each writer's first lines state.
#pragma once
#include "schedule_world.h"

namespace schedule_reference {

using namespace gradmesh;

struct Expected {
  std::vector<float> values;  // of the rank's output
  Range part;                 // what of it means anything
};

// By rank. inputs: by rank, [elements], each a value of the dtype. request.rank is ignored.
std::vector<Expected> expected(const ScheduleRequest& request, const std::vector<std::vector<float>>& inputs);

}  // namespace schedule_reference
