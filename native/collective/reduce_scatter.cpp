// Reduction of chunk j (chunk_range) to rank j, which is the first half of `direct`: each rank codes chunk j
// once and sends it to rank j, which reduces all contributions in rank order. With a codec it decodes the
// coded mean, so its chunk is the bytes that `direct` gives everyone; a coded sum is n times the decoded
// mean. The rest of a rank's output is not written.
//
// Cost: 1 latency step; each rank sends all chunks but its own.
#include "collective/reduce_scatter.h"

#include "collective/writer.h"

namespace gradmesh {
namespace {

void contribute(const ScheduleRequest& request, ScheduleWriter& write, uint32_t owner) {
  write.each_segment(write.chunk(request.ranks, owner), [&](uint64_t index, const Range& part) {
    const ScheduleWriter::Ready coded = write.wire(part, request.rank);
    write.send(owner, segment_tag(0, owner, index), coded.region, coded.waits);
  });
}

void reduce(const ScheduleRequest& request, ScheduleWriter& write) {
  const bool memory = request.wire_is_memory();
  write.each_segment(write.chunk(request.ranks, request.rank), [&](uint64_t index, const Range& part) {
    const ScheduleWriter::Ready own = write.wire(part, request.rank);
    std::vector<Region> contributions;
    std::vector<uint32_t> waits = own.waits;
    for (uint32_t rank = 0; rank < request.ranks; ++rank) {
      contributions.push_back(rank == request.rank ? own.region : write.stage(part.elements));
      if (rank != request.rank)
        waits.push_back(write.recv(rank, segment_tag(0, request.rank, index), contributions.back()));
    }
    const Region result = memory ? ScheduleWriter::output(part) : write.stage(part.elements);
    const uint32_t done = write.code(StepKind::reduce, std::move(contributions), result, std::move(waits),
                                     kMeanRank, part.begin);
    const bool sum = request.reduction == Reduction::sum;
    if (!memory)
      write.finish(result, kMeanRank, part,
                   sum ? ScheduleWriter::Then::times_ranks : ScheduleWriter::Then::nothing, {done});
  });
}

}  // namespace

void reduce_scatter_schedule(const ScheduleRequest& request, Schedule* schedule) {
  ScheduleWriter write(request, schedule);
  for (uint32_t distance = 1; distance < request.ranks; ++distance)
    contribute(request, write, (request.rank + distance) % request.ranks);
  reduce(request, write);
}

Cost reduce_scatter_cost(const ScheduleRequest& request) {
  if (request.ranks == 1 || request.elements == 0) return {};
  const uint64_t block = request.codec->traits.block_elements;
  const Range own = chunk_range(request.elements, block, request.ranks, request.rank);
  return {1, request.codec->bytes(request.elements) - request.codec->bytes(own.elements)};
}

}  // namespace gradmesh
