// The order of a ring over measured links: of all rings, one whose slowest hop has the most bandwidth, and
// among those the least total latency. A bottleneck travelling-salesman problem with directed hops; exact for
// few ranks, searched for more, with bounds that are proven.
//
// Decisions are on integers: bandwidths by their place in the sorted list of all, latencies in nanoseconds.
// The search draws keyed random numbers, and stops after a count of trials, never by a clock: the order is
// the same on all machines.
#pragma once
#include <string>
#include <vector>

#include "topology/links.h"

namespace gradmesh {

struct RingOrder {
  std::vector<uint32_t> order;     // begins with rank 0; each sends to the next, the last to the first
  double slowest_hop = 0;          // bytes per second; 0 where no ring was found without a missing link
  double slowest_hop_bound = 0;    // no ring has more: proven
  double total_latency = 0;        // seconds, of all hops
  double total_latency_bound = 0;  // no ring with this slowest hop has less: proven
  bool exact = false;              // found by trying everything
};

struct RingOrderLimits {
  uint32_t exact_ranks_max = 15;  // dynamic programming over subsets: 2^(ranks - 1) ranks^2 steps
  uint32_t probe_kicks = 24;      // trials of the search at each bandwidth that it tries to reach
  uint32_t final_kicks = 120;     // and at the bandwidth that it reached
};

Status ring_order(const LinkMatrix& links, const RingOrderLimits& limits, RingOrder* result);

// JSON: {order, slowestHop, totalLatency, exact, bound, latencyBound}.
Status topology_ring_order(const LinkMatrix& links, std::string* json);

}  // namespace gradmesh
