// Which all-reduce to use over measured links: the cost model of topology/choose.h over the schedules of
// every row that reduces to all ranks.
#pragma once
#include <string>

#include "collective/schedule.h"
#include "topology/links.h"

namespace gradmesh {

struct Advice {
  uint32_t collective = 0;          // id in collectives.def
  std::vector<uint32_t> order;      // of a ring: the rank at each place
  std::vector<uint32_t> islands{};  // of hierarchical: each rank's leader; empty where all are one island
  std::string json;                 // all of it, as the C ABI gives it
};

// request: collective, rank and islands are not read. GM_INVALID_ARGUMENT for impossible arguments, and with
// every reason where no collective is allowed. The same arguments give the same advice on all machines.
Status advise(const ScheduleRequest& request, const LinkMatrix& links, Advice* advice);

}  // namespace gradmesh
