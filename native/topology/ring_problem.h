// The ring problem in integers, and what its solvers share. Private to the room.
#pragma once
#include <cstdint>
#include <vector>

#include "topology/ring_order.h"

namespace gradmesh::ring_problem {

using Order = std::vector<uint32_t>;

struct Problem {
  explicit Problem(const LinkMatrix& links);

  uint32_t ranks;
  std::vector<double> bandwidths;    // ascending, all different; a level is an index of it
  std::vector<uint32_t> level;       // [from][to]
  std::vector<int64_t> nanoseconds;  // [from][to]

  uint32_t level_of(uint32_t from, uint32_t to) const { return level[size_t{from} * ranks + to]; }
  int64_t latency_of(uint32_t from, uint32_t to) const { return nanoseconds[size_t{from} * ranks + to]; }
  // The level of the slowest hop.
  uint32_t slowest(const Order& order) const;
  int64_t latency(const Order& order) const;
};

// Hops below a level cost more than the latency of any ring: so the least total has the fewest of them, and
// the least latency among those. 2^44 ns > 256 hops of 60 s; 256 such costs stay below 2^53.
inline constexpr int64_t kTooSlow = int64_t{1} << 44;
struct Costs {
  Costs(const Problem& problem, uint32_t level);
  uint32_t ranks;
  std::vector<int64_t> cost;  // [from][to]
  int64_t operator()(uint32_t from, uint32_t to) const { return cost[size_t{from} * ranks + to]; }
  int64_t total(const Order& order) const;
};

// ring_exact.cpp: the best order, by trying everything.
Order exact(const Problem& problem);

// ring_bounds.cpp. The highest level that a ring might have: there all ranks are strongly connected, stay
// connected without any one of them, and have successors that are all different.
uint32_t level_bound(const Problem& problem);
// Successors of least total cost, all different: several rings together; [rank] is its successor.
Order assign(const Costs& costs);
// No ring costs less; `found` is the cost of one.
int64_t cost_bound(const Costs& costs, int64_t found);

// ring_search.cpp: joins the rings of an assignment to one.
Order join_rings(const Costs& costs, Order successor);
// Improves an order by local search and `kicks` disturbances; ends early where no hop is too slow, if only
// that is asked.
void improve(const Costs& costs, uint32_t kicks, bool only_fast, uint64_t attempt, Order* order);

}  // namespace gradmesh::ring_problem
