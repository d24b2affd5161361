// Mean straight to the owner: chunk j belongs to rank j. Each rank codes every chunk once and sends chunk j
// to rank j; the owner codes the mean of all contributions, taken in rank order, once, and sends it to all;
// every rank, the owner too, decodes the same bytes. So the error of coding falls with the number of ranks,
// and a codec whose mean is exact makes the result free of any order.
//
// With fp32 the wire is the tensor's own memory: nothing is coded, decoded or staged but the
// contributions.
//
// Cost: 2 latency steps whatever the number of ranks; each rank sends all chunks but its own, and its own n-1
// times.
#include "collective/direct.h"

#include "collective/writer.h"

namespace gradmesh {
namespace {

class Direct {
 public:
  Direct(const ScheduleRequest& request, Schedule* schedule)
      : request_(request), identity_(request.codec->traits.identity), write_(request, schedule) {}

  // One segment of every chunk that is long enough to have it. Others' chunks first: their owners wait for
  // them.
  void segment(uint64_t index) {
    for (uint32_t distance = 1; distance < request_.ranks; ++distance) contribute(peer(distance), index);
    reduce(index);
    for (uint32_t distance = 1; distance < request_.ranks; ++distance) gather(peer(distance), index);
  }

  Range range(uint32_t chunk) const {
    return chunk_range(request_.elements, request_.codec->traits.block_elements, request_.ranks, chunk);
  }
  uint64_t segments_most() const {
    uint64_t most = 0;
    for (uint32_t chunk = 0; chunk < request_.ranks; ++chunk)
      most = std::max(most, write_.segments(range(chunk)));
    return most;
  }

 private:
  struct Coded {
    Region wire{};
    std::vector<uint32_t> waits;  // what makes the wire complete
  };

  uint32_t peer(uint32_t distance) const { return (request_.rank + distance) % request_.ranks; }
  bool part(uint32_t chunk, uint64_t index, Range* range_out) const {
    const Range whole = range(chunk);
    if (index >= write_.segments(whole)) return false;
    *range_out = write_.segment(whole, index);
    return true;
  }

  Coded encoded(const Range& part) {
    if (identity_) return {ScheduleWriter::input(part), {}};
    const Region wire = write_.stage(part.elements);
    return {
        wire,
        {write_.code(StepKind::encode, {ScheduleWriter::input(part)}, wire, {}, request_.rank, part.begin)}};
  }

  void contribute(uint32_t owner, uint64_t index) {
    Range mine;
    if (!part(owner, index, &mine)) return;
    const Coded coded = encoded(mine);
    sent_[owner] = {coded.wire, {write_.send(owner, segment_tag(0, owner, index), coded.wire, coded.waits)}};
  }

  void reduce(uint64_t index) {
    Range own;
    if (!part(request_.rank, index, &own)) return;
    const Coded coded = encoded(own);
    std::vector<Region> contributions;
    std::vector<uint32_t> waits = coded.waits;
    for (uint32_t rank = 0; rank < request_.ranks; ++rank) {
      contributions.push_back(rank == request_.rank ? coded.wire : write_.stage(own.elements));
      if (rank == request_.rank) continue;
      waits.push_back(write_.recv(rank, segment_tag(0, request_.rank, index), contributions.back()));
    }
    const Region mean = identity_ ? ScheduleWriter::output(own) : write_.stage(own.elements);
    const uint32_t done =
        write_.code(StepKind::mean, std::move(contributions), mean, std::move(waits), kMeanRank, own.begin);
    for (uint32_t distance = 1; distance < request_.ranks; ++distance)
      write_.send(peer(distance), segment_tag(1, request_.rank, index), mean, {done});
    if (!identity_)
      write_.code(StepKind::decode, {mean}, ScheduleWriter::output(own), {done}, kMeanRank, own.begin);
  }

  void gather(uint32_t owner, uint64_t index) {
    Range theirs;
    if (!part(owner, index, &theirs)) return;
    const uint64_t tag = segment_tag(1, owner, index);
    const Region output = ScheduleWriter::output(theirs);
    if (identity_) {
      write_.recv(owner, tag, output);
      return;
    }
    // The mean takes the place of this rank's contribution, which is done with once it is sent.
    const uint32_t received = write_.recv(owner, tag, sent_[owner].wire, sent_[owner].waits);
    write_.code(StepKind::decode, {sent_[owner].wire}, output, {received}, kMeanRank, theirs.begin);
  }

  const ScheduleRequest& request_;
  const bool identity_;
  ScheduleWriter write_;
  Coded sent_[kRanksMax];  // this segment's contributions, by owner
};

}  // namespace

void direct_schedule(const ScheduleRequest& request, Schedule* schedule) {
  Direct direct(request, schedule);
  const uint64_t segments = direct.segments_most();
  for (uint64_t index = 0; index < segments; ++index) direct.segment(index);
}

Cost direct_cost(const ScheduleRequest& request) {
  if (request.ranks == 1 || request.elements == 0) return {};
  const auto bytes = [&](uint32_t chunk) {
    const uint64_t block = request.codec->traits.block_elements;
    return request.codec->bytes(chunk_range(request.elements, block, request.ranks, chunk).elements);
  };
  uint64_t sent = (request.ranks - 1) * bytes(request.rank);
  for (uint32_t chunk = 0; chunk < request.ranks; ++chunk)
    if (chunk != request.rank) sent += bytes(chunk);
  return {2, sent};
}

}  // namespace gradmesh
