// A collective among ranks that are all in this process: the schedules and steps that run over a network,
// with copies of memory in place of links. The outputs are the same bytes as there.
#pragma once
#include <memory>
#include <vector>

#include "base/thread_pool.h"
#include "collective/arena.h"
#include "collective/plan.h"

namespace gradmesh {

// One rank's plan and memory, as of an OperationRequest on the host.
struct LocalRank {
  std::shared_ptr<const Plan> plan;
  const uint8_t* input = nullptr;
  uint8_t* output = nullptr;
  const float* state = nullptr;
  float* next = nullptr;
};

// Threads and scratch memory, kept between collectives; one at a time.
class LocalGroup {
 public:
  explicit LocalGroup(uint32_t threads) : pool_(threads) {}
  uint32_t threads() const { return pool_.threads(); }

  // ranks[i] is rank i; what they read and write is apart. sent[ranks]: payload bytes that each sends.
  // GM_INVALID_ARGUMENT names the plan that is not its rank's, or that differs from the first one's; then
  // nothing was written.
  Status run(const std::vector<LocalRank>& ranks, uint64_t seed, uint64_t step, double* sent);

 private:
  ThreadPool pool_;
  Arena arena_;
};

}  // namespace gradmesh
