// The operator graph over the C ABI.
#include "ops/graph.h"

#include "abi/abi.h"
#include "abi/cancels.h"
#include "base/handles.h"

using namespace gradmesh;

namespace {
HandleTable<ops::Graph>& graphs() {
  static HandleTable<ops::Graph> table;
  return table;
}
}  // namespace

extern "C" {

int32_t gm_graph_create(gm_f64s tensors, gm_i32s nodes, gm_f64s floats, uint32_t threads, uint32_t* result) {
  return abi::guard([&]() -> Status {
    GM_TRY(
        abi::check_given({{"tensors", tensors}, {"nodes", nodes}, {"floats", floats}, {"result", result}}));
    const ops::Description description = {
        {tensors.data, tensors.length}, {nodes.data, nodes.length}, {floats.data, floats.length}};
    std::shared_ptr<ops::Graph> graph;
    GM_TRY(ops::Graph::create(description, threads, &graph));
    *result = graphs().add(std::move(graph));
    return Status::ok();
  });
}

int32_t gm_graph_run(uint32_t graph, gm_buffers bindings, uint32_t cancel) {
  return abi::guard([&]() -> Status {
    const auto found = graphs().find(graph);  // kept alive by this run when it is closed meanwhile
    if (found == nullptr) return abi::closed("graph", graph);
    GM_TRY(abi::check_buffers("bindings", bindings));
    const auto flag = abi::cancels().find(cancel);
    return found->run({bindings.items, bindings.length}, flag.get());
  });
}

int32_t gm_graph_profile(uint32_t graph, gm_text_out* result) {
  return abi::guard([&]() -> Status {
    const auto found = graphs().find(graph);
    if (found == nullptr) return abi::closed("graph", graph);
    GM_TRY(abi::check_given({{"result", result}}));
    return abi::copy_text(found->profile(), result);
  });
}

int32_t gm_graph_close(uint32_t graph) {
  return abi::guard([&]() -> Status {
    return graphs().remove(graph) == nullptr ? abi::closed("graph", graph) : Status::ok();
  });
}

}  // extern "C"
