// Single linkage by a spanning tree of least latencies: cut it where an edge is above the threshold.
#include "topology/islands.h"

#include <algorithm>

#include "topology/json.h"

namespace gradmesh {
namespace {

constexpr double kNear = 1e-3;  // seconds: below it no step counts
constexpr double kStep = 3;

struct Join {
  double latency;
  uint32_t a, b;
};

// Prim's tree; ranks of equal distance join in their order.
std::vector<Join> least_tree(const LinkMatrix& links) {
  const auto distance = [&](uint32_t a, uint32_t b) {
    return std::max(links.latency_of(a, b), links.latency_of(b, a));
  };
  std::vector<Join> near(links.ranks);
  for (uint32_t rank = 1; rank < links.ranks; rank++) near[rank] = {distance(0, rank), 0, rank};
  std::vector<uint8_t> done(links.ranks);
  done[0] = 1;
  std::vector<Join> tree;
  while (tree.size() + 1 < links.ranks) {
    uint32_t least = 0;
    for (uint32_t rank = 1; rank < links.ranks; rank++)
      if (!done[rank] && (least == 0 || near[rank].latency < near[least].latency)) least = rank;
    done[least] = 1;
    tree.push_back(near[least]);
    for (uint32_t rank = 1; rank < links.ranks; rank++)
      if (!done[rank] && distance(least, rank) < near[rank].latency)
        near[rank] = {distance(least, rank), least, rank};
  }
  return tree;
}

// The last latency below the widest step.
double widest_step(const std::vector<Join>& tree) {
  std::vector<double> latencies;
  for (const Join& join : tree) latencies.push_back(std::max(join.latency, kNear));
  std::sort(latencies.begin(), latencies.end());
  double below = kNear, widest = kStep, threshold = latencies.back();
  for (const double latency : latencies) {
    if (latency / below >= widest) {
      widest = latency / below;
      threshold = below;
    }
    below = latency;
  }
  return threshold;
}

uint32_t leader_of(const LinkMatrix& links, const std::vector<uint32_t>& island_of,
                   const std::vector<uint32_t>& members, bool alone) {
  uint32_t leader = members.front();
  double most = -1;
  for (const uint32_t member : members) {
    double sends = 0, receives = 0;
    for (uint32_t other = 0; other < links.ranks; other++) {
      if (other == member || (!alone && island_of[other] == island_of[member])) continue;
      sends += links.bandwidth_of(member, other);
      receives += links.bandwidth_of(other, member);
    }
    const double bandwidth = std::min(sends, receives);
    if (bandwidth <= most) continue;
    most = bandwidth;
    leader = member;
  }
  return leader;
}

}  // namespace

Status find_islands(const LinkMatrix& links, double threshold, Islands* result) {
  GM_TRY(check_links(links));
  if (!(threshold >= 0 && threshold <= kLatencySecondsMax))
    return {GM_INVALID_ARGUMENT,
            "threshold is " + json_number(threshold) + " seconds; allowed: 0 (find one) to 60"};
  const std::vector<Join> tree = least_tree(links);
  result->threshold = threshold > 0 ? threshold : widest_step(tree);
  std::vector<uint32_t> island_of(links.ranks);  // the least member, once all joins are done
  for (uint32_t rank = 0; rank < links.ranks; rank++) island_of[rank] = rank;
  for (const Join& join : tree) {
    if (join.latency > result->threshold) continue;
    const auto [least, other] = std::minmax(island_of[join.a], island_of[join.b]);
    const uint32_t kept = least, dropped = other;
    for (uint32_t& island : island_of)
      if (island == dropped) island = kept;
  }
  result->islands.clear();
  for (uint32_t first = 0; first < links.ranks; first++) {
    if (island_of[first] != first) continue;
    std::vector<uint32_t> members;
    for (uint32_t rank = first; rank < links.ranks; rank++)
      if (island_of[rank] == first) members.push_back(rank);
    const uint32_t leader = leader_of(links, island_of, members, members.size() == links.ranks);
    result->islands.push_back({std::move(members), leader});
  }
  return Status::ok();
}

Status topology_islands(const LinkMatrix& links, double threshold, std::string* json) {
  Islands found;
  GM_TRY(find_islands(links, threshold, &found));
  *json = "{\"threshold\":" + json_number(found.threshold) + ",\"islands\":[";
  for (size_t i = 0; i < found.islands.size(); i++)
    *json += std::string(i == 0 ? "" : ",") + "{\"members\":" + json_list(found.islands[i].members) +
             ",\"leader\":" + json_number(found.islands[i].leader) + "}";
  *json += "]}";
  return Status::ok();
}

}  // namespace gradmesh
