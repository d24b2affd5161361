// What was measured between every two ranks. Both matrices are row-major with the sender first, and their
// diagonal is not read.
#pragma once
#include <cstdint>
#include <span>

#include "base/status.h"

namespace gradmesh {

inline constexpr uint32_t kLinkRanksMax = 256;
inline constexpr double kLatencySecondsMax = 60;

struct LinkMatrix {
  uint32_t ranks = 0;
  std::span<const double> bandwidth;  // [from][to] bytes per second; 0 where there is no way
  std::span<const double> latency;    // [from][to] seconds, one way

  double bandwidth_of(uint32_t from, uint32_t to) const { return bandwidth[size_t{from} * ranks + to]; }
  double latency_of(uint32_t from, uint32_t to) const { return latency[size_t{from} * ranks + to]; }
};

// GM_INVALID_ARGUMENT names the entry, its value and what is allowed.
Status check_links(const LinkMatrix& links);

}  // namespace gradmesh
