// Reduction with islands: ranks that are near each other add exactly, and only one leader of each island
// speaks to the others, coded. (Jia et al., 1807.11205, section 4.3, with `direct` between the leaders.)
//
// 1. Inside an island of m ranks chunk j of m belongs to its j-th member: each member sends it its
// contribution as
//    float32 (a 16-bit tensor is widened), and it adds them in rank order, or takes their maximum: S =
//    ((x[r0] + x[r1]) + x[r2]) + ...
// 2. Each member sends the sum of its chunk to the island's leader as float32.
// 3. The leaders run `direct` among themselves, L of them in rank order, on chunks of L. For a mean a leader
//    contributes fl(S * L/n), which weighs islands by their size, so that the mean of the leaders' wires is
//    the mean of all ranks. A coded sum is n times that mean; where the wire is the tensor's own memory, sums
//    and maxima need no factor.
// 4. Each leader passes the wires of the results on to its members, and every rank decodes the same bytes.
// Where every rank is alone in its island this is `direct`, to the last bit; wires are coded under the
// leader's place among the leaders.
//
// Cost: 2 latency steps between leaders, and at most 3 inside islands (one less where no sum that another
// member took goes to another leader whose result comes back to members). Between islands a leader sends what
// `direct` among L ranks sends; inside, a member sends float32 of all chunks but its own, and of its own to
// the leader; the leader the result m-1 times.
#include "collective/hierarchical.h"

#include "collective/writer.h"

namespace gradmesh {
namespace {

struct Islands {
  explicit Islands(const ScheduleRequest& request) : leader(request.islands[request.rank]) {
    for (uint32_t rank = 0; rank < request.ranks; ++rank) {
      if (request.islands[rank] == rank) leaders.push_back(rank);
      if (request.islands[rank] == leader) members.push_back(rank);
      if (request.islands[rank] != rank) shared = true;
    }
  }
  static uint32_t place(const std::vector<uint32_t>& ranks, uint32_t rank) {
    return static_cast<uint32_t>(std::lower_bound(ranks.begin(), ranks.end(), rank) - ranks.begin());
  }

  const uint32_t leader;                   // of this rank's island
  std::vector<uint32_t> members, leaders;  // of this island, and all; ascending
  bool shared = false;                     // some island has more than one member
};

enum Phase : uint32_t { kContribute, kCollect, kLeaders, kLeadersResult, kResult };

class Hierarchical {
 public:
  Hierarchical(const ScheduleRequest& request, Schedule* schedule)
      : request_(request),
        islands_(request),
        members_(static_cast<uint32_t>(islands_.members.size())),
        leaders_(static_cast<uint32_t>(islands_.leaders.size())),
        is_leader_(islands_.leader == request.rank),
        memory_(request.wire_is_memory()),
        factor_(memory_ && !takes_mean(request)
                    ? 1.0f
                    : static_cast<float>(static_cast<double>(leaders_) / request.ranks)),
        write_(request, schedule, ScheduleWriter::Waits::by_memory) {}

  void write() {
    if (members_ > 1) sum_inside();
    if (!is_leader_) return take_results();
    uint64_t most = 0;
    for (uint32_t leader = 0; leader < leaders_; ++leader)
      most = std::max(most, write_.segments(write_.chunk(leaders_, leader)));
    const uint32_t own = Islands::place(islands_.leaders, request_.rank);
    for (uint64_t index = 0; index < most; ++index) {
      for (uint32_t distance = 1; distance < leaders_; ++distance)
        contribute((own + distance) % leaders_, index);
      reduce(own, index);
      for (uint32_t distance = 1; distance < leaders_; ++distance) gather((own + distance) % leaders_, index);
    }
  }

 private:
  static Region within(const Region& floats, const Range& part) {
    return {Space::floats, floats.offset + part.begin * sizeof(float), part.elements};
  }

  // This rank's contribution as float32.
  Region exact_terms(const Range& part) {
    const Region terms = write_.terms(part).region;
    if (terms.space == Space::floats || request_.dtype == Dtype::fp32) return terms;
    const Region floats = write_.stage_floats(part.elements);
    write_.local(StepKind::copy, {terms}, floats);
    return floats;
  }

