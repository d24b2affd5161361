// The root's tensor to every other rank, coded once and sent straight to each. The root decodes the same
// bytes into its own output, so every rank ends with the same result whatever the codec. Inputs of other
// ranks are not read.
//
// Cost: 1 latency step; the root sends the coded tensor n-1 times, the others nothing.
#include "collective/broadcast.h"

#include "collective/writer.h"

namespace gradmesh {
namespace {

void send_segment(const ScheduleRequest& request, ScheduleWriter& write, const Range& part, uint64_t tag) {
  const bool memory = request.wire_is_memory();
  const Region input = ScheduleWriter::input(part), output = ScheduleWriter::output(part);
  Region wire = input;
  std::vector<uint32_t> coded;
  if (!memory) {
    wire = write.stage(part.elements);
    coded.push_back(write.code(StepKind::encode, {input}, wire, {}, request.root, part.begin));
  }
  for (uint32_t distance = 1; distance < request.ranks; ++distance)
    write.send((request.rank + distance) % request.ranks, tag, wire, coded);
  write.code(memory ? StepKind::copy : StepKind::decode, {wire}, output, coded, request.root, part.begin);
}

void receive_segment(const ScheduleRequest& request, ScheduleWriter& write, const Range& part, uint64_t tag) {
  const Region output = ScheduleWriter::output(part);
  if (request.wire_is_memory()) {
    write.recv(request.root, tag, output);
    return;
  }
  const Region wire = write.stage(part.elements);
  const uint32_t received = write.recv(request.root, tag, wire);
  write.code(StepKind::decode, {wire}, output, {received}, request.root, part.begin);
}

}  // namespace

void broadcast_schedule(const ScheduleRequest& request, Schedule* schedule) {
  ScheduleWriter write(request, schedule);
  const Range whole{0, request.elements};
  for (uint64_t index = 0; index < write.segments(whole); ++index) {
    const Range part = write.segment(whole, index);
    const uint64_t tag = segment_tag(0, 0, index);
    if (request.rank == request.root)
      send_segment(request, write, part, tag);
    else
      receive_segment(request, write, part, tag);
  }
}

Cost broadcast_cost(const ScheduleRequest& request) {
  if (request.ranks == 1 || request.elements == 0) return {};
  const uint64_t bytes =
      request.rank == request.root ? (request.ranks - 1) * request.codec->bytes(request.elements) : 0;
  return {1, bytes};
}

}  // namespace gradmesh
