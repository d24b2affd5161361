// Reduction straight at the owner: chunk j belongs to rank j. Each rank codes every chunk once and sends
// chunk j to rank j; the owner codes the mean of all contributions, taken in rank order, once, and sends it
// to all; every rank, the owner too, decodes the same bytes. So the error of coding falls with the number of
// ranks, and a codec whose mean is exact makes the result free of any order. A coded sum is n times the
// decoded mean.
//
// Where the wire is the tensor's own memory, nothing is coded, decoded or staged but the contributions, and
// sums and maxima are taken in rank order as they are.
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
      : request_(request),
        memory_(request.wire_is_memory()),
        write_(request, schedule),
        sent_(request.ranks) {}

  // One segment of every chunk that is long enough to have it. Others' chunks first: their owners wait for
  // them.
  void segment(uint64_t index) {
    for (uint32_t distance = 1; distance < request_.ranks; ++distance) contribute(peer(distance), index);
    reduce(index);
    for (uint32_t distance = 1; distance < request_.ranks; ++distance) gather(peer(distance), index);
  }

  uint64_t segments_most() const {
    uint64_t most = 0;
    for (uint32_t chunk = 0; chunk < request_.ranks; ++chunk)
      most = std::max(most, write_.segments(write_.chunk(request_.ranks, chunk)));
    return most;
  }

 private:
  uint32_t peer(uint32_t distance) const { return (request_.rank + distance) % request_.ranks; }
  bool part(uint32_t chunk, uint64_t index, Range* range) const {
    const Range whole = write_.chunk(request_.ranks, chunk);
    if (index >= write_.segments(whole)) return false;
    *range = write_.segment(whole, index);
    return true;
  }

  void contribute(uint32_t owner, uint64_t index) {
    Range mine;
    if (!part(owner, index, &mine)) return;
    const ScheduleWriter::Ready coded = write_.wire(mine, request_.rank);
    sent_[owner] = {coded.region,
                    {write_.send(owner, segment_tag(0, owner, index), coded.region, coded.waits)}};
  }

  void reduce(uint64_t index) {
    Range own;
    if (!part(request_.rank, index, &own)) return;
    const ScheduleWriter::Ready coded = write_.wire(own, request_.rank);
    std::vector<Region> contributions;
    std::vector<uint32_t> waits = coded.waits;
    for (uint32_t rank = 0; rank < request_.ranks; ++rank) {
      contributions.push_back(rank == request_.rank ? coded.region : write_.stage(own.elements));
      if (rank == request_.rank) continue;
      waits.push_back(write_.recv(rank, segment_tag(0, request_.rank, index), contributions.back()));
    }
    const Region result = memory_ ? ScheduleWriter::output(own) : write_.stage(own.elements);
    const uint32_t done = write_.code(StepKind::reduce, std::move(contributions), result, std::move(waits),
                                      kMeanRank, own.begin);
    for (uint32_t distance = 1; distance < request_.ranks; ++distance)
      write_.send(peer(distance), segment_tag(1, request_.rank, index), result, {done});
    if (!memory_) finish(result, own, done);
  }

  void gather(uint32_t owner, uint64_t index) {
    Range theirs;
    if (!part(owner, index, &theirs)) return;
    const uint64_t tag = segment_tag(1, owner, index);
    if (memory_) {
      write_.recv(owner, tag, ScheduleWriter::output(theirs));
      return;
    }
    // The result takes the place of this rank's contribution, which is done with once it is sent.
    const uint32_t received = write_.recv(owner, tag, sent_[owner].region, sent_[owner].waits);
    finish(sent_[owner].region, theirs, received);
  }

  void finish(const Region& wire, const Range& range, uint32_t ready) {
    const bool sum = request_.reduction == Reduction::sum;
    write_.finish(wire, kMeanRank, range,
                  sum ? ScheduleWriter::Then::times_ranks : ScheduleWriter::Then::nothing, {ready});
  }

  const ScheduleRequest& request_;
  const bool memory_;
  ScheduleWriter write_;
  std::vector<ScheduleWriter::Ready> sent_;  // this segment's contributions, by owner
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
