// The mean of everybody's whole tensor, taken by everybody: each rank codes its tensor once and sends the
// wire to all others, and each decodes all wires, its own too, in rank order into the mean
// (StepKind::average). So every rank ends with the same result, and nothing is coded twice: for sparse
// codecs, whose mean has more elements than fit a wire, and for those that cannot code a mean of chunks.
//
// Of a weighted mean, ranks with weight 0 code and send nothing; the others' weights are scaled to their
// number. A contribution is coded under its place among those that contribute.
//
// Cost: 1 latency step; each contributing rank sends its coded tensor n-1 times.
#include "collective/gather_mean.h"

#include "collective/writer.h"

namespace gradmesh {
namespace {

void segment(const ScheduleRequest& request, const std::vector<uint32_t>& contributors, ScheduleWriter& write,
             uint64_t index, const Range& part) {
  const uint64_t tag = segment_tag(0, 0, index);
  std::vector<Region> wires;
  std::vector<uint32_t> waits;
  for (uint32_t place = 0; place < contributors.size(); ++place) {
    if (contributors[place] != request.rank) {
      wires.push_back(write.stage(part.elements));
      waits.push_back(write.recv(contributors[place], tag, wires.back()));
      continue;
    }
    const ScheduleWriter::Ready own = write.wire(part, place);
    for (uint32_t distance = 1; distance < request.ranks; ++distance)
      write.send((request.rank + distance) % request.ranks, tag, own.region, own.waits);
    wires.push_back(own.region);
    waits.insert(waits.end(), own.waits.begin(), own.waits.end());
  }
  write.code(StepKind::average, std::move(wires), ScheduleWriter::output(part), std::move(waits), kMeanRank,
             part.begin);
}

}  // namespace

void gather_mean_schedule(const ScheduleRequest& request, Schedule* schedule) {
  const std::vector<uint32_t> contributors = contributing_ranks(request);
  ScheduleWriter write(request, schedule, ScheduleWriter::Waits::by_hand,
                       static_cast<uint32_t>(contributors.size()));
  write.each_segment({0, request.elements}, [&](uint64_t index, const Range& part) {
    segment(request, contributors, write, index, part);
  });
}

Cost gather_mean_cost(const ScheduleRequest& request) {
  if (request.ranks == 1 || request.elements == 0) return {};
  const std::vector<uint32_t> contributors = contributing_ranks(request);
  const bool sends = std::find(contributors.begin(), contributors.end(), request.rank) != contributors.end();
  return {1, sends ? (request.ranks - 1) * request.codec->bytes(request.elements) : 0};
}

}  // namespace gradmesh
