// The same ranks run by LocalGroup, as virtual peers are.
#pragma once
#include "schedule_world.h"

namespace schedule_local {

using namespace gradmesh;

struct Result {
  std::vector<std::vector<uint8_t>> outputs;  // by rank
  std::vector<std::vector<float>> nexts;
  std::vector<double> sent;
};

// As World's arguments; checks that inputs and states stay as they are.
Result run(const ScheduleRequest& request, const std::vector<std::vector<uint8_t>>& inputs, uint32_t threads,
           const std::vector<std::vector<float>>& states = {},
           const std::vector<std::vector<uint8_t>>& outputs = {});

}  // namespace schedule_local
