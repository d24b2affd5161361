// An operator graph: a checked list of nodes that run in order on a team of threads. The same graph on the
// same inputs gives the same bytes on every backend and for every number of threads.
#pragma once
#include <memory>
#include <mutex>
#include <span>
#include <string>

#include "base/thread_pool.h"
#include "ops/arena.h"
#include "ops/profile.h"
#include "ops/runner.h"

namespace gradmesh::ops {

inline constexpr uint32_t kThreadsMax = 256;

class Graph : public Runner {
 public:
  // GM_INVALID_ARGUMENT as make_plan says, or for threads outside 1..kThreadsMax. threads = 1 runs on the
  // caller's thread.
  static Status create(const Description& description, uint32_t threads, std::shared_ptr<Graph>* graph);

  // As Runner::run, in the buffers themselves.
  Status run(std::span<const gm_bytes> bindings, const Cancel* cancel);
  Status run(std::span<const gm_bytes> bindings, std::span<const int32_t>, const Cancel* cancel) override {
    return run(bindings, cancel);
  }

  Status trace(std::span<const gm_bytes> bindings, uint32_t begin, uint32_t end,
               std::span<uint8_t> digests) override;
  Status read(uint32_t tensor, uint64_t offset, std::span<float> target) override;
  Status write(uint32_t tensor, uint64_t offset, std::span<const float> source) override;

  std::string profile() const override { return profile_.json(); }

 private:
  Graph(Plan plan, uint32_t threads);
  Status check_run(std::span<const gm_bytes> bindings);
  void copy_indices(std::span<const gm_bytes> bindings);
  void run_node(const Node& node, std::span<const gm_bytes> bindings);
  void* address(uint32_t tensor, std::span<const gm_bytes> bindings) const;

  struct Free {
    void operator()(float* memory) const;
  };
  using Memory = std::unique_ptr<float, Free>;
  static Memory allocate(uint64_t floats);

  const Plan plan_;
  const uint64_t scratch_;  // floats a thread, whole pages apart
  Memory arena_, scratches_;
  std::vector<int32_t> indices_;
  ThreadPool pool_;
  std::mutex running_;
  Arena holds_;  // what the arena's tensors hold; kept where it matters, by trace, read and write
  Profile profile_;
};

}  // namespace gradmesh::ops
