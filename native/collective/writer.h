// What schedule writers share: adding steps by kind, and handing out staging memory.
#pragma once
#include <utility>

#include "collective/partition.h"
#include "collective/schedule.h"

namespace gradmesh {

class ScheduleWriter {
 public:
  ScheduleWriter(const ScheduleRequest& request, Schedule* schedule)
      : codec_(*request.codec),
        schedule_(*schedule),
        segment_(segment_length(request.segment_elements, request.codec->traits.block_elements)) {}

  uint64_t segments(const Range& chunk) const { return segment_count(chunk, segment_); }
  Range segment(const Range& chunk, uint64_t index) const { return segment_range(chunk, segment_, index); }

  // Memory of the group for the coded bytes of so many elements.
  Region stage(uint64_t elements) {
    constexpr uint64_t kAlignment = 64;  // a cache line, so that no two regions share one
    const Region region{Space::staging, schedule_.staging_bytes, elements};
    schedule_.staging_bytes += (codec_.bytes(elements) + kAlignment - 1) / kAlignment * kAlignment;
    return region;
  }
  static Region input(const Range& range) { return {Space::input, range.begin, range.elements}; }
  static Region output(const Range& range) { return {Space::output, range.begin, range.elements}; }

  uint32_t send(uint32_t peer, uint64_t tag, Region source, std::vector<uint32_t> waits) {
    return add(StepKind::send, {source}, {}, std::move(waits), peer, tag);
  }
  uint32_t recv(uint32_t peer, uint64_t tag, Region target, std::vector<uint32_t> waits = {}) {
    return add(StepKind::recv, {}, target, std::move(waits), peer, tag);
  }
  // encode and mean give the wire of the elements from `first` on, decode takes it; `coder` is whose key
  // codes it.
  uint32_t code(StepKind kind, std::vector<Region> sources, Region target, std::vector<uint32_t> waits,
                uint32_t coder, uint64_t first) {
    const uint32_t index = local(kind, std::move(sources), target, std::move(waits));
    schedule_.steps[index].coder = coder;
    schedule_.steps[index].first = first;
    return index;
  }
  // Other steps without a peer.
  uint32_t local(StepKind kind, std::vector<Region> sources, Region target, std::vector<uint32_t> waits) {
    return add(kind, std::move(sources), target, std::move(waits), 0, 0);
  }

 private:
  uint32_t add(StepKind kind, std::vector<Region> sources, Region target, std::vector<uint32_t> waits,
               uint32_t peer, uint64_t tag) {
    schedule_.steps.push_back({.kind = kind,
                               .peer = peer,
                               .tag = tag,
                               .sources = std::move(sources),
                               .target = target,
                               .waits = std::move(waits)});
    return static_cast<uint32_t>(schedule_.steps.size() - 1);
  }

  const Codec& codec_;
  Schedule& schedule_;
  const uint64_t segment_;
};

}  // namespace gradmesh
