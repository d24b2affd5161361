// Runs a plan: checks what only a run can know, then node by node, each node's units shared by the threads.
#include "ops/graph.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <new>

#include "numeric/backend.h"

namespace gradmesh::ops {
namespace {

constexpr uint64_t kSharesPerThread = 4;  // so that a thread that was held up leaves its rest to the others

Status invalid(const std::string& what) { return {GM_INVALID_ARGUMENT, what}; }

// Threads take the next share of the units until none is left.
void share_units(Kernel kernel, const Arguments& arguments, uint64_t units, uint64_t scratch,
                 ThreadPool& pool) {
  if (pool.threads() == 1 || units == 1) return kernel(arguments, 0, units);
  const uint64_t share = std::max<uint64_t>(1, units / (pool.threads() * kSharesPerThread));
  std::atomic<uint64_t> next = 0;
  pool.run([&](uint32_t thread) {
    Arguments own = arguments;
    own.scratch += thread * scratch;
    for (uint64_t begin; (begin = next.fetch_add(share, std::memory_order_relaxed)) < units;)
      kernel(own, begin, std::min(begin + share, units));
  });
}

}  // namespace

void Graph::Free::operator()(float* memory) const { std::free(memory); }

Graph::Memory Graph::allocate(uint64_t floats) {
  if (floats == 0) return nullptr;
  void* memory = std::aligned_alloc(4096, blocks(floats * 4, 4096) * 4096);
  if (memory == nullptr) throw std::bad_alloc();
  return Memory(static_cast<float*>(memory));
}

Graph::Graph(Plan plan, uint32_t threads)
    : plan_(std::move(plan)),
      scratch_(blocks(plan_.scratch, 1024) * 1024),
      arena_(allocate(plan_.arena)),
      scratches_(allocate(scratch_ * threads)),
      indices_(plan_.indices),
      pool_(threads) {}

Status Graph::create(const Description& description, uint32_t threads, std::shared_ptr<Graph>* graph) {
  if (threads < 1 || threads > kThreadsMax)
    return invalid("threads is " + std::to_string(threads) + ", allowed: 1 to " +
                   std::to_string(kThreadsMax));
  Plan plan;
  GM_TRY(make_plan(description, &plan));
  graph->reset(new Graph(std::move(plan), threads));
  return Status::ok();
}

void* Graph::address(uint32_t tensor, std::span<const gm_bytes> bindings) const {
  const Tensor& t = plan_.tensors[tensor];
  if (t.binding < 0) return arena_.get() + t.offset;
  return bindings[static_cast<size_t>(t.binding)].data + t.offset * 4;
}

Status Graph::check_bindings(std::span<const gm_bytes> bindings) const {
  const size_t count = plan_.binding_elements.size();
  if (bindings.size() < count)
    return invalid("bindings holds " + std::to_string(bindings.size()) + " buffers; the graph binds " +
                   std::to_string(count));
  for (size_t i = 0; i < count; ++i) {
    const std::string name = "binding " + std::to_string(i);
    if (bindings[i].length / 4 < plan_.binding_elements[i])
      return invalid(name + " has " + std::to_string(bindings[i].length) +
                     " bytes; the graph needs at least " + std::to_string(plan_.binding_elements[i] * 4));
    if (reinterpret_cast<uintptr_t>(bindings[i].data) % 4 != 0)
      return invalid(name + " does not start at a multiple of 4 bytes");
    for (size_t j = 0; j < count; ++j)
      if (j != i && plan_.binding_written[i] && bindings[i].data < bindings[j].data + bindings[j].length &&
          bindings[j].data < bindings[i].data + bindings[i].length)
        return invalid(name + " is written by the graph and overlaps binding " + std::to_string(j));
  }
  return Status::ok();
}

void Graph::copy_indices(std::span<const gm_bytes> bindings) {
  for (uint32_t id = 0; id < plan_.tensors.size(); ++id)
    if (const Tensor& t = plan_.tensors[id]; t.index)
      std::memcpy(indices_.data() + t.copied, address(id, bindings), t.elements * 4);
}

Status Graph::check_values(std::span<const gm_bytes> bindings) const {
  for (size_t n = 0; n < plan_.nodes.size(); ++n) {
    const Node& node = plan_.nodes[n];
    if (node.shape.index_input >= 0) {
      const uint32_t id = node.inputs[static_cast<size_t>(node.shape.index_input)];
      const int32_t* values = indices_.data() + plan_.tensors[id].copied;
      for (uint64_t i = 0; i < plan_.tensors[id].elements; ++i)
        if (values[i] < 0 || static_cast<uint64_t>(values[i]) >= node.shape.index_rows)
          return invalid(node_name(plan_, n) + ": tensor " + std::to_string(id) + " holds " +
                         std::to_string(values[i]) + " at " + std::to_string(i) + ", allowed: 0 to " +
                         std::to_string(node.shape.index_rows - 1));
    }
    if (node.op == Op::adamw && plan_.tensors[node.inputs[2]].binding >= 0) {
      const float step = static_cast<const float*>(address(node.inputs[2], bindings))[1];
      if (!(step >= 1) || step > 0x1p24f || step != std::floor(step))
        return invalid(node_name(plan_, n) + ": the step in tensor " + std::to_string(node.inputs[2]) +
                       " is " + std::to_string(step) + ", allowed: whole numbers from 1 to 2^24");
    }
  }
  return Status::ok();
}

void Graph::run_node(const Node& node, std::span<const gm_bytes> bindings) {
  Arguments arguments = {};
  for (size_t i = 0; i < node.inputs.size(); ++i) arguments.inputs[i] = address(node.inputs[i], bindings);
  for (size_t i = 0; i < node.outputs.size(); ++i) arguments.outputs[i] = address(node.outputs[i], bindings);
  if (node.shape.index_input >= 0) {
    const auto i = static_cast<size_t>(node.shape.index_input);
    arguments.inputs[i] = indices_.data() + plan_.tensors[node.inputs[i]].copied;
  }
  arguments.integers = node.integers.data();
  arguments.floats = node.floats.data();
  arguments.scratch = scratches_.get();
  const auto start = std::chrono::steady_clock::now();
  share_units(op_kernel(node.op), arguments, node.shape.units, scratch_, pool_);
  const auto spent = std::chrono::steady_clock::now() - start;
  Counter& counter = counters_[static_cast<size_t>(node.op)];
  counter.runs += 1;
  counter.nanoseconds += static_cast<uint64_t>(std::chrono::nanoseconds(spent).count());
}

Status Graph::run(std::span<const gm_bytes> bindings, const Cancel* cancel) {
  const std::lock_guard lock(running_);
  GM_TRY(backend::check_float_mode());
  GM_TRY(check_bindings(bindings));
  copy_indices(bindings);
  GM_TRY(check_values(bindings));
  for (const Node& node : plan_.nodes) {
    if (cancel != nullptr && cancel->raised()) return {GM_ABORTED, "the caller cancelled the graph's run"};
    run_node(node, bindings);
  }
  return Status::ok();
}

std::string Graph::profile() const {
  std::string json = "{";
  for (uint32_t id = 0; id < kOps; ++id) {
    const uint64_t runs = counters_[id].runs, nanoseconds = counters_[id].nanoseconds;
    if (runs == 0) continue;
    json += std::string(json.size() > 1 ? ", " : "") + "\"" + op_find(id)->name +
            "\": {\"runs\": " + std::to_string(runs) + ", \"nanoseconds\": " + std::to_string(nanoseconds) +
            "}";
  }
  return json + "}";
}

}  // namespace gradmesh::ops
