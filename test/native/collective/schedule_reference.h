// What every collective gives, from its definition and without schedules: whole tensors, one rank after the
// other, in the order of sums that each writer's first lines state.
#pragma once
#include "schedule_world.h"

namespace schedule_reference {

using namespace gradmesh;

struct Expected {
  std::vector<float> values;  // of the rank's output
  Range part;                 // what of it means anything
  std::vector<float> next{};  // of a request that feeds back: World::kJunk outside of the rank's chunk
};

// By rank. inputs, states: by rank, [elements], inputs each a value of the dtype. request.rank is ignored.
std::vector<Expected> expected(const ScheduleRequest& request, const std::vector<std::vector<float>>& inputs,
                               const std::vector<std::vector<float>>& states = {});

// The sum of numbers, rounded once to the nearest double; Inf or NaN where one of them is.
double exact_sum(const std::vector<float>& numbers);

}  // namespace schedule_reference
