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

  // Runs nodes [begin, end) on the bindings' buffers and on the graph's own memory as they are, and writes
  // after each node the BLAKE3 of each of its outputs: digests[outputs of these nodes in order][32], or
  // empty: none. So a step can be run in parts, or one operator of it alone. Checks as run(), and
  // GM_INVALID_ARGUMENT for an impossible range or length, or where a node would read a tensor of the graph's
  // own memory that does not hold its value (see read): nothing is written then. GM_UNSUPPORTED on a GPU.
  virtual Status trace(std::span<const gm_bytes> bindings, uint32_t begin, uint32_t end,
                       std::span<uint8_t> digests) = 0;

  // Elements [offset, offset + target.size()) of a tensor of the graph's own memory. Tensors share that
  // memory, one after the other: GM_INVALID_ARGUMENT for one that no node (of the last run, or of a trace
  // since) has written yet, or whose place another has taken since; the message says which. GM_UNSUPPORTED on
  // a GPU.
  virtual Status read(uint32_t tensor, uint64_t offset, std::span<float> target) = 0;

  // The reverse. A whole tensor may be written at any time and holds its value from then on, and what shared
  // its place does not; part of one only while it can be read. GM_UNSUPPORTED on a GPU.
  virtual Status write(uint32_t tensor, uint64_t offset, std::span<const float> source) = 0;

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
