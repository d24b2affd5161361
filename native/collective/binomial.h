// The binomial tree that tree_broadcast and tree_reduce share. With v = rank - root modulo n, the parent of v
// > 0 is v without its lowest set bit, and its children are v + 2^k below n for every 2^k below that bit (the
// root: for every 2^k). So v is as deep as it has bits set.
#pragma once
#include <bit>
#include <vector>

#include "collective/schedule.h"

namespace gradmesh {

class Binomial {
 public:
  explicit Binomial(const ScheduleRequest& request)
      : ranks_(request.ranks), root_(request.root), place_((request.rank + ranks_ - root_) % ranks_) {}

  bool is_root() const { return place_ == 0; }
  uint32_t parent() const { return rank_of(place_ & (place_ - 1)); }
  // Ascending by k: the smallest subtree first.
  std::vector<uint32_t> children() const {
    const uint32_t limit = is_root() ? std::bit_ceil(ranks_) : place_ & (~place_ + 1);
    std::vector<uint32_t> ranks;
    for (uint32_t bit = 1; bit < limit && place_ + bit < ranks_; bit *= 2)
      ranks.push_back(rank_of(place_ + bit));
    return ranks;
  }
  // The most bits that a number below n has set: 2^k - 1 is below n up to k = floor(log2 n).
  uint32_t depth() const { return static_cast<uint32_t>(std::bit_width(ranks_)) - 1; }

 private:
  uint32_t rank_of(uint32_t place) const { return (place + root_) % ranks_; }

  const uint32_t ranks_, root_, place_;
};

}  // namespace gradmesh
