// Something that runs a plan: the CPU's graph, or a GPU's. The same plan on the same buffers gives the same
// bytes on each.
#pragma once
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "base/cancel.h"
#include "base/status.h"
#include "ops/plan.h"

namespace gradmesh::ops {

// What a run copies between a binding's buffer and its mirror in a GPU's memory: the sum of these, 0 to 3. A
// CPU's graph has no mirrors and always works in the buffers.
inline constexpr int32_t kUpload = 1;    // before the first node
inline constexpr int32_t kDownload = 2;  // after the last one: what its nodes have written

class Runner {
 public:
  virtual ~Runner() = default;

  // Runs every node on the bound buffers, one for each binding of the description. Before the first node
  // GM_INVALID_ARGUMENT, with nothing written, for: too few or too short buffers, a written one that overlaps
  // another, a token or target out of range, an AdamW step that is no whole number from 1 on, a changed
  // MXCSR; on a GPU also a binding that nodes read and that was never uploaded, or not since a failed run may
  // have left anything in it. GM_ABORTED between two nodes once cancel is raised; what the bound outputs then
  // hold is not defined. Runs of one graph follow each other; cancel may be null. transfers has a number for
  // each binding, or none: then each is uploaded and downloaded.
  virtual Status run(std::span<const gm_bytes> bindings, std::span<const int32_t> transfers,
                     const Cancel* cancel) = 0;

  // {"matmul": {"runs": 3, "nanoseconds": 1000}, ...}: the operators that have run. A GPU's times are
  // measured from the first call on; before, they are 0.
  virtual std::string profile() const = 0;
};

// device: "cpu", "cuda" (the first GPU) or "cuda:<index>"; threads matter to the CPU alone.
// GM_INVALID_ARGUMENT as make_plan says, for threads outside 1..kThreadsMax, and for another device;
// GM_UNSUPPORTED where there is no GPU, with the reason.
Status create_runner(const Description& description, std::string_view device, uint32_t threads,
                     std::shared_ptr<Runner>* runner);

}  // namespace gradmesh::ops
