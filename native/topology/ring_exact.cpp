// The exact ring: the highest level at which there is one, by bisection and dynamic programming over subsets;
// then the least latency at that level (Held and Karp 1962). Subsets are of ranks 1.., bit i stands for rank
// i + 1; a path begins at rank 0.
#include <algorithm>

#include "base/assert.h"
#include "topology/ring_problem.h"

namespace gradmesh::ring_problem {
namespace {

constexpr int64_t kNever = int64_t{1} << 60;

bool has_ring(const Problem& problem, uint32_t level) {
  const uint32_t others = problem.ranks - 1, all = (1u << others) - 1;
  std::vector<uint32_t> next(problem.ranks);  // [rank] the others it may send to
  for (uint32_t from = 0; from < problem.ranks; from++)
    for (uint32_t i = 0; i < others; i++)
      if (i + 1 != from && problem.level_of(from, i + 1) >= level) next[from] |= 1u << i;
  std::vector<uint32_t> ends(all + 1);  // [subset] where a path over it may end
  for (uint32_t i = 0; i < others; i++) ends[1u << i] = next[0] & 1u << i;
  for (uint32_t subset = 1; subset <= all; subset++)
    for (uint32_t i = 0; i < others; i++) {
      if ((ends[subset] >> i & 1) == 0) continue;
      for (uint32_t open = next[i + 1] & ~subset; open != 0; open &= open - 1)
        ends[subset | (open & -open)] |= open & -open;
    }
  for (uint32_t i = 0; i < others; i++)
    if ((ends[all] >> i & 1) != 0 && problem.level_of(i + 1, 0) >= level) return true;
  return false;
}

Order least_latency(const Problem& problem, uint32_t level) {
  const uint32_t others = problem.ranks - 1, all = (1u << others) - 1;
  std::vector<int64_t> best(size_t{all + 1} * others, kNever);  // [subset][end]
  std::vector<uint8_t> before(best.size());
  const auto hop = [&](uint32_t from, uint32_t to) {
    return problem.level_of(from, to) >= level ? problem.latency_of(from, to) : kNever;
  };
  for (uint32_t i = 0; i < others; i++) best[size_t{1u << i} * others + i] = hop(0, i + 1);
  for (uint32_t subset = 1; subset <= all; subset++)
    for (uint32_t i = 0; i < others; i++) {
      const int64_t here = best[size_t{subset} * others + i];
      if (here >= kNever) continue;
      for (uint32_t j = 0; j < others; j++) {
        if ((subset >> j & 1) != 0) continue;
        const size_t at = size_t{subset | 1u << j} * others + j;
        const int64_t there = here + hop(i + 1, j + 1);
        if (there >= best[at]) continue;
        best[at] = there;
        before[at] = static_cast<uint8_t>(i);
      }
    }
  uint32_t end = 0;
  int64_t least = kNever;
  for (uint32_t i = 0; i < others; i++) {
    const int64_t total = best[size_t{all} * others + i] + hop(i + 1, 0);
    if (total >= least) continue;
    least = total;
    end = i;
  }
  GM_ASSERT(least < kNever);
  Order order;
  for (uint32_t subset = all; subset != 0;) {
    order.push_back(end + 1);
    const uint32_t previous = before[size_t{subset} * others + end];
    subset &= ~(1u << end);
    end = previous;
  }
  order.push_back(0);
  std::reverse(order.begin(), order.end());
  return order;
}

}  // namespace

Order exact(const Problem& problem) {
  uint32_t low = 0,
           high = static_cast<uint32_t>(problem.bandwidths.size());  // has_ring(0), as all hops exist
  while (high - low > 1) {
    const uint32_t middle = low + (high - low) / 2;
    (has_ring(problem, middle) ? low : high) = middle;
  }
  return least_latency(problem, low);
}

}  // namespace gradmesh::ring_problem
