// What schedule writers share: adding steps by kind, handing out staging memory, and what a rank contributes.
#pragma once
#include <array>
#include <optional>
#include <utility>

#include "collective/hazards.h"
#include "collective/partition.h"
#include "collective/schedule.h"

namespace gradmesh {

// Those that a mean is taken of: all, but of a weighted one not those with weight 0. Ascending, never empty.
std::vector<uint32_t> contributing_ranks(const ScheduleRequest& request);
// weighted_mean: fl32(w[rank] * shares / sum of w) in doubles, of a mean of so many contributions; the sum
// ascends by rank, and the product is taken first. Else 1.
float contribution_factor(const ScheduleRequest& request, uint32_t shares);
// mean and weighted_mean.
bool takes_mean(const ScheduleRequest& request);

class ScheduleWriter {
 public:
  // by_hand: steps wait for what the writer passes. by_memory: also for all that their memory demands, so
  // that nothing needs to be passed.
  enum class Waits { by_hand, by_memory };
  // A region, and the steps that make its content complete.
  struct Ready {
    Region region{};
    std::vector<uint32_t> waits{};
  };
  // What follows the decoding of a result.
  enum class Then { nothing, times_ranks, over_ranks };

  // shares: the number of contributions of which the schedule takes a mean, where not all ranks contribute.
  ScheduleWriter(const ScheduleRequest& request, Schedule* schedule, Waits waits = Waits::by_hand,
                 uint32_t shares = 0)
      : request_(request),
        codec_(*request.codec),
        schedule_(*schedule),
        memory_(request.wire_is_memory()),
        factor_(contribution_factor(request, shares == 0 ? request.ranks : shares)),
        segment_(segment_length(request.segment_elements, request.block_elements())) {
    if (waits == Waits::by_memory) hazards_.emplace(wires_of(request));
  }

  uint64_t block() const { return request_.block_elements(); }
  uint64_t segments(const Range& chunk) const { return segment_count(chunk, segment_); }
  Range segment(const Range& chunk, uint64_t index) const { return segment_range(chunk, segment_, index); }
  template <class Body>  // body(index, range)
  void each_segment(const Range& chunk, Body&& body) const {
    for (uint64_t index = 0; index < segments(chunk); ++index) body(index, segment(chunk, index));
  }
  // The part of `parts` with this number, in whole blocks.
  Range chunk(uint32_t parts, uint32_t part) const {
    return chunk_range(request_.elements, block(), parts, part);
  }

  // Memory of the group for the wire of so many elements, on its way up and down, and for as many floats.
  Region stage(uint64_t elements) { return stage(Space::staging, elements, codec_.bytes(elements)); }
  Region stage_down(uint64_t elements) {
    return stage(Space::down, elements, request_.down_codec().bytes(elements));
  }
  Region stage_floats(uint64_t elements) { return stage(Space::floats, elements, elements * sizeof(float)); }
  static Region input(const Range& range) { return {Space::input, range.begin, range.elements}; }
  static Region output(const Range& range) { return {Space::output, range.begin, range.elements}; }
  static Region state(const Range& range) { return {Space::state, range.begin, range.elements}; }
  static Region next(const Range& range) { return {Space::next, range.begin, range.elements}; }

  uint32_t send(uint32_t peer, uint64_t tag, Region source, std::vector<uint32_t> waits = {}) {
    Step step = made(StepKind::send, {source}, {}, std::move(waits));
    step.peer = peer, step.tag = tag;
    return add(std::move(step));
  }
  uint32_t recv(uint32_t peer, uint64_t tag, Region target, std::vector<uint32_t> waits = {}) {
    Step step = made(StepKind::recv, {}, target, std::move(waits));
    step.peer = peer, step.tag = tag;
    return add(std::move(step));
  }
  // encode and reduce give the wire of the elements from `first` on, decode takes it; `coder` is whose key
  // codes it.
  uint32_t code(StepKind kind, std::vector<Region> sources, Region target, std::vector<uint32_t> waits,
                uint32_t coder, uint64_t first) {
    Step step = made(kind, std::move(sources), target, std::move(waits));
    step.coder = coder, step.first = first;
    return add(std::move(step));
  }
  uint32_t hop(const Region& wire, uint32_t coder_from, const Region& terms, Region target,
               std::vector<uint32_t> waits, uint32_t coder, uint64_t first) {
    Step step = made(StepKind::hop, {wire, terms}, target, std::move(waits));
    step.coder = coder, step.coder_from = coder_from, step.first = first;
    return add(std::move(step));
  }
  // scale and fold.
  uint32_t weigh(StepKind kind, Region source, float factor, Region target,
                 std::vector<uint32_t> waits = {}) {
    Step step = made(kind, {source}, target, std::move(waits));
    step.factor = factor;
    return add(std::move(step));
  }
  uint32_t advance(Region residue, float decay, Region values, Region target,
                   std::vector<uint32_t> waits = {}) {
    Step step = made(StepKind::advance, {residue, values}, target, std::move(waits));
    step.factor = decay;
    return add(std::move(step));
  }
  // Other steps without a peer.
  uint32_t local(StepKind kind, std::vector<Region> sources, Region target,
                 std::vector<uint32_t> waits = {}) {
    return add(made(kind, std::move(sources), target, std::move(waits)));
  }

  // What this rank puts into the reduction of a part: its input, times its weight in floats where ranks have
  // weights.
  Ready terms(const Range& part);
  // The same as a wire of the codec, coded by `coder`. A product that is no float32 tensor's is rounded to
  // the tensor's type.
  Ready wire(const Range& part, uint32_t coder);
  // Decodes a wire into the output, with what follows; a 16-bit result is rounded once. The last step.
  uint32_t finish(const Region& wire, uint32_t coder, const Range& part, Then then,
                  std::vector<uint32_t> waits);
  // Floats as the wire of a codec: their own memory where the codec is fp32 itself, else coded.
  Ready wire_of(const Ready& floats, uint32_t coder, uint64_t first);

 private:
  Region stage(Space space, uint64_t elements, uint64_t bytes) {
    constexpr uint64_t kAlignment = 64;  // a cache line, so that no two regions share one
    const Region region{space, schedule_.staging_bytes, elements};
    schedule_.staging_bytes += (bytes + kAlignment - 1) / kAlignment * kAlignment;
    return region;
  }
  static Step made(StepKind kind, std::vector<Region> sources, Region target, std::vector<uint32_t> waits) {
    Step step{};
    step.kind = kind;
    step.sources = std::move(sources);
    step.target = target;
    step.waits = std::move(waits);
    return step;
  }
  uint32_t add(Step step) {
    const auto index = static_cast<uint32_t>(schedule_.steps.size());
    if (hazards_) hazards_->order(index, &step);
    schedule_.steps.push_back(std::move(step));
    return index;
  }

  const ScheduleRequest& request_;
  const Codec& codec_;
  Schedule& schedule_;
  const bool memory_;
  const float factor_;
  const uint64_t segment_;
  std::optional<Hazards> hazards_;
};

// A few regions used in turn, for a stream of segments that need memory for a short while. Only where waits
// are by memory: whoever writes one waits for those that used it before.
class StagingTurns {
 public:
  Region next(ScheduleWriter& write, Space space, uint64_t elements) {
    Region& region = regions_[turn_++ % regions_.size()];
    if (region.elements < elements)
      region = space == Space::floats ? write.stage_floats(elements) : write.stage(elements);
    return {space, region.offset, elements};
  }

 private:
  std::array<Region, 8> regions_{};  // enough that coding a segment does not hold up the next ones' arrival
  size_t turn_ = 0;
};

}  // namespace gradmesh
