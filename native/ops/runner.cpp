// Chooses who runs a graph.
#include "ops/runner.h"

#include "ops/device_graph.h"
#include "ops/graph.h"

namespace gradmesh::ops {
Status create_runner(const Description& description, std::string_view device, uint32_t threads,
                     std::shared_ptr<Runner>* runner) {
  device::SharedDevice gpu;
  GM_TRY(device::open_named(device, &gpu));
  if (gpu == nullptr) {
    std::shared_ptr<Graph> graph;
    GM_TRY(Graph::create(description, threads, &graph));
    *runner = std::move(graph);
    return Status::ok();
  }
  std::shared_ptr<DeviceGraph> graph;
  GM_TRY(DeviceGraph::create(description, gpu, &graph));
  *runner = std::move(graph);
  return Status::ok();
}

}  // namespace gradmesh::ops
