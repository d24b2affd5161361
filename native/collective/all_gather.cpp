// Chunk j (chunk_range) of rank j's input to every rank's output, coded once and sent straight to each. Every
// rank, its owner too, decodes the same bytes. The rest of a rank's input is not read.
//
// Cost: 1 latency step; each rank sends its chunk n-1 times.
#include "collective/all_gather.h"

#include "collective/writer.h"

namespace gradmesh {
namespace {

void give(const ScheduleRequest& request, ScheduleWriter& write) {
  write.each_segment(write.chunk(request.ranks, request.rank), [&](uint64_t index, const Range& part) {
    const ScheduleWriter::Ready wire = write.wire(part, request.rank);
    for (uint32_t distance = 1; distance < request.ranks; ++distance)
      write.send((request.rank + distance) % request.ranks, segment_tag(0, request.rank, index), wire.region,
                 wire.waits);
    if (request.wire_is_memory())
      write.local(StepKind::copy, {wire.region}, ScheduleWriter::output(part));
    else
      write.finish(wire.region, request.rank, part, ScheduleWriter::Then::nothing, wire.waits);
  });
}

void take(const ScheduleRequest& request, ScheduleWriter& write, uint32_t owner) {
  write.each_segment(write.chunk(request.ranks, owner), [&](uint64_t index, const Range& part) {
    const bool memory = request.wire_is_memory();
    const Region wire = memory ? ScheduleWriter::output(part) : write.stage(part.elements);
    const uint32_t received = write.recv(owner, segment_tag(0, owner, index), wire);
    if (!memory) write.finish(wire, owner, part, ScheduleWriter::Then::nothing, {received});
  });
}

}  // namespace

void all_gather_schedule(const ScheduleRequest& request, Schedule* schedule) {
  ScheduleWriter write(request, schedule);
  give(request, write);
  for (uint32_t distance = 1; distance < request.ranks; ++distance)
    take(request, write, (request.rank + distance) % request.ranks);
}

Cost all_gather_cost(const ScheduleRequest& request) {
  if (request.ranks == 1 || request.elements == 0) return {};
  const uint64_t block = request.codec->traits.block_elements;
  const Range own = chunk_range(request.elements, block, request.ranks, request.rank);
  return {1, (request.ranks - 1) * request.codec->bytes(own.elements)};
}

}  // namespace gradmesh
