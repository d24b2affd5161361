// Finds the order of a ring: exactly, or by search between what was found and what is proven.
#include "topology/ring_order.h"

#include <algorithm>

#include "topology/json.h"
#include "topology/ring_problem.h"

namespace gradmesh {

namespace ring_problem {

Problem::Problem(const LinkMatrix& links) : ranks(links.ranks), level(links.bandwidth.size()) {
  for (uint32_t from = 0; from < ranks; from++)
    for (uint32_t to = 0; to < ranks; to++)
      if (from != to) bandwidths.push_back(links.bandwidth_of(from, to));
  std::sort(bandwidths.begin(), bandwidths.end());
  bandwidths.erase(std::unique(bandwidths.begin(), bandwidths.end()), bandwidths.end());
  nanoseconds.resize(level.size());
  for (uint32_t from = 0; from < ranks; from++)
    for (uint32_t to = 0; to < ranks; to++) {
      if (from == to) continue;
      const size_t at = size_t{from} * ranks + to;
      const auto found = std::lower_bound(bandwidths.begin(), bandwidths.end(), links.bandwidth[at]);
      level[at] = static_cast<uint32_t>(found - bandwidths.begin());
      nanoseconds[at] = static_cast<int64_t>(links.latency[at] * 1e9 + 0.5);
    }
}

uint32_t Problem::slowest(const Order& order) const {
  uint32_t least = level_of(order.back(), order.front());
  for (size_t i = 0; i + 1 < order.size(); i++) least = std::min(least, level_of(order[i], order[i + 1]));
  return least;
}

int64_t Problem::latency(const Order& order) const {
  int64_t total = latency_of(order.back(), order.front());
  for (size_t i = 0; i + 1 < order.size(); i++) total += latency_of(order[i], order[i + 1]);
  return total;
}

Costs::Costs(const Problem& problem, uint32_t level) : ranks(problem.ranks), cost(problem.nanoseconds) {
  for (size_t at = 0; at < cost.size(); at++)
    if (problem.level[at] < level) cost[at] += kTooSlow;
}

int64_t Costs::total(const Order& order) const {
  int64_t sum = (*this)(order.back(), order.front());
  for (size_t i = 0; i + 1 < order.size(); i++) sum += (*this)(order[i], order[i + 1]);
  return sum;
}

namespace {

// The order of the highest level that the search reaches, then of the least latency there.
Order searched(const Problem& problem, uint32_t bound, const RingOrderLimits& limits) {
  uint64_t attempt = 0;
  Order best;
  uint32_t reached = 0;
  // A probe starts from the assignment at its level, and from the best order so far.
  const auto probe = [&](uint32_t level) {
    const Costs costs(problem, level);
    for (const bool afresh : {true, false}) {
      if (!afresh && best.empty()) continue;
      Order order = afresh ? join_rings(costs, assign(costs)) : best;
      improve(costs, limits.probe_kicks, true, attempt++, &order);
      const uint32_t slowest = problem.slowest(order);
      if (best.empty() || slowest > reached) {
        best = std::move(order);
        reached = slowest;
      }
      if (reached >= level) return true;
    }
    return false;
  };
  if (!probe(bound))
    for (uint32_t high = bound; high - reached > 1;) {
      const uint32_t middle = reached + (high - reached) / 2;
      if (!probe(middle)) high = middle;
    }
  const Costs costs(problem, reached);
  for (Order order : {best, join_rings(costs, assign(costs))}) {
    improve(costs, limits.final_kicks, false, attempt++, &order);
    if (costs.total(order) < costs.total(best)) best = std::move(order);
  }
  return best;
}

}  // namespace
}  // namespace ring_problem

Status ring_order(const LinkMatrix& links, const RingOrderLimits& limits, RingOrder* result) {
  using namespace ring_problem;
  constexpr uint32_t kSubsetsMax = 20;  // ranks whose subsets fit memory: 2^19 of 19 ends
  if (limits.exact_ranks_max > kSubsetsMax)
    return {GM_INVALID_ARGUMENT, "exact_ranks_max is " + std::to_string(limits.exact_ranks_max) +
                                     "; allowed: up to " + std::to_string(kSubsetsMax)};
  GM_TRY(check_links(links));
  const Problem problem(links);
  *result = {};
  result->exact = links.ranks <= limits.exact_ranks_max;
  const uint32_t bound = level_bound(problem);
  Order order = result->exact ? exact(problem) : searched(problem, bound, limits);
  std::rotate(order.begin(), std::find(order.begin(), order.end(), 0u), order.end());
  const uint32_t slowest = problem.slowest(order);
  const int64_t latency = problem.latency(order);
  const int64_t least = result->exact ? latency : cost_bound(Costs(problem, slowest), latency);
  result->order = std::move(order);
  result->slowest_hop = problem.bandwidths[slowest];
  result->slowest_hop_bound = problem.bandwidths[result->exact ? slowest : bound];
  result->total_latency = static_cast<double>(latency) / 1e9;
  result->total_latency_bound = static_cast<double>(least) / 1e9;
  return Status::ok();
}

Status topology_ring_order(const LinkMatrix& links, std::string* json) {
  RingOrder found;
  GM_TRY(ring_order(links, {}, &found));
  *json = "{\"order\":" + json_list(found.order) + ",\"slowestHop\":" + json_number(found.slowest_hop) +
          ",\"totalLatency\":" + json_number(found.total_latency) +
          ",\"exact\":" + (found.exact ? "true" : "false") +
          ",\"bound\":" + json_number(found.slowest_hop_bound) +
          ",\"latencyBound\":" + json_number(found.total_latency_bound) + "}";
  return Status::ok();
}

}  // namespace gradmesh
