// The operator graph over the C ABI.
#include "abi/abi.h"
#include "abi/cancels.h"
#include "base/handles.h"
#include "ops/runner.h"

using namespace gradmesh;

namespace {
HandleTable<ops::Runner>& graphs() {
  static HandleTable<ops::Runner> table;
  return table;
}

Status check_transfers(gm_i32s transfers, size_t bindings) {
  GM_TRY(abi::check_given({{"transfers", transfers}}));
  if (transfers.length != 0 && transfers.length != bindings)
    return {GM_INVALID_ARGUMENT, "transfers holds " + std::to_string(transfers.length) + " numbers for " +
                                     std::to_string(bindings) + " bindings; allowed: one for each, or none"};
  for (size_t i = 0; i < transfers.length; ++i)
    if (transfers.data[i] < 0 || transfers.data[i] > (ops::kUpload | ops::kDownload))
      return {GM_INVALID_ARGUMENT, "transfers[" + std::to_string(i) + "] is " +
                                       std::to_string(transfers.data[i]) +
                                       ", allowed: 0 (nothing), 1 (to the GPU), 2 (from it), 3 (both)"};
  return Status::ok();
}
}  // namespace

extern "C" {

int32_t gm_graph_create(gm_f64s tensors, gm_i32s nodes, gm_f64s floats, uint32_t threads, gm_text device,
                        uint32_t* result) {
  return abi::guard([&]() -> Status {
    GM_TRY(abi::check_given({{"tensors", tensors},
                             {"nodes", nodes},
                             {"floats", floats},
                             {"device", device},
                             {"result", result}}));
    const ops::Description description = {
        {tensors.data, tensors.length}, {nodes.data, nodes.length}, {floats.data, floats.length}};
    std::shared_ptr<ops::Runner> runner;
    GM_TRY(ops::create_runner(description, abi::view(device), threads, &runner));
    *result = graphs().add(std::move(runner));
    return Status::ok();
  });
}

int32_t gm_graph_run(uint32_t graph, gm_buffers bindings, gm_i32s transfers, uint32_t cancel) {
  return abi::guard([&]() -> Status {
    const auto found = graphs().find(graph);  // kept alive by this run when it is closed meanwhile
    if (found == nullptr) return abi::closed("graph", graph);
    GM_TRY(abi::check_buffers("bindings", bindings));
    GM_TRY(check_transfers(transfers, bindings.length));
    const auto flag = abi::cancels().find(cancel);
    return found->run({bindings.items, bindings.length}, {transfers.data, transfers.length}, flag.get());
  });
}

int32_t gm_graph_trace(uint32_t graph, gm_buffers bindings, uint32_t begin, uint32_t end, gm_bytes digests) {
  return abi::guard([&]() -> Status {
    const auto found = graphs().find(graph);
    if (found == nullptr) return abi::closed("graph", graph);
    GM_TRY(abi::check_buffers("bindings", bindings));
    GM_TRY(abi::check_given({{"digests", digests}}));
    return found->trace({bindings.items, bindings.length}, begin, end, {digests.data, digests.length});
  });
}

int32_t gm_graph_read(uint32_t graph, uint32_t tensor, uint64_t offset, gm_f32s target) {
  return abi::guard([&]() -> Status {
    const auto found = graphs().find(graph);
    if (found == nullptr) return abi::closed("graph", graph);
    GM_TRY(abi::check_given({{"target", target}}));
    return found->read(tensor, offset, {target.data, target.length});
  });
}

int32_t gm_graph_write(uint32_t graph, uint32_t tensor, uint64_t offset, gm_f32s source) {
  return abi::guard([&]() -> Status {
    const auto found = graphs().find(graph);
    if (found == nullptr) return abi::closed("graph", graph);
    GM_TRY(abi::check_given({{"source", source}}));
    return found->write(tensor, offset, {source.data, source.length});
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
