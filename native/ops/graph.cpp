// Runs a plan: checks what only a run can know, then node by node, each node's units shared by the threads.
#include "ops/graph.h"

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <new>

#include "numeric/backend.h"
#include "ops/checks.h"

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
      pool_(threads),
      holds_(plan_) {}

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

void Graph::copy_indices(std::span<const gm_bytes> bindings) {
  for (uint32_t id = 0; id < plan_.tensors.size(); ++id)
    if (const Tensor& t = plan_.tensors[id]; t.index)
      std::memcpy(indices_.data() + t.copied, address(id, bindings), t.elements * 4);
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
  profile_.count(node.op, static_cast<uint64_t>(std::chrono::nanoseconds(spent).count()));
}

Status Graph::check_run(std::span<const gm_bytes> bindings) {
  GM_TRY(backend::check_float_mode());
  GM_TRY(check_bindings(plan_, bindings));
  copy_indices(bindings);
  GM_TRY(check_indices(plan_, indices_.data()));
  return check_steps(plan_, bindings, std::vector<bool>(bindings.size(), true));
}

Status Graph::run(std::span<const gm_bytes> bindings, const Cancel* cancel) {
  const std::lock_guard lock(running_);
  GM_TRY(check_run(bindings));
  holds_.forget();
  for (const Node& node : plan_.nodes) {
    if (cancel != nullptr && cancel->raised()) return {GM_ABORTED, "the caller cancelled the graph's run"};
    run_node(node, bindings);
  }
  holds_.ran_all();
  return Status::ok();
}

}  // namespace gradmesh::ops
