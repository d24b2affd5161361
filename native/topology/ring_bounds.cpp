// Proven bounds of rings: what each relaxation allows, a ring can at best have.
#include <algorithm>

#include "topology/ring_problem.h"

namespace gradmesh::ring_problem {
namespace {

// Hops of a level or more.
struct Hops {
  const Problem& problem;
  uint32_t level;
  bool has(uint32_t from, uint32_t to) const { return from != to && problem.level_of(from, to) >= level; }
};

// How many ranks are reached from `first` by hops that `has` allows, without rank `without`.
template <class Has>
uint32_t reached(uint32_t ranks, uint32_t first, uint32_t without, Has has) {
  std::vector<uint8_t> seen(ranks);
  std::vector<uint32_t> queue = {first};
  seen[first] = 1;
  for (size_t at = 0; at < queue.size(); at++)
    for (uint32_t to = 0; to < ranks; to++)
      if (!seen[to] && to != without && has(queue[at], to)) {
        seen[to] = 1;
        queue.push_back(to);
      }
  return static_cast<uint32_t>(queue.size());
}

bool connected(const Hops& hops) {
  const uint32_t ranks = hops.problem.ranks;
  const auto forth = [&](uint32_t from, uint32_t to) { return hops.has(from, to); };
  const auto back = [&](uint32_t from, uint32_t to) { return hops.has(to, from); };
  const auto either = [&](uint32_t from, uint32_t to) { return hops.has(from, to) || hops.has(to, from); };
  if (reached(ranks, 0, ranks, forth) < ranks || reached(ranks, 0, ranks, back) < ranks) return false;
  for (uint32_t without = 0; without < ranks; without++)
    if (reached(ranks, without == 0 ? 1 : 0, without, either) < ranks - 1) return false;
  return true;
}

// Kuhn's augmenting paths.
bool augment(const Hops& hops, uint32_t from, std::vector<uint8_t>* tried, std::vector<uint32_t>* sender) {
  const uint32_t ranks = hops.problem.ranks;
  for (uint32_t to = 0; to < ranks; to++) {
    if ((*tried)[to] || !hops.has(from, to)) continue;
    (*tried)[to] = 1;
    if ((*sender)[to] < ranks && !augment(hops, (*sender)[to], tried, sender)) continue;
    (*sender)[to] = from;
    return true;
  }
  return false;
}

bool has_assignment(const Hops& hops) {
  const uint32_t ranks = hops.problem.ranks;
  std::vector<uint32_t> sender(ranks, ranks);
  for (uint32_t from = 0; from < ranks; from++) {
    std::vector<uint8_t> tried(ranks);
    if (!augment(hops, from, &tried, &sender)) return false;
  }
  return true;
}

// The least spanning tree of ranks 1.. and the two least edges of rank 0, where an edge costs the cheaper
// direction and the prices of its ends. Every ring is such a tree, so no ring costs less than the tree, its
// prices taken off again.
int64_t one_tree(const Costs& costs, const std::vector<int64_t>& prices, std::vector<int64_t>* degree) {
  const uint32_t ranks = costs.ranks;
  const auto edge = [&](uint32_t a, uint32_t b) {
    return std::min(costs(a, b), costs(b, a)) + prices[a] + prices[b];
  };
  constexpr int64_t kFar = int64_t{1} << 61;
  std::vector<int64_t> near(ranks, kFar);
  std::vector<uint32_t> by(ranks, 1);
  std::vector<uint8_t> done(ranks);
  degree->assign(ranks, 0);
  int64_t total = 0;
  near[1] = 0;
  for (uint32_t count = 1; count < ranks; count++) {
    uint32_t least = 0;
    for (uint32_t rank = 1; rank < ranks; rank++)
      if (!done[rank] && (least == 0 || near[rank] < near[least])) least = rank;
    done[least] = 1;
    if (count > 1) {
      total += near[least];
      ++(*degree)[least];
      ++(*degree)[by[least]];
    }
    for (uint32_t rank = 1; rank < ranks; rank++)
      if (!done[rank] && edge(least, rank) < near[rank]) {
        near[rank] = edge(least, rank);
        by[rank] = least;
      }
  }
  uint32_t first = 1, second = 2;
  if (edge(0, second) < edge(0, first)) std::swap(first, second);
  for (uint32_t rank = 3; rank < ranks; rank++) {
    if (edge(0, rank) < edge(0, first)) {
      second = first;
      first = rank;
    } else if (edge(0, rank) < edge(0, second)) {
      second = rank;
    }
  }
  total += edge(0, first) + edge(0, second);
  (*degree)[0] = 2;
  ++(*degree)[first];
  ++(*degree)[second];
  return total;
}

// Held and Karp's ascent (1971): ranks with more than two edges get dearer, those with one cheaper; a tree
// has 2 ranks ends of edges, so the changes sum to 0. Steps are Polyak's: in proportion to what lacks to
// `found`, a ring's cost.
int64_t tree_bound(const Costs& costs, int64_t found) {
  if (costs.ranks < 3) return 0;
  // What raises the bound until it is within about a tenth of rings that more search does not improve.
  const int64_t trials = 24 * int64_t{costs.ranks}, patience = costs.ranks;
  constexpr double kStopScale = 1e-3;
  std::vector<int64_t> prices(costs.ranks), degree;
  int64_t best = one_tree(costs, prices, &degree), now = best;
  double scale = 2;
  for (int64_t trial = 0, idle = 0; trial < trials && best < found && scale > kStopScale; trial++) {
    int64_t squares = 0;
    for (const int64_t ends : degree) squares += (ends - 2) * (ends - 2);
    if (squares == 0) break;  // the tree is a ring
    const double step_real = scale * static_cast<double>(found - now) / static_cast<double>(squares);
    const int64_t step = std::max<int64_t>(static_cast<int64_t>(step_real), 1);
    for (uint32_t rank = 0; rank < costs.ranks; rank++) prices[rank] += step * (degree[rank] - 2);
    now = one_tree(costs, prices, &degree);
    idle = now > best ? 0 : idle + 1;
    best = std::max(best, now);
    if (idle < patience) continue;
    idle = 0;
    scale /= 2;
  }
  return best;
}

}  // namespace

uint32_t level_bound(const Problem& problem) {
  uint32_t low = 0, high = static_cast<uint32_t>(problem.bandwidths.size());
  while (high - low > 1) {
    const uint32_t middle = low + (high - low) / 2;
    const Hops hops{problem, middle};
    (connected(hops) && has_assignment(hops) ? low : high) = middle;
  }
  return low;
}

// The Hungarian method with shortest augmenting paths; index 0 stands for nobody, rank r is r + 1.
Order assign(const Costs& costs) {
  const uint32_t ranks = costs.ranks;
  constexpr int64_t kSelf = int64_t{1} << 53, kFar = int64_t{1} << 61;
  std::vector<int64_t> row_price(ranks + 1), column_price(ranks + 1);
  std::vector<uint32_t> sender(ranks + 1);  // [column]
  for (uint32_t row = 1; row <= ranks; row++) {
    std::vector<int64_t> slack(ranks + 1, kFar);
    std::vector<uint32_t> from(ranks + 1);
    std::vector<uint8_t> used(ranks + 1);
    uint32_t column = 0;
    for (sender[0] = row; sender[column] != 0;) {
      used[column] = 1;
      const uint32_t current = sender[column];
      uint32_t nearest = 0;
      for (uint32_t other = 1; other <= ranks; other++) {
        if (used[other]) continue;
        const int64_t cost = current == other ? kSelf : costs(current - 1, other - 1);
        const int64_t reduced = cost - row_price[current] - column_price[other];
        if (reduced < slack[other]) {
          slack[other] = reduced;
          from[other] = column;
        }
        if (nearest == 0 || slack[other] < slack[nearest]) nearest = other;
      }
      const int64_t change = slack[nearest];
      for (uint32_t other = 0; other <= ranks; other++) {
        if (used[other]) {
          row_price[sender[other]] += change;
          column_price[other] -= change;
        } else {
          slack[other] -= change;
        }
      }
      column = nearest;
    }
    for (; column != 0; column = from[column]) sender[column] = sender[from[column]];
  }
  Order successor(ranks);
  for (uint32_t column = 1; column <= ranks; column++) successor[sender[column] - 1] = column - 1;
  return successor;
}

int64_t cost_bound(const Costs& costs, int64_t found) {
  const Order successor = assign(costs);
  int64_t total = 0;
  for (uint32_t rank = 0; rank < costs.ranks; rank++) total += costs(rank, successor[rank]);
  return std::max(total, tree_bound(costs, found));
}

}  // namespace gradmesh::ring_problem
