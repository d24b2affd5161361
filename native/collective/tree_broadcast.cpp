// The root's tensor down a binomial tree, cut into segments that follow each other: a rank passes on each as
// it arrives, to its largest subtree first. It is coded once, by the root; every rank, the root too, decodes
// the same bytes. Inputs of other ranks are not read. (Thakur, Rabenseifner and Gropp, 2005, doi
// 10.1177/1094342005051521, section 3.)
//
// Cost: floor(log2 n) latency steps, the depth of the tree; the root sends the coded tensor ceil(log2 n)
// times, others once for each of their children.
#include "collective/tree_broadcast.h"

#include "collective/binomial.h"
#include "collective/writer.h"

namespace gradmesh {

void tree_broadcast_schedule(const ScheduleRequest& request, Schedule* schedule) {
  ScheduleWriter write(request, schedule);
  const Binomial tree(request);
  const std::vector<uint32_t> children = tree.children();
  const bool memory = request.wire_is_memory();
  write.each_segment({0, request.elements}, [&](uint64_t index, const Range& part) {
    const uint64_t tag = segment_tag(0, 0, index);
    const Region output = ScheduleWriter::output(part);
    ScheduleWriter::Ready wire;
    if (tree.is_root()) {
      wire = write.wire(part, request.root);
    } else {
      wire.region = memory ? output : write.stage(part.elements);
      wire.waits = {write.recv(tree.parent(), tag, wire.region)};
    }
    for (auto child = children.rbegin(); child != children.rend(); ++child)
      write.send(*child, tag, wire.region, wire.waits);
    if (!memory)
      write.finish(wire.region, request.root, part, ScheduleWriter::Then::nothing, wire.waits);
    else if (tree.is_root())
      write.local(StepKind::copy, {wire.region}, output);
  });
}

Cost tree_broadcast_cost(const ScheduleRequest& request) {
  if (request.ranks == 1 || request.elements == 0) return {};
  const Binomial tree(request);
  return {tree.depth(), tree.children().size() * request.codec->bytes(request.elements)};
}

}  // namespace gradmesh
