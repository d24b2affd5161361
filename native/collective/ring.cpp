// Mean around a ring: reduce-scatter, then all-gather (Patarasuk and Yuan, 2009,
// doi 10.1016/j.jpdc.2008.09.002).
//
// Chunk c starts at rank c as its input and travels upwards; each rank adds its own input to the partial sum
// that arrives: ((x[c] + x[c+1]) + x[c+2]) + ... + x[c-1], ranks modulo n. That is the written order of the
// sum. The last rank of the way, c-1, divides by n once and owns the result, which then travels around once
// more. So every rank ends with the same bytes. Partial sums live in the output, so no scratch memory is
// needed.
//
// Cost: 2(n-1) latency steps; each rank sends every chunk but two twice, and those two once: 2(n-1)/n of the
// tensor.
#include "collective/ring.h"

#include "collective/writer.h"

namespace gradmesh {
namespace {

// For each segment of each chunk, the steps of this rank that others wait for.
struct Marks {
  std::vector<uint32_t> held;      // the output holds the newest bytes of the segment
  std::vector<uint32_t> departed;  // its partial sum was sent on
};

class Ring {
 public:
  Ring(const ScheduleRequest& request, Schedule* schedule)
      : request_(request), write_(request, schedule), marks_(request.ranks) {
    for (uint32_t chunk = 0; chunk < request.ranks; ++chunk) {
      marks_[chunk].held.resize(write_.segments(range(chunk)));
      marks_[chunk].departed.resize(write_.segments(range(chunk)));
    }
  }

  void reduce_scatter(uint32_t round) {
    const uint32_t leaving = chunk_back(round), arriving = chunk_back(round + 1);
    for_each_segment(leaving, [&](uint64_t index, const Range& part) {
      const Region source = round == 0 ? ScheduleWriter::input(part) : ScheduleWriter::output(part);
      std::vector<uint32_t> waits;
      if (round > 0) waits.push_back(marks_[leaving].held[index]);
      marks_[leaving].departed[index] =
          write_.send(next(), segment_tag(0, leaving, index), source, std::move(waits));
    });
    const bool last = round == request_.ranks - 2;
    for_each_segment(arriving, [&](uint64_t index, const Range& part) {
      const Region sum = ScheduleWriter::output(part);
      const uint32_t received = write_.recv(previous(), segment_tag(0, arriving, index), sum);
      uint32_t held = write_.local(StepKind::add, {sum, ScheduleWriter::input(part)}, sum, {received});
      if (last) held = write_.local(StepKind::divide, {sum}, sum, {held});
      marks_[arriving].held[index] = held;
    });
  }

  void all_gather(uint32_t round) {
    const uint32_t leaving = chunk_back(round + request_.ranks - 1), arriving = chunk_back(round);
    for_each_segment(leaving, [&](uint64_t index, const Range& part) {
      write_.send(next(), segment_tag(1, leaving, index), ScheduleWriter::output(part),
                  {marks_[leaving].held[index]});
    });
    for_each_segment(arriving, [&](uint64_t index, const Range& part) {
      // The result overwrites the partial sum in the output, so that must have left (in round 0 it left the
      // input).
      std::vector<uint32_t> waits;
      if (round > 0) waits.push_back(marks_[arriving].departed[index]);
      marks_[arriving].held[index] = write_.recv(previous(), segment_tag(1, arriving, index),
                                                 ScheduleWriter::output(part), std::move(waits));
    });
  }

  void copy() {
    for_each_segment(0, [&](uint64_t, const Range& part) {
      write_.local(StepKind::copy, {ScheduleWriter::input(part)}, ScheduleWriter::output(part), {});
    });
  }

 private:
  uint32_t next() const { return (request_.rank + 1) % request_.ranks; }
  uint32_t previous() const { return (request_.rank + request_.ranks - 1) % request_.ranks; }
  uint32_t chunk_back(uint32_t steps) const {
    return (request_.rank + 2 * request_.ranks - steps) % request_.ranks;
  }
  Range range(uint32_t chunk) const { return chunk_range(request_.elements, 1, request_.ranks, chunk); }

  template <class Body>
  void for_each_segment(uint32_t chunk, Body&& body) {
    const Range whole = range(chunk);
    for (uint64_t index = 0; index < write_.segments(whole); ++index)
      body(index, write_.segment(whole, index));
  }

  const ScheduleRequest& request_;
  ScheduleWriter write_;
  std::vector<Marks> marks_;
};

}  // namespace

void ring_schedule(const ScheduleRequest& request, Schedule* schedule) {
  Ring ring(request, schedule);
  if (request.ranks == 1) return ring.copy();
  for (uint32_t round = 0; round + 1 < request.ranks; ++round) ring.reduce_scatter(round);
  for (uint32_t round = 0; round + 1 < request.ranks; ++round) ring.all_gather(round);
}

Cost ring_cost(const ScheduleRequest& request) {
  const uint32_t ranks = request.ranks;
  if (ranks == 1 || request.elements == 0) return {};
  const auto bytes = [&](uint32_t chunk) {
    return request.codec->bytes(chunk_range(request.elements, 1, ranks, chunk % ranks).elements);
  };
  const uint64_t all = request.codec->bytes(request.elements);
  // Not sent on: the sum that ends here, and the result that has come all the way round.
  return {2 * (ranks - 1), 2 * all - bytes(request.rank + 1) - bytes(request.rank + 2)};
}

}  // namespace gradmesh
