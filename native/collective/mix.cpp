// One round of neighbour averaging on a graph (topology/graph.h): output = self * own input, then for each
// in-neighbour, ascending by rank, output = fma(weight, its input, output). Weights are rounded to float32
// once. Neighbours' inputs come coded under their sender's key; the own input takes part as it is. 16-bit
// tensors accumulate in float32 and are rounded once. Results differ between ranks: their mean stays up to
// rounding (and coding).
//
// Cost: 1 latency step; a rank sends the tensor once to each of its out-neighbours in this round.
#include "collective/mix.h"

#include <memory>
#include <mutex>

#include "base/assert.h"
#include "collective/writer.h"
#include "topology/graph.h"

namespace gradmesh {
namespace {

// The round that was asked for last. Constructing a graph can cost more than a schedule, and a rank asks for
// its cost and its schedule, a simulation for those of all ranks.
std::shared_ptr<const MixingRound> round_of(const ScheduleRequest& request) {
  static std::mutex guard;
  static std::string spec;
  static uint32_t ranks = 0;
  static uint64_t round = 0;
  static std::shared_ptr<const MixingRound> last;
  std::lock_guard lock(guard);
  if (last == nullptr || spec != request.topology || ranks != request.ranks || round != request.round) {
    auto made = std::make_shared<MixingRound>();
    const Status status = mixing_round(request.topology, request.ranks, request.round, made.get());
    GM_ASSERT(status);  // check_request opened the graph
    spec = request.topology, ranks = request.ranks, round = request.round;
    last = std::move(made);
  }
  return last;
}

class Mix {
 public:
  Mix(const ScheduleRequest& request, Schedule* schedule)
      : request_(request),
        graph_(round_of(request)),
        around_((*graph_)[request.rank]),
        write_(request, schedule, ScheduleWriter::Waits::by_memory) {}

  void segment(uint64_t index, const Range& part) {
    const uint64_t tag = segment_tag(0, 0, index);
    if (!around_.out.empty()) {
      const Region wire = write_.wire(part, request_.rank).region;
      for (const uint32_t peer : around_.out) write_.send(peer, tag, wire);
    }
    const Region output = ScheduleWriter::output(part);
    const bool wide = request_.dtype == Dtype::fp32;
    const Region sum = wide ? output : sums_.next(write_, Space::floats, part.elements);
    write_.weigh(StepKind::scale, ScheduleWriter::input(part), static_cast<float>(around_.self), sum);
    for (size_t at = 0; at < around_.in.size(); ++at) {
      const Region values = arrive(at, tag, part);
      write_.weigh(StepKind::fold, values, static_cast<float>(around_.in[at].weight), sum);
    }
    if (!wide) write_.local(StepKind::copy, {sum}, output);
  }

 private:
  // The values of in-neighbour number `at`. What arrives has memory of its own: no recv waits for another
  // rank.
  Region arrive(size_t at, uint64_t tag, const Range& part) {
    const uint32_t peer = around_.in[at].rank;
    if (request_.codec->traits.identity) {
      const Region floats = write_.stage_floats(part.elements);
      write_.recv(peer, tag, floats);
      return floats;
    }
    const Region wire = write_.stage(part.elements);
    write_.recv(peer, tag, wire);
    const Region floats = decoded_.next(write_, Space::floats, part.elements);
    write_.code(StepKind::decode, {wire}, floats, {}, peer, part.begin);
    return floats;
  }

  const ScheduleRequest& request_;
  const std::shared_ptr<const MixingRound> graph_;
  const Neighbours& around_;
  ScheduleWriter write_;
  StagingTurns decoded_, sums_;
};

}  // namespace

void mix_schedule(const ScheduleRequest& request, Schedule* schedule) {
  Mix mix(request, schedule);
  const uint64_t block = request.codec->traits.block_elements;
  const uint64_t length = segment_length(request.segment_elements, block);
  const Range whole{0, request.elements};
  for (uint64_t index = 0; index < segment_count(whole, length); ++index)
    mix.segment(index, segment_range(whole, length, index));
}

Cost mix_cost(const ScheduleRequest& request) {
  if (request.elements == 0) return {};
  const auto graph = round_of(request);
  const bool any =
      std::any_of(graph->begin(), graph->end(), [](const auto& rank) { return !rank.out.empty(); });
  return {any ? 1u : 0u, (*graph)[request.rank].out.size() * request.codec->bytes(request.elements)};
}

}  // namespace gradmesh
