// Reduction by recursive halving, then gathering by recursive doubling (Rabenseifner's; Thakur, Rabenseifner
// and Gropp, 2005, doi 10.1177/1094342005051521, section 4.5).
//
// Let p be the largest power of two within n and e = n - p. Of the first 2e ranks each even one hands its
// whole contribution to the odd one above it and gets the result at the end; the others number themselves v =
// 0 .. p-1 in order, and y[v] is x[2v] + x[2v+1] for v < e, else x[v + e]. Then for d = p/2, p/4 .. 1, v and
// v xor d each keep half of the part they share (the lower number the lower half), send the other, and add:
// T'(v) = T(lower) + T(higher). So every element is summed in one tree: at each d the two halves of what d
// tells apart, the lower v first; that is the written order of the sum. Each v ends with chunk v of p,
// divides a mean by n once, and the chunks come back the same way. Every rank ends with the bytes of each
// chunk's owner.
//
// Partial sums live in the output, in the tensor's type. What arrives has memory of its own, so that no recv
// waits for another rank: one that did could hold a link that an operation beside this one needs.
//
// Cost: 2 log2 p latency steps and 2(p-1)/p of the tensor; where n is no power of two 2 steps more, and once
// the tensor from each of the first 2e ranks.
#include "collective/halving_doubling.h"

#include <bit>

#include "collective/writer.h"

namespace gradmesh {
namespace {

// Who takes part in the halving, and with which number.
struct Places {
  explicit Places(const ScheduleRequest& request)
      : count(std::bit_floor(request.ranks)),
        extra(request.ranks - count),
        paired(request.rank < 2 * extra),
        out(paired && request.rank % 2 == 0),
        place(paired ? request.rank / 2 : request.rank - extra) {}
  uint32_t rank_of(uint32_t v) const { return v < extra ? 2 * v + 1 : v + extra; }

  const uint32_t count, extra;
  const bool paired, out;  // out: handed its contribution on
  const uint32_t place;
};

// Chunks [first, last) of `count`, as elements.
Range chunks(const ScheduleRequest& request, uint32_t count, uint32_t first, uint32_t last) {
  const uint64_t block = request.codec->traits.block_elements;
  const uint64_t begin = chunk_range(request.elements, block, count, first).begin;
  const Range end = chunk_range(request.elements, block, count, last - 1);
  return {begin, end.begin + end.elements - begin};
}

enum Phase : uint32_t { kFold = 0, kHalve = 1, kDouble = 32, kUnfold = 64 };  // + log2 of the distance

class HalvingDoubling {
 public:
  HalvingDoubling(const ScheduleRequest& request, Schedule* schedule)
      : request_(request),
        at_(request),
        write_(request, schedule, ScheduleWriter::Waits::by_memory),
        in_output_(at_.paired) {}

  void write() {
    if (at_.out) return hand_over();
    if (at_.paired) fold();
    for (uint32_t distance = at_.count / 2; distance > 0; distance /= 2) halve(distance);
    if (takes_mean(request_))
      write_.each_segment(
          chunks(request_, at_.count, at_.place, at_.place + 1), [&](uint64_t, const Range& part) {
            write_.local(StepKind::divide, {ScheduleWriter::output(part)}, ScheduleWriter::output(part));
          });
    for (uint32_t distance = 1; distance < at_.count; distance *= 2) regain(distance);
    if (at_.paired) send_all(request_.rank - 1, kUnfold, {0, request_.elements}, true);
  }

 private:
  void hand_over() {
    send_all(request_.rank + 1, kFold, {0, request_.elements}, false);
    recv_all(request_.rank + 1, kUnfold, {0, request_.elements});
  }

  void fold() {
    write_.each_segment({0, request_.elements}, [&](uint64_t index, const Range& part) {
      const Region sum = ScheduleWriter::output(part);
      write_.recv(request_.rank - 1, segment_tag(kFold, 0, index), sum);
      write_.local(StepKind::combine, {sum, write_.wire(part, request_.rank).region}, sum);
    });
  }

