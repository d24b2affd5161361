// An operation over what an earlier one, with more ranks, left behind. `held` says what of the output is
// final on which rank, and is the same on every rank, as its fingerprint shows.
//
// Elements that any rank holds are kept: the lowest rank that holds them sends them, as they are, to those
// that lack them. The other elements are gaps: over each the request's own collective runs, as on a tensor of
// that length, with its segments, coded as the elements of their place in the whole. So gaps begin and end at
// multiples of the codec's block: what is held is narrowed to whole blocks first. Where there are more than
// kGapsMax gaps the nearest are joined, and what is held between them is reduced again.
//
// Cost: the most of 1 latency step (where anything is sent) and those of the collective on the gaps; the
// bytes are those of the pieces that a rank sends, and the collective's.
#include "collective/salvage.h"

#include <algorithm>
#include <string_view>

#include "base/assert.h"
#include "collective/range_map.h"

namespace gradmesh {
namespace {

constexpr uint32_t kGapsMax = 128;      // so that tags hold gap * kPhasesOfGap + phase
constexpr uint32_t kPhasesOfGap = 127;  // halving_doubling's are the most, 75
constexpr uint32_t kPiecesPhase = kGapsMax * kPhasesOfGap;
static_assert(kPiecesPhase < (1u << 14) - 1);

uint64_t end_of(const Range& range) { return range.begin + range.elements; }

// In order, those that touch as one.
std::vector<Range> merged(std::vector<Range> ranges) {
  std::sort(ranges.begin(), ranges.end(), [](const Range& a, const Range& b) { return a.begin < b.begin; });
  std::vector<Range> result;
  for (const Range& range : ranges) {
    if (range.elements == 0) continue;
    if (!result.empty() && range.begin <= end_of(result.back()))
      result.back().elements = std::max(end_of(result.back()), end_of(range)) - result.back().begin;
    else
      result.push_back(range);
  }
  return result;
}

std::vector<Range> complement(const std::vector<Range>& ranges, uint64_t elements) {
  std::vector<Range> result;
  uint64_t at = 0;
  for (const Range& range : ranges) {
    if (range.begin > at) result.push_back({at, range.begin - at});
    at = end_of(range);
  }
  if (at < elements) result.push_back({at, elements - at});
  return result;
}

// What is reduced again.
std::vector<Range> gaps_of(const ScheduleRequest& request) {
  const uint64_t block = request.block_elements();
  std::vector<Range> held;
  for (const auto& ranges : request.held) held.insert(held.end(), ranges.begin(), ranges.end());
  held = merged(std::move(held));
  for (Range& range : held) {
    const uint64_t begin = (range.begin + block - 1) / block * block;
    const uint64_t end = end_of(range) == request.elements ? request.elements : end_of(range) / block * block;
    range = {begin, end > begin ? end - begin : 0};
  }
  std::erase_if(held, [](const Range& range) { return range.elements == 0; });
  std::vector<Range> gaps = complement(held, request.elements);
  if (gaps.size() <= kGapsMax) return gaps;
  // The farthest kGapsMax - 1 distances stay, of equal ones the first.
  std::vector<std::pair<uint64_t, size_t>> distances;  // negated by ~, so that the farthest sort first
  for (size_t at = 1; at < gaps.size(); ++at)
    distances.emplace_back(~(gaps[at].begin - end_of(gaps[at - 1])), at);
  std::nth_element(distances.begin(), distances.begin() + (kGapsMax - 1), distances.end());
  std::vector<bool> begins(gaps.size());
  for (size_t at = 0; at + 1 < kGapsMax; ++at) begins[distances[at].second] = true;
  std::vector<Range> joined = {gaps[0]};
  for (size_t at = 1; at < gaps.size(); ++at) {
    if (begins[at])
      joined.push_back(gaps[at]);
    else
      joined.back().elements = end_of(gaps[at]) - joined.back().begin;
  }
  return joined;
}

// A part of the output that some ranks hold and others lack.
struct Piece {
  Range range;
  uint32_t holder;  // the lowest
  std::vector<bool> has;
};

std::vector<Piece> pieces_of(const ScheduleRequest& request, const std::vector<Range>& gaps) {
  struct Edge {
    uint64_t at;
    uint32_t rank;
    bool begins;
  };
  std::vector<Edge> edges;
  std::vector<uint64_t> cuts;
  for (uint32_t rank = 0; rank < request.ranks; ++rank)
    for (const Range& range : request.held[rank]) {
      edges.push_back({range.begin, rank, true});
      edges.push_back({end_of(range), rank, false});
    }
  for (const Range& gap : gaps) cuts.insert(cuts.end(), {gap.begin, end_of(gap)});
  for (const Edge& edge : edges) cuts.push_back(edge.at);
  std::sort(cuts.begin(), cuts.end());
  std::sort(edges.begin(), edges.end(), [](const Edge& a, const Edge& b) {
    return a.at != b.at ? a.at < b.at : a.begins < b.begins;  // ranges of one rank may touch
  });

  std::vector<Piece> pieces;
  std::vector<bool> has(request.ranks);
  size_t edge = 0, gap = 0;
  for (size_t cut = 0; cut + 1 < cuts.size(); ++cut) {
    const Range range{cuts[cut], cuts[cut + 1] - cuts[cut]};
    for (; edge < edges.size() && edges[edge].at <= range.begin; ++edge)
      has[edges[edge].rank] = edges[edge].begins;
    while (gap < gaps.size() && end_of(gaps[gap]) <= range.begin) ++gap;
    const bool again = gap < gaps.size() && gaps[gap].begin <= range.begin;
    const auto holder = std::find(has.begin(), has.end(), true);
    if (range.elements == 0 || again || holder == has.end()) continue;
    if (std::find(has.begin(), has.end(), false) == has.end()) continue;
    if (!pieces.empty() && pieces.back().has == has && end_of(pieces.back().range) == range.begin)
      pieces.back().range.elements += range.elements;
    else
      pieces.push_back({range, static_cast<uint32_t>(holder - has.begin()), has});
  }
  return pieces;
}

void hand_out(const ScheduleRequest& request, const std::vector<Piece>& pieces, Schedule* schedule) {
  uint64_t number = 0;
  for (const Piece& piece : pieces)
    for (uint64_t at = 0; at < segment_count(piece.range, request.segment_elements); ++at, ++number) {
      const Range part = segment_range(piece.range, request.segment_elements, at);
      const Region output{Space::output, part.begin, part.elements};
      Step step{};
      step.tag = segment_tag(kPiecesPhase, 0, number);
      if (piece.holder == request.rank) {
        step.kind = StepKind::send;
        step.sources = {output};
        for (uint32_t distance = 1; distance < request.ranks; ++distance) {
          step.peer = (request.rank + distance) % request.ranks;
          if (!piece.has[step.peer]) schedule->steps.push_back(step);
        }
      } else if (!piece.has[request.rank]) {
        step.kind = StepKind::recv;
        step.peer = piece.holder;
        step.target = output;
        schedule->steps.push_back(std::move(step));
      }
    }
}

ScheduleRequest gap_request(const ScheduleRequest& request, const Range& gap) {
  ScheduleRequest part = request;
  part.elements = gap.elements;
  part.held.clear();
  return part;
}

// Moves a schedule for a tensor of the gap's length to where the gap lies.
void append(Schedule&& part, const Range& gap, uint32_t number, Schedule* schedule) {
  const auto before = static_cast<uint32_t>(schedule->steps.size());
  const auto move = [&](Region& region) {
    region.offset += is_scratch(region.space) ? schedule->staging_bytes : gap.begin;
  };
  for (Step& step : part.steps) {
    for (Region& source : step.sources) move(source);
    if (step.kind != StepKind::send) move(step.target);
    for (uint32_t& wait : step.waits) wait += before;
    step.first += gap.begin;
    step.tag += segment_tag(number * kPhasesOfGap, 0, 0);
    schedule->steps.push_back(std::move(step));
  }
  schedule->staging_bytes += part.staging_bytes;
}

}  // namespace

std::vector<Range> finished_ranges(const Schedule& schedule, const std::vector<bool>& done) {
  RangeMap<uint32_t> last_writer;
  for (uint32_t index = 0; index < schedule.steps.size(); ++index) {
    const Step& step = schedule.steps[index];
    if (step.kind == StepKind::send || step.target.space != Space::output) continue;
    last_writer.assign({step.target.offset, step.target.elements}, index);
  }
  std::vector<Range> finished;
  for (const auto& [begin, entry] : last_writer.entries())
    if (done[entry.value]) finished.push_back({begin, entry.end - begin});
  return merged(std::move(finished));
}

std::vector<Contributors> contributors(const ScheduleRequest& request, uint32_t ranks_before) {
  std::vector<Contributors> result;
  const std::vector<Range> gaps = gaps_of(request);
  for (const Range& range : gaps) result.push_back({range, request.ranks});
  for (const Range& range : complement(gaps, request.elements)) result.push_back({range, ranks_before});
  std::sort(result.begin(), result.end(),
            [](const Contributors& a, const Contributors& b) { return a.range.begin < b.range.begin; });
  return result;
}

bool salvageable(uint32_t collective) {
  const std::string_view name = collective_name(collective);
  for (const char* row :
       {"ring", "direct", "broadcast", "halving_doubling", "tree_broadcast", "hierarchical"})
    if (name == row) return true;
  return false;
}

void salvage_schedule(const ScheduleRequest& request, Schedule* schedule) {
  const std::vector<Range> gaps = gaps_of(request);
  hand_out(request, pieces_of(request, gaps), schedule);
  for (uint32_t number = 0; number < gaps.size(); ++number) {
    Schedule part;
    const Status status = write_schedule(gap_request(request, gaps[number]), &part);
    GM_ASSERT(status);  // a part of a request that was checked
    append(std::move(part), gaps[number], number, schedule);
  }
}

Cost salvage_cost(const ScheduleRequest& request) {
  Cost cost;
  const std::vector<Range> gaps = gaps_of(request);
  for (const Piece& piece : pieces_of(request, gaps)) {
    cost.latency_steps = 1;
    if (piece.holder != request.rank) continue;
    const auto lacking = static_cast<uint64_t>(std::count(piece.has.begin(), piece.has.end(), false));
    cost.bytes_sent += lacking * piece.range.elements * dtype_bytes(request.dtype);
  }
  for (const Range& gap : gaps) {
    Cost part;
    const Status status = collective_cost(gap_request(request, gap), &part);
    GM_ASSERT(status);
    cost.latency_steps = std::max(cost.latency_steps, part.latency_steps);
    cost.bytes_sent += part.bytes_sent;
  }
  return cost;
}

}  // namespace gradmesh
