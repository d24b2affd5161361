// Reduction around a ring: reduce-scatter, then all-gather (Patarasuk and Yuan, 2009,
// doi 10.1016/j.jpdc.2008.09.002).
//
// Chunk c starts at rank c as its contribution and travels upwards; each rank adds its own to the partial sum
// that arrives: ((x[c] + x[c+1]) + x[c+2]) + ... + x[c-1], ranks modulo n. That is the written order of the
// sum. The last rank of the way, c-1, owns the result, which then travels around once more. So every rank
// ends with the same bytes.
//
// Where the wire is the tensor's own memory, partial sums live in the output (rounded to the tensor's type at
// every hop), and the owner divides a mean by n once.
//
// With a codec every hop decodes, adds and codes anew under the key of its rank, so the error grows with n
// (`direct` is what to use where pairs can connect). All ranks, the owner too, decode the owner's wire, and
// each divides a mean by n. A sum is what was decoded.
//
// Cost: 2(n-1) latency steps; each rank sends every chunk but two twice, and those two once: 2(n-1)/n of the
// tensor.
#include "collective/ring.h"

#include "collective/writer.h"

namespace gradmesh {
namespace {

// For each segment of each chunk, what of it this rank has.
struct Part {
  ScheduleWriter::Ready newest{};  // the bytes to send on
  uint32_t departed = 0;           // its partial sum was sent on
};

class Ring {
 public:
  Ring(const ScheduleRequest& request, Schedule* schedule)
      : request_(request),
        write_(request, schedule),
        memory_(request.wire_is_memory()),
        parts_(request.ranks) {
    for (uint32_t chunk = 0; chunk < request.ranks; ++chunk)
      parts_[chunk].resize(write_.segments(range(chunk)));
  }

  void reduce_scatter(uint32_t round) {
    const uint32_t leaving = chunk_back(round), arriving = chunk_back(round + 1);
    write_.each_segment(range(leaving), [&](uint64_t index, const Range& range) {
      Part& part = parts_[leaving][index];
      if (round == 0) part.newest = write_.wire(range, request_.rank);
      part.departed =
          write_.send(next(), segment_tag(0, leaving, index), part.newest.region, part.newest.waits);
    });
    const bool last = round == request_.ranks - 2;
    write_.each_segment(range(arriving), [&](uint64_t index, const Range& range) {
      const uint64_t tag = segment_tag(0, arriving, index);
      parts_[arriving][index].newest = memory_ ? add(tag, range, last) : hop(tag, range);
    });
  }

  void all_gather(uint32_t round) {
    const uint32_t leaving = chunk_back(round + request_.ranks - 1), arriving = chunk_back(round);
    write_.each_segment(range(leaving), [&](uint64_t index, const Range& range) {
      const ScheduleWriter::Ready& newest = parts_[leaving][index].newest;
      write_.send(next(), segment_tag(1, leaving, index), newest.region, newest.waits);
      if (!memory_) finish(leaving, range, newest);
    });
    const bool last = round == request_.ranks - 2;
    write_.each_segment(range(arriving), [&](uint64_t index, const Range& range) {
      Part& part = parts_[arriving][index];
      // The result overwrites the partial sum, so that must have left.
      const Region target = memory_ ? ScheduleWriter::output(range) : part.newest.region;
      part.newest = {target,
                     {write_.recv(previous(), segment_tag(1, arriving, index), target, {part.departed})}};
      if (last && !memory_) finish(arriving, range, part.newest);
    });
  }

  void alone() {
    write_.each_segment(range(0), [&](uint64_t, const Range& range) {
      if (memory_) {
        write_.local(StepKind::copy, {ScheduleWriter::input(range)}, ScheduleWriter::output(range));
        return;
      }
      const ScheduleWriter::Ready own = write_.wire(range, 0);
      write_.finish(own.region, 0, range, ScheduleWriter::Then::nothing, own.waits);
    });
  }

 private:
  uint32_t next() const { return (request_.rank + 1) % request_.ranks; }
  uint32_t previous() const { return (request_.rank + request_.ranks - 1) % request_.ranks; }
  uint32_t chunk_back(uint32_t steps) const {
    return (request_.rank + 2 * request_.ranks - steps) % request_.ranks;
  }
  Range range(uint32_t chunk) const { return write_.chunk(request_.ranks, chunk); }

  ScheduleWriter::Ready add(uint64_t tag, const Range& range, bool last) {
    const Region sum = ScheduleWriter::output(range);
    const ScheduleWriter::Ready own = write_.wire(range, request_.rank);
    std::vector<uint32_t> waits = own.waits;
    waits.push_back(write_.recv(previous(), tag, sum));
    uint32_t done = write_.local(StepKind::combine, {sum, own.region}, sum, std::move(waits));
    if (last && takes_mean(request_)) done = write_.local(StepKind::divide, {sum}, sum, {done});
    return {sum, {done}};
  }

  ScheduleWriter::Ready hop(uint64_t tag, const Range& range) {
    const ScheduleWriter::Ready own = write_.terms(range);
    const Region arrived = write_.stage(range.elements), coded = write_.stage(range.elements);
    std::vector<uint32_t> waits = own.waits;
    waits.push_back(write_.recv(previous(), tag, arrived));
    return {
        coded,
        {write_.hop(arrived, previous(), own.region, coded, std::move(waits), request_.rank, range.begin)}};
  }

  void finish(uint32_t chunk, const Range& range, const ScheduleWriter::Ready& wire) {
    const uint32_t owner = (chunk + request_.ranks - 1) % request_.ranks;
    const auto then = takes_mean(request_) ? ScheduleWriter::Then::over_ranks : ScheduleWriter::Then::nothing;
    write_.finish(wire.region, owner, range, then, wire.waits);
  }

  const ScheduleRequest& request_;
  ScheduleWriter write_;
  const bool memory_;
  std::vector<std::vector<Part>> parts_;
};

}  // namespace

void ring_schedule(const ScheduleRequest& request, Schedule* schedule) {
  Ring ring(request, schedule);
  if (request.ranks == 1) return ring.alone();
  for (uint32_t round = 0; round + 1 < request.ranks; ++round) ring.reduce_scatter(round);
  for (uint32_t round = 0; round + 1 < request.ranks; ++round) ring.all_gather(round);
}

Cost ring_cost(const ScheduleRequest& request) {
  const uint32_t ranks = request.ranks;
  if (ranks == 1 || request.elements == 0) return {};
  const auto bytes = [&](uint32_t chunk) {
    const uint64_t block = request.codec->traits.block_elements;
    return request.codec->bytes(chunk_range(request.elements, block, ranks, chunk % ranks).elements);
  };
  const uint64_t all = request.codec->bytes(request.elements);
  // Not sent on: the sum that ends here, and the result that has come all the way round.
  return {2 * (ranks - 1), 2 * all - bytes(request.rank + 1) - bytes(request.rank + 2)};
}

}  // namespace gradmesh
