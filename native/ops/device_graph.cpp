// Runs a plan on a GPU: uploads what is new, starts the nodes one after the other without waiting, downloads
// what is asked for, and waits once at the end.
#include "ops/device_graph.h"

#include <algorithm>
#include <cstring>

#include "numeric/backend.h"
#include "ops/checks.h"

namespace gradmesh::ops {

using device::Memory;

DeviceGraph::DeviceGraph(Plan plan, device::SharedDevice device)
    : plan_(std::move(plan)), device_(std::move(device)), bindings_(plan_.binding_elements.size()) {}

// What still runs on the stream uses this memory.
DeviceGraph::~DeviceGraph() {
  if (stream_.handle() != nullptr && device_->use()) (void)stream_.synchronize();
}

Status DeviceGraph::create(const Description& description, device::SharedDevice device,
                           std::shared_ptr<DeviceGraph>* graph) {
  Plan plan;
  GM_TRY(make_plan(description, &plan));
  std::shared_ptr<DeviceGraph> made(new DeviceGraph(std::move(plan), std::move(device)));
  GM_TRY(made->check_operators());
  GM_TRY(made->prepare());
  *graph = std::move(made);
  return Status::ok();
}

Status DeviceGraph::check_operators() const {
  const DeviceTable& table = device_->table();
  if (table.operators != kOps || table.arguments_bytes != sizeof(Arguments))
    return {GM_UNSUPPORTED,
            "the CUDA plugin was built from another list of operators than this library; build both anew"};
  for (size_t n = 0; n < plan_.nodes.size(); ++n)
    if (table.operation[static_cast<size_t>(plan_.nodes[n].op)] == nullptr)
      return {GM_UNSUPPORTED, node_name(plan_, n) + ": the CUDA plugin has no such operator"};
  return Status::ok();
}

Status DeviceGraph::prepare() {
  uint64_t scratch = 0;
  for (const Node& node : plan_.nodes) scratch = std::max(scratch, node.shape.device_scratch);
  GM_TRY(device::Stream::create(device_, &stream_));
  GM_TRY(Memory::allocate(device_, Memory::Kind::device, plan_.arena * 4, &arena_));
  GM_TRY(Memory::allocate(device_, Memory::Kind::device, scratch * 4, &scratch_));
  GM_TRY(Memory::allocate(device_, Memory::Kind::device, plan_.indices * 4, &indices_));
  GM_TRY(Memory::allocate(device_, Memory::Kind::pinned, plan_.indices * 4, &staging_));
  // An i32 tensor that no run has uploaded is a row of every table.
  if (plan_.indices > 0) std::memset(staging_.data(), 0, plan_.indices * 4);
  for (const Tensor& tensor : plan_.tensors)
    if (tensor.binding >= 0 && !tensor.index) bindings_[static_cast<size_t>(tensor.binding)].mirrored = true;
  for (size_t b = 0; b < bindings_.size(); ++b)
    if (bindings_[b].mirrored)
      GM_TRY(Memory::allocate(device_, Memory::Kind::device, plan_.binding_elements[b] * 4,
                              &bindings_[b].mirror));
  find_ranges();
  return Status::ok();
}

void DeviceGraph::add_range(std::vector<Range>* ranges, Range range) {
  std::vector<Range> merged;
  for (const Range& each : *ranges) {
    if (each.end < range.begin || each.begin > range.end)
      merged.push_back(each);
    else
      range = {std::min(each.begin, range.begin), std::max(each.end, range.end)};
  }
  const auto later = [](const Range& a, const Range& b) { return a.begin < b.begin; };
  merged.insert(std::upper_bound(merged.begin(), merged.end(), range, later), range);
  *ranges = std::move(merged);
}

bool DeviceGraph::covers(const std::vector<Range>& ranges, Range range) {
  return std::any_of(ranges.begin(), ranges.end(),
                     [&](const Range& each) { return each.begin <= range.begin && range.end <= each.end; });
}

void DeviceGraph::find_ranges() {
  const auto range_of = [&](uint32_t id) {
    return Range{plan_.tensors[id].offset, plan_.tensors[id].offset + plan_.tensors[id].elements};
  };
  const auto note_read = [&](uint32_t id) {
    if (plan_.tensors[id].binding < 0) return;
    Binding& binding = bindings_[static_cast<size_t>(plan_.tensors[id].binding)];
    if (!covers(binding.written, range_of(id))) binding.read = true;
  };
  for (const Node& node : plan_.nodes) {
    for (size_t i = 0; i < node.inputs.size(); ++i)
      if (node.shape.inputs[i] != kAnySize) note_read(node.inputs[i]);
    for (const uint32_t id : node.outputs) {
      if (node.shape.in_place) note_read(id);
      if (plan_.tensors[id].binding >= 0)
        add_range(&bindings_[static_cast<size_t>(plan_.tensors[id].binding)].written, range_of(id));
    }
  }
}

void* DeviceGraph::address(uint32_t tensor) const {
  const Tensor& t = plan_.tensors[tensor];
  if (t.index) return indices_.data<int32_t>() + t.copied;
  if (t.binding < 0) return arena_.data<float>() + t.offset;
  return bindings_[static_cast<size_t>(t.binding)].mirror.data<float>() + t.offset;
}

// Checks everything that a run can know before it changes a mirror.
Status DeviceGraph::start(std::span<const gm_bytes> bindings, const std::vector<bool>& uploads) {
  GM_TRY(backend::check_float_mode());
  GM_TRY(check_bindings(plan_, bindings));
  for (size_t b = 0; b < bindings_.size(); ++b)
    if (bindings_[b].read && !bindings_[b].current && !uploads[b])
      return {GM_INVALID_ARGUMENT,
              "binding " + std::to_string(b) +
                  " is read by the graph, and its mirror on the GPU holds nothing yet, or what a "
                  "failed run has left; upload it in this run"};
  // Nobody can change the copies between the check and their use.
  for (const Tensor& t : plan_.tensors) {
    if (!t.index || !uploads[static_cast<size_t>(t.binding)]) continue;
    const uint8_t* source = bindings[static_cast<size_t>(t.binding)].data + t.offset * 4;
    std::memcpy(staging_.data<int32_t>() + t.copied, source, t.elements * 4);
    bindings_[static_cast<size_t>(t.binding)].current = false;
  }
  GM_TRY(check_indices(plan_, staging_.data<int32_t>()));
  GM_TRY(check_steps(plan_, bindings, uploads));
  // From here on a failure may leave anything in a mirror.
  for (size_t b = 0; b < bindings_.size(); ++b)
    if (uploads[b] || !bindings_[b].written.empty()) bindings_[b].current = false;
  return Status::ok();
}

Status DeviceGraph::upload(std::span<const gm_bytes> bindings, const std::vector<bool>& uploads) {
  GM_TRY(stream_.copy(indices_.data(), staging_.data(), plan_.indices * 4));
  for (size_t b = 0; b < bindings_.size(); ++b)
    if (uploads[b] && bindings_[b].mirrored)
      GM_TRY(stream_.copy(bindings_[b].mirror.data(), bindings[b].data, plan_.binding_elements[b] * 4));
  return Status::ok();
}

Status DeviceGraph::launch(size_t n) {
  const Node& node = plan_.nodes[n];
  Arguments arguments = {};
  for (size_t i = 0; i < node.inputs.size(); ++i) arguments.inputs[i] = address(node.inputs[i]);
  for (size_t i = 0; i < node.outputs.size(); ++i) arguments.outputs[i] = address(node.outputs[i]);
  arguments.integers = node.integers.data();
  arguments.floats = node.floats.data();
  arguments.scratch = scratch_.data<float>();
  const DeviceOperator operation = device_->table().operation[static_cast<size_t>(node.op)];
  const int error = operation(arguments, stream_.handle());
  return error == 0 ? Status::ok() : device_->check(error, node_name(plan_, n).c_str());
}

Status DeviceGraph::run_nodes(bool timed, const Cancel* cancel) {
  for (size_t n = events_.size(); timed && n <= plan_.nodes.size(); ++n) {
    device::Event event;
    GM_TRY(device::Event::create(device_, &event));
    events_.push_back(std::move(event));
  }
  for (size_t n = 0; n < plan_.nodes.size(); ++n) {
    if (cancel != nullptr && cancel->raised()) return {GM_ABORTED, "the caller cancelled the graph's run"};
    if (timed) GM_TRY(events_[n].record(stream_));
    GM_TRY(launch(n));
  }
  if (timed) GM_TRY(events_[plan_.nodes.size()].record(stream_));
  return Status::ok();
}

Status DeviceGraph::download(std::span<const gm_bytes> bindings, std::span<const int32_t> transfers) {
  for (size_t b = 0; b < bindings_.size(); ++b) {
    if (!transfers.empty() && (transfers[b] & kDownload) == 0) continue;
    for (const Range& range : bindings_[b].written)
      GM_TRY(stream_.copy(bindings[b].data + range.begin * 4, bindings_[b].mirror.data<float>() + range.begin,
                          (range.end - range.begin) * 4));
  }
  return Status::ok();
}

Status DeviceGraph::count_nodes(bool timed) {
  for (size_t n = 0; n < plan_.nodes.size(); ++n) {
    float milliseconds = 0;
    if (timed) GM_TRY(events_[n + 1].elapsed_since(events_[n], &milliseconds));
    profile_.count(plan_.nodes[n].op, static_cast<uint64_t>(static_cast<double>(milliseconds) * 1e6));
  }
  return Status::ok();
}

Status DeviceGraph::run(std::span<const gm_bytes> bindings, std::span<const int32_t> transfers,
                        const Cancel* cancel) {
  const std::lock_guard lock(running_);
  if (!transfers.empty() && transfers.size() < bindings_.size())
    return {GM_INVALID_ARGUMENT, "transfers holds " + std::to_string(transfers.size()) +
                                     " numbers; the graph binds " + std::to_string(bindings_.size()) +
                                     " buffers"};
  GM_TRY(device_->use());
  std::vector<bool> uploads(bindings_.size(), true);
  for (size_t b = 0; !transfers.empty() && b < uploads.size(); ++b)
    uploads[b] = (transfers[b] & kUpload) != 0;
  GM_TRY(start(bindings, uploads));
  const bool timed = timed_;
  Status status = upload(bindings, uploads);
  if (status) status = run_nodes(timed, cancel);
  if (status) status = download(bindings, transfers);
  const Status finished = stream_.synchronize();  // also after a failure: the buffers are the caller's again
  GM_TRY(status);
  GM_TRY(finished);
  for (size_t b = 0; b < bindings_.size(); ++b)
    if (uploads[b] || !bindings_[b].written.empty()) bindings_[b].current = true;
  return count_nodes(timed);
}

// A verifier or a referee looks into intermediate tensors, and needs none of a GPU's speed: the bytes are
// equal.
static Status only_on_cpu(const char* call) {
  return {GM_UNSUPPORTED, std::string(call) +
                              " is for graphs on the CPU, whose bytes are the same as a GPU's; "
                              "create the graph on device \"cpu\""};
}

Status DeviceGraph::trace(std::span<const gm_bytes>, uint32_t, uint32_t, std::span<uint8_t>) {
  return only_on_cpu("graph_trace");
}
Status DeviceGraph::read(uint32_t, uint64_t, std::span<float>) { return only_on_cpu("graph_read"); }
Status DeviceGraph::write(uint32_t, uint64_t, std::span<const float>) { return only_on_cpu("graph_write"); }

std::string DeviceGraph::profile() const {
  timed_ = true;
  return profile_.json();
}

}  // namespace gradmesh::ops
