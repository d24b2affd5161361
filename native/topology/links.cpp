// Checks a measured matrix before anything is decided by it.
#include "topology/links.h"

#include "topology/json.h"

namespace gradmesh {
namespace {

// Neither NaN nor infinite compares as allowed.
Status check_matrix(const char* field, std::span<const double> values, uint32_t ranks, double most,
                    const char* allowed) {
  const size_t expected = size_t{ranks} * ranks;
  if (values.size() != expected)
    return {GM_INVALID_ARGUMENT, std::string(field) + " has " + std::to_string(values.size()) + " entries; " +
                                     std::to_string(ranks) + " ranks take " + std::to_string(expected)};
  for (size_t i = 0; i < expected; i++) {
    if (i / ranks == i % ranks || (values[i] >= 0 && values[i] <= most)) continue;
    return {GM_INVALID_ARGUMENT, std::string(field) + "[" + std::to_string(i / ranks) + "][" +
                                     std::to_string(i % ranks) + "] is " + json_number(values[i]) +
                                     "; allowed: " + allowed};
  }
  return Status::ok();
}

}  // namespace

Status check_links(const LinkMatrix& links) {
  if (links.ranks < 2 || links.ranks > kLinkRanksMax)
    return {GM_INVALID_ARGUMENT,
            "ranks is " + std::to_string(links.ranks) + "; allowed: 2 to " + std::to_string(kLinkRanksMax)};
  GM_TRY(check_matrix("bandwidth", links.bandwidth, links.ranks, 1e15, "0 to 1e15 bytes per second"));
  return check_matrix("latency", links.latency, links.ranks, kLatencySecondsMax, "0 to 60 seconds");
}

}  // namespace gradmesh