  // At `distance`: the part that this rank shares with its partner, as [first, first + 2 distance).
  void halve(uint32_t distance) {
    const uint32_t first = at_.place / (2 * distance) * (2 * distance);
    const bool higher = (at_.place & distance) != 0;
    const uint32_t partner = at_.rank_of(at_.place ^ distance), phase = phase_of(kHalve, distance);
    send_all(partner, phase, half(first, distance, !higher), in_output_);
    write_.each_segment(half(first, distance, higher), [&](uint64_t index, const Range& part) {
      const Region sum = ScheduleWriter::output(part);
      const Region own = in_output_ ? sum : write_.wire(part, request_.rank).region;
      const Region theirs = in_output_ ? write_.stage(part.elements) : sum;
      write_.recv(partner, segment_tag(phase, 0, index), theirs);
      write_.local(StepKind::combine, higher ? std::vector{theirs, own} : std::vector{own, theirs}, sum);
    });
    in_output_ = true;
  }

  void regain(uint32_t distance) {
    const uint32_t first = at_.place / (2 * distance) * (2 * distance);
    const bool higher = (at_.place & distance) != 0;
    const uint32_t partner = at_.rank_of(at_.place ^ distance), phase = phase_of(kDouble, distance);
    send_all(partner, phase, half(first, distance, higher), true);
    recv_all(partner, phase, half(first, distance, !higher));
  }

  Range half(uint32_t first, uint32_t distance, bool upper) const {
    const uint32_t begin = first + (upper ? distance : 0);
    return chunks(request_, at_.count, begin, begin + distance);
  }
  static uint32_t phase_of(Phase phase, uint32_t distance) {
    return phase + static_cast<uint32_t>(std::countr_zero(distance));
  }

  void send_all(uint32_t peer, uint32_t phase, const Range& range, bool from_output) {
    write_.each_segment(range, [&](uint64_t index, const Range& part) {
      const Region source =
          from_output ? ScheduleWriter::output(part) : write_.wire(part, request_.rank).region;
      write_.send(peer, segment_tag(phase, 0, index), source);
    });
  }
  void recv_all(uint32_t peer, uint32_t phase, const Range& range) {
    write_.each_segment(range, [&](uint64_t index, const Range& part) {
      write_.recv(peer, segment_tag(phase, 0, index), ScheduleWriter::output(part));
    });
  }

  const ScheduleRequest& request_;
  const Places at_;
  ScheduleWriter write_;
  bool in_output_;  // the partial sums are there; until then they are the contribution
};

}  // namespace

void halving_doubling_schedule(const ScheduleRequest& request, Schedule* schedule) {
  if (request.ranks > 1) return HalvingDoubling(request, schedule).write();
  ScheduleWriter write(request, schedule);
  write.each_segment({0, request.elements}, [&](uint64_t, const Range& part) {
    write.local(StepKind::copy, {ScheduleWriter::input(part)}, ScheduleWriter::output(part));
  });
}

Cost halving_doubling_cost(const ScheduleRequest& request) {
  if (request.ranks == 1 || request.elements == 0) return {};
  const Places at(request);
  const auto steps = static_cast<uint32_t>(std::countr_zero(at.count));
  const uint64_t all = request.codec->bytes(request.elements);
  Cost cost{2 * steps + (at.extra > 0 ? 2 : 0), at.paired ? all : 0};
  for (uint32_t distance = 1; distance < at.count && !at.out; distance *= 2) {
    const uint32_t first = at.place / distance * distance, partner = first ^ distance;
    for (const uint32_t begin : {first, partner})  // the half that comes back, and the one that was sent
      cost.bytes_sent += request.codec->bytes(chunks(request, at.count, begin, begin + distance).elements);
  }
  return cost;
}

}  // namespace gradmesh
