// Chooses who runs a graph.
#include "ops/runner.h"

#include <charconv>

#include "ops/device_graph.h"
#include "ops/graph.h"

namespace gradmesh::ops {
namespace {

constexpr std::string_view kCuda = "cuda";

// "cuda" or "cuda:<index>"
bool parse_cuda(std::string_view device, uint32_t* index) {
  *index = 0;
  if (!device.starts_with(kCuda)) return false;
  device.remove_prefix(kCuda.size());
  if (device.empty()) return true;
  const char* end = device.data() + device.size();
  if (device.size() < 2 || device[0] != ':') return false;
  const auto [stop, error] = std::from_chars(device.data() + 1, end, *index);
  return error == std::errc() && stop == end;
}

}  // namespace

Status create_runner(const Description& description, std::string_view device, uint32_t threads,
                     std::shared_ptr<Runner>* runner) {
  if (device == "cpu") {
    std::shared_ptr<Graph> graph;
    GM_TRY(Graph::create(description, threads, &graph));
    *runner = std::move(graph);
    return Status::ok();
  }
  uint32_t index;
  if (!parse_cuda(device, &index))
    return {GM_INVALID_ARGUMENT,
            "device is \"" + std::string(device) + "\"; allowed: cpu, cuda, or cuda:<index> such as cuda:1"};
  std::shared_ptr<const device::Device> gpu;
  GM_TRY(device::Device::open(index, &gpu));
  std::shared_ptr<DeviceGraph> graph;
  GM_TRY(DeviceGraph::create(description, gpu, &graph));
  *runner = std::move(graph);
  return Status::ok();
}

}  // namespace gradmesh::ops
