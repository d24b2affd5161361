// Islands: ranks that are near to each other, as in one site, and who speaks for each. Inside an island sums
// are cheap; between islands only leaders send.
#pragma once
#include <string>
#include <vector>

#include "topology/links.h"

namespace gradmesh {

struct Island {
  std::vector<uint32_t> members;  // ascending
  // The member with the most bandwidth to other islands (to all others where there is one island): the
  // smaller of what it sends and what it receives, summed over ranks; the least rank of equal ones.
  uint32_t leader;
};

struct Islands {
  double threshold;             // seconds: what decided
  std::vector<Island> islands;  // by least member
};

// Two ranks are joined where the slower of their two directions takes at most `threshold` seconds, and what
// is joined to one is joined to all (single linkage). Threshold 0 finds one: of the latencies at which
// islands grow together, in order and each raised to 1 ms at least, the widest ratio of one to the one before
// (the first is compared with 1 ms) is where islands end, if it is 3 or more; the higher of equal ones.
// Without such a step all are one island.
Status find_islands(const LinkMatrix& links, double threshold, Islands* result);

// JSON: {threshold, islands: [{members, leader}]}.
Status topology_islands(const LinkMatrix& links, double threshold, std::string* json);

}  // namespace gradmesh
