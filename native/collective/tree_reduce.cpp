// Reduction to the root up a binomial tree (binomial.h), cut into segments that follow each other. A rank
// adds to its own contribution the sums of its children, the smallest subtree first: T(v) = ((x[v] + T(v+1))
// + T(v+2)) + T(v+4) + ..., v = rank - root modulo n. That is the written order of the sum. Partial sums live
// in the output, in the tensor's type; the root divides a mean by n. What arrives has memory of its own, so
// that no recv waits for another rank: one that did could hold a link that an operation beside this one
// needs. (Thakur, Rabenseifner and Gropp, 2005,
// doi 10.1177/1094342005051521, section 3.)
//
// Cost: floor(log2 n) latency steps, the depth of the tree; every rank but the root sends the tensor once.
#include "collective/tree_reduce.h"

#include "collective/binomial.h"
#include "collective/writer.h"

namespace gradmesh {

void tree_reduce_schedule(const ScheduleRequest& request, Schedule* schedule) {
  ScheduleWriter write(request, schedule, ScheduleWriter::Waits::by_memory);
  const Binomial tree(request);
  const std::vector<uint32_t> children = tree.children();
  write.each_segment({0, request.elements}, [&](uint64_t index, const Range& part) {
    const uint64_t tag = segment_tag(0, 0, index);
    const Region output = ScheduleWriter::output(part);
    Region sum = write.wire(part, request.rank).region;
    for (size_t child = 0; child < children.size(); ++child) {
      const Region arrived = child == 0 ? output : write.stage(part.elements);
      write.recv(children[child], tag, arrived);
      write.local(StepKind::combine, {sum, arrived}, output);
      sum = output;
    }
    if (!tree.is_root())
      write.send(tree.parent(), tag, sum);
    else if (request.ranks == 1)
      write.local(StepKind::copy, {ScheduleWriter::input(part)}, output);
    else if (takes_mean(request))
      write.local(StepKind::divide, {output}, output);
  });
}

Cost tree_reduce_cost(const ScheduleRequest& request) {
  if (request.ranks == 1 || request.elements == 0) return {};
  const Binomial tree(request);
  return {tree.depth(), tree.is_root() ? 0 : request.codec->bytes(request.elements)};
}

}  // namespace gradmesh
