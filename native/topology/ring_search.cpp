// Rings for many ranks: join the rings of the best assignment (Karp 1979), then local search: move short runs
// of ranks, forward or reversed (Or 1976), and reverse long ones (2-opt, with the true cost of the other
// direction); kicks are double bridges.
#include <algorithm>

#include "topology/draw.h"
#include "topology/ring_problem.h"

namespace gradmesh::ring_problem {
namespace {

constexpr size_t kRunMax = 3;
// Ranks between the cuts of a kick: a local one disturbs less than it can repair.
constexpr uint32_t kKickReach = 30;

class Search {
 public:
  Search(const Costs& costs, Order* order) : costs_(costs), order_(*order), size_(order->size()) {
    measure();
  }

  void descend() {
    while (pass()) {
    }
  }
  int64_t total() const { return forth_[size_]; }

  // Two neighbouring runs change places.
  void kick(Draws* draws) {
    const uint32_t reach = std::min<uint32_t>(kKickReach, static_cast<uint32_t>(size_ - 1) / 2);
    const uint32_t first = 1 + draws->below(reach), second = 1 + draws->below(reach);
    const uint32_t start = 1 + draws->below(static_cast<uint32_t>(size_ - first - second));
    const auto at = order_.begin() + start;
    std::rotate(at, at + first, at + first + second);
    measure();
  }

 private:
  uint32_t at(size_t place) const { return order_[place == size_ ? 0 : place]; }

  // forth_[i]: the cost of the first i hops; back_[i]: of those hops the other way round.
  void measure() {
    forth_.assign(size_ + 1, 0);
    back_.assign(size_ + 1, 0);
    for (size_t i = 0; i < size_; i++) {
      forth_[i + 1] = forth_[i] + costs_(order_[i], at(i + 1));
      back_[i + 1] = back_[i] + costs_(at(i + 1), order_[i]);
    }
  }
  // What the hops inside first..last cost more when they are reversed.
  int64_t reversal(size_t first, size_t last) const {
    return back_[last] - back_[first] - (forth_[last] - forth_[first]);
  }

  bool pass() {
    bool better = false;
    for (size_t first = 1; first < size_; first++) {
      better |= reverse_from(first);
      for (size_t run = 1; run <= kRunMax && first + run <= size_; run++)
        better |= move_run(first, first + run - 1);
    }
    return better;
  }

  bool reverse_from(size_t first) {
    for (size_t last = first + 1; last < size_; last++) {
      const uint32_t before = order_[first - 1], after = at(last + 1);
      const int64_t change = costs_(before, order_[last]) + costs_(order_[first], after) -
                             costs_(before, order_[first]) - costs_(order_[last], after) +
                             reversal(first, last);
      if (change >= 0) continue;
      std::reverse(order_.begin() + first, order_.begin() + last + 1);
      measure();
      return true;
    }
    return false;
  }

  // Between the places `to` and `to` + 1.
  bool move_run(size_t first, size_t last) {
    const uint32_t before = order_[first - 1], after = at(last + 1), head = order_[first],
                   tail = order_[last];
    const int64_t taken = costs_(before, after) - costs_(before, head) - costs_(tail, after);
    const int64_t turned = reversal(first, last);
    for (size_t to = 0; to < size_; to++) {
      if (to + 1 >= first && to <= last) continue;
      const uint32_t left = order_[to], right = at(to + 1);
      const int64_t opened = taken - costs_(left, right);
      const bool straight = opened + costs_(left, head) + costs_(tail, right) < 0;
      if (!straight && opened + turned + costs_(left, tail) + costs_(head, right) >= 0) continue;
      if (!straight) std::reverse(order_.begin() + first, order_.begin() + last + 1);
      if (to < first)
        std::rotate(order_.begin() + to + 1, order_.begin() + first, order_.begin() + last + 1);
      else
        std::rotate(order_.begin() + first, order_.begin() + last + 1, order_.begin() + to + 1);
      measure();
      return true;
    }
    return false;
  }

  const Costs& costs_;
  Order& order_;
  size_t size_;
  std::vector<int64_t> forth_, back_;
};

}  // namespace

Order join_rings(const Costs& costs, Order successor) {
  const uint32_t ranks = costs.ranks;
  std::vector<uint8_t> joined(ranks);
  const auto take = [&](uint32_t rank) {
    for (; !joined[rank]; rank = successor[rank]) joined[rank] = 1;
  };
  take(0);
  while (true) {
    // Of all exchanges of a successor in the ring with one outside, the cheapest.
    int64_t least = 0;
    uint32_t inside = ranks, outside = ranks;
    for (uint32_t a = 0; a < ranks; a++)
      for (uint32_t b = 0; joined[a] && b < ranks; b++) {
        if (joined[b]) continue;
        const int64_t change =
            costs(a, successor[b]) + costs(b, successor[a]) - costs(a, successor[a]) - costs(b, successor[b]);
        if (inside < ranks && change >= least) continue;
        least = change;
        inside = a;
        outside = b;
      }
    if (inside == ranks) break;
    take(outside);
    std::swap(successor[inside], successor[outside]);
  }
  Order order = {0};
  while (order.size() < ranks) order.push_back(successor[order.back()]);
  return order;
}

void improve(const Costs& costs, uint32_t kicks, bool only_fast, uint64_t attempt, Order* order) {
  Draws draws(1, GraphStream::ring_order, attempt);
  int64_t least;
  {
    Search search(costs, order);
    search.descend();
    least = search.total();
  }
  if (costs.ranks < 4) return;  // nothing to kick
  for (uint32_t kick = 0; kick < kicks && !(only_fast && least < kTooSlow); kick++) {
    Order changed = *order;
    Search search(costs, &changed);
    search.kick(&draws);
    search.descend();
    if (search.total() > least) continue;
    least = search.total();
    *order = std::move(changed);
  }
}

}  // namespace gradmesh::ring_problem
