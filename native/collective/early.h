// What came for operations that have not been started here: ranks may start operations in any order, and not
// at the same time. Bounded: a rank sends at most kEagerBytes of data (eager_cost) of an operation to
// one that has not said begin, and has at most kOperationsMax under way; whoever sends more breaks the
// protocol.
#pragma once
#include <map>
#include <memory>
#include <set>
#include <span>
#include <vector>

#include "base/status.h"
#include "transport/frame.h"

namespace gradmesh {

inline constexpr size_t kOperationsMax = 16;                // under way on an endpoint
inline constexpr uint64_t kEagerBytes = uint64_t{4} << 20;  // but always one frame
// What a data frame counts for: its payload, and what keeping it costs, so that small ones are bounded too.
constexpr uint64_t eager_cost(uint64_t payload_bytes) { return payload_bytes + 1024; }

struct EarlyFrame {
  FrameHeader header;
  std::vector<uint8_t> payload;
  bool complete = false;
};

class EarlyFrames {
 public:
  // Room for a data frame that arrives; GM_PROTOCOL beyond the bounds. The memory stays until complete() or
  // forget().
  Status land(uint32_t link, const FrameHeader& header, uint8_t** target);
  // A data frame that landed is there and proved.
  void complete(uint32_t link, const FrameHeader& header);
  Status control(uint32_t link, const FrameHeader& header, std::span<const uint8_t> payload);

  using Frames = std::vector<std::unique_ptr<EarlyFrame>>;  // in the order of arrival, some incomplete
  // Everything that came for the operation, by link; it is forgotten here.
  std::map<uint32_t, Frames> take(uint64_t operation);
  void forget_link(uint32_t link);

 private:
  struct Sent {
    Frames frames;
    std::set<uint64_t> tags;  // of data
    uint64_t cost = 0;        // likewise
    size_t controls = 0;
  };
  static constexpr size_t kControlsMax = 3;  // begin, done, abort
  Status hold(uint32_t link, const FrameHeader& header, EarlyFrame** frame);
  bool forget_aborted(uint32_t link);
  std::map<uint64_t, std::map<uint32_t, Sent>> operations_;  // by operation, then link
};

// Which operations have ended, so that what is still on its way for them is skipped and no id serves twice.
class EndedOperations {
 public:
  bool contains(uint64_t operation) const { return operation <= floor_ || ended_.count(operation) != 0; }
  void add(uint64_t operation);
  uint64_t floor() const { return floor_; }

 private:
  static constexpr size_t kRemembered = 4096;
  std::set<uint64_t> ended_;
  uint64_t floor_ = 0;  // all up to it count as ended
};

}  // namespace gradmesh
