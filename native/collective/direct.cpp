// Reduction straight at the owner: chunk j belongs to rank j. Each rank codes every chunk once and sends
// chunk j to rank j; the owner codes the mean of all contributions, taken in rank order, once, and sends it
// to all; every rank, the owner too, decodes the same bytes. So the error of coding falls with the number of
// ranks, and a codec whose mean is exact makes the result free of any order. A coded sum is n times the
// decoded mean.
//
// Where the wire is the tensor's own memory, nothing is coded, decoded or staged but the contributions, and
// sums and maxima are taken in rank order as they are.
//
// Of a weighted mean, ranks with weight 0 code and send nothing up; the others' weights are scaled to their
// number, so that the result is the mean among them alone. A contribution is coded under its place among
// those that contribute.
//
// With a codec of its own on the way down the owner decodes the contributions into a float32 mean and codes
// that. With error feedback (a contractive codec down) it codes s = decay * state + mean instead, fma each,
// and what the wire leaves out, s - decode(wire), is the next state. The state of an element stays with the
// owner of its chunk: one residue, whatever the number of ranks. It is read from one memory and written to
// another, so that a failed operation changes nothing.
//
// Cost: 2 latency steps whatever the number of ranks; each contributing rank sends all chunks but its own,
// and each rank its own n-1 times.
#include "collective/direct.h"

#include <optional>

#include "collective/writer.h"

namespace gradmesh {
namespace {

class Direct {
 public:
  Direct(const ScheduleRequest& request, Schedule* schedule)
      : request_(request),
        memory_(request.wire_is_memory()),
        contributors_(contributing_ranks(request)),
        place_(place_of(contributors_, request.rank)),
        write_(request, schedule, ScheduleWriter::Waits::by_hand,
               static_cast<uint32_t>(contributors_.size())),
        sent_(request.ranks) {}

  // One segment of every chunk that is long enough to have it. Others' chunks first: their owners wait for
  // them.
  void segment(uint64_t index) {
    for (uint32_t distance = 1; distance < request_.ranks; ++distance) contribute(peer(distance), index);
    own_chunk(index);
    for (uint32_t distance = 1; distance < request_.ranks; ++distance) gather(peer(distance), index);
  }

  uint64_t segments_most() const {
    uint64_t most = 0;
    for (uint32_t chunk = 0; chunk < request_.ranks; ++chunk)
      most = std::max(most, write_.segments(write_.chunk(request_.ranks, chunk)));
    return most;
  }

 private:
  static std::optional<uint32_t> place_of(const std::vector<uint32_t>& ranks, uint32_t rank) {
    const auto found = std::find(ranks.begin(), ranks.end(), rank);
    if (found == ranks.end()) return std::nullopt;
    return static_cast<uint32_t>(found - ranks.begin());
  }
  uint32_t peer(uint32_t distance) const { return (request_.rank + distance) % request_.ranks; }
  bool part(uint32_t chunk, uint64_t index, Range* range) const {
    const Range whole = write_.chunk(request_.ranks, chunk);
    if (index >= write_.segments(whole)) return false;
    *range = write_.segment(whole, index);
    return true;
  }

  void contribute(uint32_t owner, uint64_t index) {
    Range mine;
    sent_[owner].reset();
    if (!place_ || !part(owner, index, &mine)) return;
    const ScheduleWriter::Ready coded = write_.wire(mine, *place_);
    sent_[owner] = {coded.region,
                    {write_.send(owner, segment_tag(0, owner, index), coded.region, coded.waits)}};
  }

  void own_chunk(uint64_t index) {
    Range own;
    if (!part(request_.rank, index, &own)) return;
    std::vector<Region> contributions;
    std::vector<uint32_t> waits;
    for (const uint32_t rank : contributors_) {
      if (rank == request_.rank) {
        ScheduleWriter::Ready coded = write_.wire(own, *place_);
        contributions.push_back(coded.region);
        waits.insert(waits.end(), coded.waits.begin(), coded.waits.end());
        continue;
      }
      contributions.push_back(write_.stage(own.elements));
      waits.push_back(write_.recv(rank, segment_tag(0, request_.rank, index), contributions.back()));
    }
    if (request_.recodes()) return recode(index, own, std::move(contributions), std::move(waits));
    const Region result = memory_ ? ScheduleWriter::output(own) : write_.stage(own.elements);
    const uint32_t done = write_.code(StepKind::reduce, std::move(contributions), result, std::move(waits),
                                      kMeanRank, own.begin);
    send_result(index, result, done);
    if (!memory_) finish(result, own, done);
  }