  void sum_inside() {
    const uint32_t own = Islands::place(islands_.members, request_.rank);
    if (is_leader_) sums_ = write_.stage_floats(request_.elements);
    for (uint32_t distance = 1; distance < members_; ++distance) {
      const uint32_t member = (own + distance) % members_;
      write_.each_segment(write_.chunk(members_, member), [&](uint64_t index, const Range& part) {
        write_.send(islands_.members[member], segment_tag(kContribute, member, index), exact_terms(part));
      });
    }
    write_.each_segment(write_.chunk(members_, own), [&](uint64_t index, const Range& part) {
      const Region sum = is_leader_ ? within(sums_, part) : write_.stage_floats(part.elements);
      add_members(own, index, part, sum);
      if (!is_leader_) write_.send(islands_.leader, segment_tag(kCollect, own, index), sum);
    });
    for (uint32_t member = 0; member < members_ && is_leader_; ++member)
      if (member != own)
        write_.each_segment(write_.chunk(members_, member), [&](uint64_t index, const Range& part) {
          write_.recv(islands_.members[member], segment_tag(kCollect, member, index), within(sums_, part));
        });
  }

  void add_members(uint32_t own, uint64_t index, const Range& part, const Region& sum) {
    Region before{};
    for (uint32_t member = 0; member < members_; ++member) {
      Region terms;
      if (member == own) {
        terms = exact_terms(part);
      } else {
        terms = write_.stage_floats(part.elements);
        write_.recv(islands_.members[member], segment_tag(kContribute, own, index), terms);
      }
      if (member > 0) write_.local(StepKind::combine, {before, terms}, sum);
      before = member == 0 ? terms : sum;
    }
  }

  bool part(uint32_t leader, uint64_t index, Range* range) const {
    const Range whole = write_.chunk(leaders_, leader);
    if (index >= write_.segments(whole)) return false;
    *range = write_.segment(whole, index);
    return true;
  }

  // The island's contribution as a wire.
  Region island_wire(const Range& part) {
    const uint32_t own = Islands::place(islands_.leaders, request_.rank);
    if (members_ == 1 && factor_ == 1.0f) return write_.wire(part, own).region;
    const Region terms = members_ == 1 ? write_.terms(part).region : within(sums_, part);
    if (factor_ == 1.0f) return write_.wire_of({terms}, own, part.begin).region;
    const Region scaled = terms.space == Space::floats ? terms : write_.stage_floats(part.elements);
    write_.weigh(StepKind::scale, terms, factor_, scaled);
    return write_.wire_of({scaled}, own, part.begin).region;
  }

  void contribute(uint32_t owner, uint64_t index) {
    Range mine;
    if (!part(owner, index, &mine)) return;
    write_.send(islands_.leaders[owner], segment_tag(kLeaders, owner, index), island_wire(mine));
  }

  void reduce(uint32_t own, uint64_t index) {
    Range mine;
    if (!part(own, index, &mine)) return;
    std::vector<Region> contributions;
    for (uint32_t leader = 0; leader < leaders_; ++leader) {
      contributions.push_back(leader == own ? island_wire(mine) : write_.stage(mine.elements));
      if (leader != own)
        write_.recv(islands_.leaders[leader], segment_tag(kLeaders, own, index), contributions.back());
    }
    const Region result = memory_ ? ScheduleWriter::output(mine) : write_.stage(mine.elements);
    write_.code(StepKind::reduce, std::move(contributions), result, {}, kMeanRank, mine.begin);
    for (uint32_t distance = 1; distance < leaders_; ++distance)
      write_.send(islands_.leaders[(own + distance) % leaders_], segment_tag(kLeadersResult, own, index),
                  result);
    pass_on(own, index, mine, result);
  }

  void gather(uint32_t owner, uint64_t index) {
    Range theirs;
    if (!part(owner, index, &theirs)) return;
    const Region result = memory_ ? ScheduleWriter::output(theirs) : write_.stage(theirs.elements);
    write_.recv(islands_.leaders[owner], segment_tag(kLeadersResult, owner, index), result);
    pass_on(owner, index, theirs, result);
  }

  void pass_on(uint32_t owner, uint64_t index, const Range& part, const Region& result) {
    for (const uint32_t member : islands_.members)
      if (member != request_.rank) write_.send(member, segment_tag(kResult, owner, index), result);
    finish(result, part);
  }

