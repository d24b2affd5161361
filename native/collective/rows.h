// The rows of collectives.def as data.
#pragma once
#include "collective/schedule.h"

namespace gradmesh {

// Sets of reductions, as bits.
constexpr uint32_t reduction_bit(Reduction reduction) { return 1u << static_cast<uint32_t>(reduction); }
inline constexpr uint32_t kAllReductions = (1u << kReductions) - 1;
inline constexpr uint32_t kMeans = reduction_bit(Reduction::mean) | reduction_bit(Reduction::weighted_mean);

struct CollectiveRow {
  const char* name;
  uint32_t id;
  bool coded;           // takes any codec, not only the dtype's own
  uint32_t reductions;  // a set; 0: it reduces nothing
  void (*schedule)(const ScheduleRequest&, Schedule*);
  Cost (*cost)(const ScheduleRequest&);
};

// Null where there is none.
const CollectiveRow* find_collective(uint32_t id);
// "0 (ring), 1 (direct), ...": for messages.
std::string collective_names();

}  // namespace gradmesh