  // The mean in a codec of its own.
  void recode(uint64_t index, const Range& own, std::vector<Region> contributions,
              std::vector<uint32_t> waits) {
    Region values = write_.stage_floats(own.elements);
    uint32_t done = write_.code(StepKind::average, std::move(contributions), values, std::move(waits),
                                kMeanRank, own.begin);
    if (request_.feeds_back()) {
      const Region next = ScheduleWriter::next(own);
      const auto decay = static_cast<float>(request_.owner_decay);
      done = write_.advance(ScheduleWriter::state(own), decay, values, next, {done});
      values = next;
    }
    const Region wire = write_.stage_down(own.elements);
    done = write_.code(StepKind::encode, {values}, wire, {done}, kMeanRank, own.begin);
    send_result(index, wire, done);
    if (!request_.feeds_back()) return finish(wire, own, done);
    // What was sent is taken out of the state before it is rounded to 16 bits.
    const bool wide = request_.dtype == Dtype::fp32;
    const Region sent = wide ? ScheduleWriter::output(own) : write_.stage_floats(own.elements);
    done = write_.code(StepKind::decode, {wire}, sent, {done}, kMeanRank, own.begin);
    if (!wide) write_.local(StepKind::copy, {sent}, ScheduleWriter::output(own), {done});
    write_.local(StepKind::settle, {sent}, values, {done});
  }

  void send_result(uint64_t index, const Region& wire, uint32_t ready) {
    for (uint32_t distance = 1; distance < request_.ranks; ++distance)
      write_.send(peer(distance), segment_tag(1, request_.rank, index), wire, {ready});
  }

  void gather(uint32_t owner, uint64_t index) {
    Range theirs;
    if (!part(owner, index, &theirs)) return;
    const uint64_t tag = segment_tag(1, owner, index);
    if (memory_ && !request_.recodes()) {
      write_.recv(owner, tag, ScheduleWriter::output(theirs));
      return;
    }
    if (request_.recodes() || !sent_[owner]) {
      const Region wire =
          request_.recodes() ? write_.stage_down(theirs.elements) : write_.stage(theirs.elements);
      return finish(wire, theirs, write_.recv(owner, tag, wire));
    }
    // The result takes the place of this rank's contribution, which is done with once it is sent.
    const ScheduleWriter::Ready& sent = *sent_[owner];
    finish(sent.region, theirs, write_.recv(owner, tag, sent.region, sent.waits));
  }

  void finish(const Region& wire, const Range& range, uint32_t ready) {
    const bool sum = request_.reduction == Reduction::sum;
    write_.finish(wire, kMeanRank, range,
                  sum ? ScheduleWriter::Then::times_ranks : ScheduleWriter::Then::nothing, {ready});
  }

  const ScheduleRequest& request_;
  const bool memory_;
  const std::vector<uint32_t> contributors_;
  const std::optional<uint32_t> place_;  // of this rank among them
  ScheduleWriter write_;
  std::vector<std::optional<ScheduleWriter::Ready>> sent_;  // this segment's contributions, by owner
};

}  // namespace

void direct_schedule(const ScheduleRequest& request, Schedule* schedule) {
  Direct direct(request, schedule);
  const uint64_t segments = direct.segments_most();
  for (uint64_t index = 0; index < segments; ++index) direct.segment(index);
}

Cost direct_cost(const ScheduleRequest& request) {
  if (request.ranks == 1 || request.elements == 0) return {};
  const auto chunk = [&](uint32_t rank) {
    return chunk_range(request.elements, request.block_elements(), request.ranks, rank).elements;
  };
  const Codec& down = request.recodes() ? request.down_codec() : *request.codec;
  uint64_t sent = (request.ranks - 1) * down.bytes(chunk(request.rank));
  const std::vector<uint32_t> contributors = contributing_ranks(request);
  if (std::find(contributors.begin(), contributors.end(), request.rank) == contributors.end())
    return {2, sent};
  for (uint32_t rank = 0; rank < request.ranks; ++rank)
    if (rank != request.rank) sent += request.codec->bytes(chunk(rank));
  return {2, sent};
}

}  // namespace gradmesh
