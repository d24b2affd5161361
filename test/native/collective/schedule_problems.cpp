// What can be wrong with a rank's schedule by itself: tags, peers, waits, memory outside of its space, and
// races.
#include <algorithm>
#include <set>

#include "collective/region.h"
#include "schedule_world.h"

namespace schedule_world {
namespace {

bool apart(const Range& a, const Range& b) {
  return a.begin + a.elements <= b.begin || b.begin + b.elements <= a.begin;
}

bool writes(const Step& step) { return step.kind != StepKind::send; }

class Checker {
 public:
  Checker(const ScheduleRequest& request, uint32_t rank, const Schedule& schedule)
      : request_(request), rank_(rank), schedule_(schedule) {}

  std::string steps() const {
    std::set<std::tuple<StepKind, uint32_t, uint64_t>> tags;
    for (uint32_t index = 0; index < schedule_.steps.size(); ++index) {
      const Step& step = schedule_.steps[index];
      for (const uint32_t wait : step.waits)
        if (wait >= index) return "a step waits for a later one";
      if (std::set(step.waits.begin(), step.waits.end()).size() != step.waits.size())
        return "a step waits twice for another";
      const bool remote = step.kind == StepKind::send || step.kind == StepKind::recv;
      if (remote && (step.peer >= request_.ranks || step.peer == rank_)) return "a step's peer is impossible";
      if (remote && step.tag >= uint64_t{1} << 53) return "a tag is no number of JSON";
      if (remote && !tags.insert({step.kind, step.peer, step.tag}).second) return "a tag is used twice";
      for (const Region& source : step.sources)
        if (!inside(source)) return "a source lies outside of its memory";
      if (writes(step) &&
          (!inside(step.target) || step.target.space == Space::input || step.target.space == Space::state))
        return "a target lies outside of its memory or in what is only read";
      for (const Region& source : step.sources)
        if (!own_chunk(source)) return "a source is the feedback of another's chunk";
      if (writes(step) && !own_chunk(step.target)) return "a target is the feedback of another's chunk";
      if (step.first % request_.block_elements() != 0) return "coded elements begin inside a block";
    }
    return "";
  }

  // Two steps that touch the same memory, one of them writing, are ordered by waits: no luck of timing is
  // needed.
  std::string races() const {
    const size_t count = schedule_.steps.size();
    std::vector<std::vector<bool>> before(count, std::vector<bool>(count));  // [later][earlier]
    for (size_t later = 0; later < count; ++later) {
      for (const uint32_t wait : schedule_.steps[later].waits) {
        before[later][wait] = true;
        for (size_t at = 0; at < wait; ++at)
          if (before[wait][at]) before[later][at] = true;
      }
      for (size_t earlier = 0; earlier < later; ++earlier)
        if (!before[later][earlier] && clash(schedule_.steps[later], schedule_.steps[earlier]))
          return "steps " + std::to_string(earlier) + " and " + std::to_string(later) +
                 " race for the same memory";
    }
    return "";
  }

 private:
  bool inside(const Region& region) const {
    const Range extent = region_extent(wires_of(request_), region);
    return extent.begin + extent.elements <=
           (is_scratch(region.space) ? schedule_.staging_bytes : request_.elements);
  }
  bool own_chunk(const Region& region) const {
    if (region.space != Space::state && region.space != Space::next) return true;
    const Range own = chunk_range(request_.elements, request_.block_elements(), request_.ranks, rank_);
    return region.offset >= own.begin && region.offset + region.elements <= own.begin + own.elements;
  }
  bool overlap(const Region& a, const Region& b) const {
    const auto memory = [](const Region& region) {
      return is_scratch(region.space) ? Space::staging : region.space;
    };
    return memory(a) == memory(b) && a.elements > 0 && b.elements > 0 &&
           !apart(region_extent(wires_of(request_), a), region_extent(wires_of(request_), b));
  }
  bool clash(const Step& a, const Step& b) const {
    if (writes(a) && writes(b) && overlap(a.target, b.target)) return true;
    for (const Region& source : a.sources)
      if (writes(b) && overlap(source, b.target)) return true;
    for (const Region& source : b.sources)
      if (writes(a) && overlap(source, a.target)) return true;
    return false;
  }

  const ScheduleRequest& request_;
  const uint32_t rank_;
  const Schedule& schedule_;
};

}  // namespace

std::string World::problem() const {
  if (!fault_.empty()) return fault_;
  constexpr size_t kStepsMax = 400;  // the check of races takes their square
  for (uint32_t who = 0; who < request_.ranks; ++who) {
    const Checker checker(request_, who, *ranks_[who].schedule);
    std::string problem = checker.steps();
    if (problem.empty() && ranks_[who].schedule->steps.size() <= kStepsMax) problem = checker.races();
    if (!problem.empty()) return problem + ", rank " + std::to_string(who);
  }
  return "";
}

}  // namespace schedule_world
