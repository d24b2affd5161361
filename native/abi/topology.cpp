// The C ABI of topologies: mixing graphs, ring orders, islands.
#include <deque>
#include <memory>
#include <mutex>

#include "abi/abi.h"
#include "topology/islands.h"
#include "topology/json.h"
#include "topology/mixing.h"
#include "topology/ring_order.h"

using namespace gradmesh;

namespace {

// Graphs that were asked for lately: drawing one of a checked gap takes longer than reading a round of it.
class RecentGraphs {
 public:
  Status open(std::string_view spec, uint32_t ranks, std::shared_ptr<const Graph>* graph) {
    std::lock_guard lock(guard_);
    for (const auto& [known, found] : recent_)
      if (known == spec && found->ranks() == ranks) {
        *graph = found;
        return Status::ok();
      }
    const auto opened = std::make_shared<Graph>();
    GM_TRY(graph_open(spec, ranks, opened.get()));
    *graph = opened;
    recent_.emplace_front(spec, opened);
    if (recent_.size() > kMost) recent_.pop_back();
    return Status::ok();
  }

 private:
  static constexpr size_t kMost = 4;
  std::mutex guard_;
  std::deque<std::pair<std::string, std::shared_ptr<const Graph>>> recent_;
};

RecentGraphs& recent_graphs() {
  static RecentGraphs instance;
  return instance;
}

LinkMatrix matrix_of(gm_f64s bandwidth, gm_f64s latency, uint32_t ranks) {
  return {ranks, {bandwidth.data, bandwidth.length}, {latency.data, latency.length}};
}

std::string describe(const Neighbours& neighbours) {
  std::string json = "{\"self\":" + json_number(neighbours.self) + ",\"in\":[";
  for (const Neighbour& from : neighbours.in)
    json += (json.back() == '[' ? "[" : ",[") + json_number(from.rank) + "," + json_number(from.weight) + "]";
  return json + "],\"out\":" + json_list(neighbours.out) + "}";
}

}  // namespace

extern "C" {

int32_t gm_topology_describe(gm_text spec, uint32_t ranks, uint32_t rounds, gm_text_out* result) {
  return abi::guard([&]() -> Status {
    GM_TRY(abi::check_given({{"spec", spec}, {"result", result}}));
    std::string json;
    GM_TRY(topology_describe(abi::view(spec), ranks, rounds, &json));
    return abi::copy_text(json, result);
  });
}

int32_t gm_topology_neighbours(gm_text spec, uint32_t ranks, uint64_t round, uint32_t rank,
                               gm_text_out* result) {
  return abi::guard([&]() -> Status {
    GM_TRY(abi::check_given({{"spec", spec}, {"result", result}}));
    std::shared_ptr<const Graph> graph;
    GM_TRY(recent_graphs().open(abi::view(spec), ranks, &graph));
    if (rank >= ranks)
      return {GM_INVALID_ARGUMENT,
              "rank is " + std::to_string(rank) + "; allowed: less than the ranks, " + std::to_string(ranks)};
    return abi::copy_text(describe(graph->round(round)[rank]), result);
  });
}

int32_t gm_topology_ring_order(gm_f64s bandwidth, gm_f64s latency, uint32_t ranks, gm_text_out* result) {
  return abi::guard([&]() -> Status {
    GM_TRY(abi::check_given({{"bandwidth", bandwidth}, {"latency", latency}, {"result", result}}));
    std::string json;
    GM_TRY(topology_ring_order(matrix_of(bandwidth, latency, ranks), &json));
    return abi::copy_text(json, result);
  });
}

int32_t gm_topology_islands(gm_f64s bandwidth, gm_f64s latency, uint32_t ranks, double threshold,
                            gm_text_out* result) {
  return abi::guard([&]() -> Status {
    GM_TRY(abi::check_given({{"bandwidth", bandwidth}, {"latency", latency}, {"result", result}}));
    std::string json;
    GM_TRY(topology_islands(matrix_of(bandwidth, latency, ranks), threshold, &json));
    return abi::copy_text(json, result);
  });
}

}  // extern "C"
