// An operator graph: a checked list of nodes that run in order on a team of threads. The same graph on the
// same inputs gives the same bytes on every backend and for every number of threads.
#pragma once
#include <array>
#include <atomic>
#include <memory>
#include <mutex>
#include <span>
#include <string>

#include "base/cancel.h"
#include "base/status.h"
#include "base/thread_pool.h"
#include "ops/plan.h"

namespace gradmesh::ops {

inline constexpr uint32_t kThreadsMax = 256;

class Graph {
 public:
  // GM_INVALID_ARGUMENT as make_plan says, or for threads outside 1..kThreadsMax. threads = 1 runs on the
  // caller's thread.
  static Status create(const Description& description, uint32_t threads, std::shared_ptr<Graph>* graph);

  // Runs every node on the bound buffers, one for each binding of the description. Before the first node
  // GM_INVALID_ARGUMENT, with nothing written, for: too few or too short buffers, a written one that overlaps
  // another, a token or target out of range, an AdamW step that is no whole number from 1 on, a changed
  // MXCSR. GM_ABORTED between two nodes once cancel is raised; what the bound outputs then hold is not
  // defined. Runs of one graph follow each other; cancel may be null.
  Status run(std::span<const gm_bytes> bindings, const Cancel* cancel);

  // {"matmul": {"runs": 3, "nanoseconds": 1000}, ...}: the operators that have run.
  std::string profile() const;

 private:
  Graph(Plan plan, uint32_t threads);
  Status check_bindings(std::span<const gm_bytes> bindings) const;
  void copy_indices(std::span<const gm_bytes> bindings);
  Status check_values(std::span<const gm_bytes> bindings) const;
  void run_node(const Node& node, std::span<const gm_bytes> bindings);
  void* address(uint32_t tensor, std::span<const gm_bytes> bindings) const;

  struct Free {
    void operator()(float* memory) const;
  };
  using Memory = std::unique_ptr<float, Free>;
  static Memory allocate(uint64_t floats);

  struct Counter {
    std::atomic<uint64_t> runs = 0, nanoseconds = 0;
  };

  const Plan plan_;
  const uint64_t scratch_;  // floats a thread, whole pages apart
  Memory arena_, scratches_;
  std::vector<int32_t> indices_;
  ThreadPool pool_;
  std::mutex running_;
  std::array<Counter, kOps> counters_;
};

}  // namespace gradmesh::ops