  void take_results() {
    uint64_t most = 0;
    for (uint32_t leader = 0; leader < leaders_; ++leader)
      most = std::max(most, write_.segments(write_.chunk(leaders_, leader)));
    for (uint64_t index = 0; index < most; ++index)
      for (uint32_t owner = 0; owner < leaders_; ++owner) {
        Range theirs;
        if (!part(owner, index, &theirs)) continue;
        const Region result = memory_ ? ScheduleWriter::output(theirs) : write_.stage(theirs.elements);
        write_.recv(islands_.leader, segment_tag(kResult, owner, index), result);
        finish(result, theirs);
      }
  }

  void finish(const Region& result, const Range& part) {
    if (memory_) return;
    const bool sum = request_.reduction == Reduction::sum;
    write_.finish(result, kMeanRank, part,
                  sum ? ScheduleWriter::Then::times_ranks : ScheduleWriter::Then::nothing, {});
  }

  const ScheduleRequest& request_;
  const Islands islands_;
  const uint32_t members_, leaders_;
  const bool is_leader_, memory_;
  const float factor_;  // of an island's sum in its contribution
  ScheduleWriter write_;
  Region sums_{};  // of a leader whose island has other members: float32 of the whole tensor
};

}  // namespace

void hierarchical_schedule(const ScheduleRequest& request, Schedule* schedule) {
  Hierarchical(request, schedule).write();
}

namespace {

// The longest way of an element: to its owner inside the island, to the island's leader, to the owner among
// the leaders, to another leader, to a member of that one's island.
uint32_t longest_way(const ScheduleRequest& request, const Islands& islands) {
  const uint64_t block = request.codec->traits.block_elements;
  const auto leaders = static_cast<uint32_t>(islands.leaders.size());
  if (!islands.shared) return leaders > 1 ? 2 : 0;
  std::vector<uint32_t> size(request.ranks),
      below(request.ranks);  // of a leader's island; its members below it
  for (uint32_t rank = 0; rank < request.ranks; ++rank) {
    ++size[request.islands[rank]];
    if (rank < request.islands[rank]) ++below[request.islands[rank]];
  }
  // What the leader adds itself; the rest comes by way of another member.
  std::vector<Range> own(leaders);
  for (uint32_t at = 0; at < leaders; ++at) {
    const uint32_t leader = islands.leaders[at];
    own[at] = chunk_range(request.elements, block, size[leader], below[leader]);
  }
  uint32_t longest = 0;
  for (uint32_t owner = 0; owner < leaders; ++owner) {
    const Range part = chunk_range(request.elements, block, leaders, owner);
    if (part.elements == 0) continue;
    uint32_t there = 0, back = 0;
    for (uint32_t at = 0; at < leaders; ++at) {
      const bool shared = size[islands.leaders[at]] > 1, other = at != owner;
      const bool inside =
          part.begin >= own[at].begin && part.begin + part.elements <= own[at].begin + own[at].elements;
      there = std::max<uint32_t>(there, (shared ? (inside ? 1 : 2) : 0) + other);
      back = std::max<uint32_t>(back, uint32_t{other} + shared);
    }
    longest = std::max(longest, there + back);
  }
  return longest;
}

}  // namespace

Cost hierarchical_cost(const ScheduleRequest& request) {
  if (request.ranks == 1 || request.elements == 0) return {};
  const Islands islands(request);
  const auto members = static_cast<uint32_t>(islands.members.size());
  const auto leaders = static_cast<uint32_t>(islands.leaders.size());
  const Codec& codec = *request.codec;
  const auto chunk = [&](const std::vector<uint32_t>& ranks) {
    const auto parts = static_cast<uint32_t>(ranks.size());
    return chunk_range(request.elements, codec.traits.block_elements, parts,
                       Islands::place(ranks, request.rank))
        .elements;
  };
  const bool leads = islands.leader == request.rank;
  Cost cost{longest_way(request, islands), 0};
  // The contributions inside, with a member's own sum; the leader keeps its own.
  if (members > 1)
    cost.bytes_sent += (request.elements - (leads ? chunk(islands.members) : 0)) * sizeof(float);
  if (!leads) return cost;
  const uint64_t all = codec.bytes(request.elements), own = codec.bytes(chunk(islands.leaders));
  cost.bytes_sent += (all - own) + (leaders - 1) * own + (members - 1) * all;
  return cost;
}

}  // namespace gradmesh
