// Adds the load and store steps: loads come first, in the order in which their segments are needed.
#include "collective/mirror.h"

#include <algorithm>

#include "collective/range_map.h"

namespace gradmesh {
namespace {

// The loads: each element once, in pieces as they are first read.
class Loads {
 public:
  void need(const Region& region) {
    std::vector<Range> missing;
    uint64_t at = region.offset;
    const uint64_t end = region.offset + region.elements;
    for (auto entry = after(at); at < end;) {
      const bool none = entry == loaded_.entries().end();
      const uint64_t until = none ? end : std::min(end, entry->first);
      if (until > at) missing.push_back({at, until - at});
      at = none ? end : std::max(at, (entry++)->second.end);
    }
    for (const Range& range : missing) {
      loaded_.assign(range, static_cast<uint32_t>(ranges_.size()));
      ranges_.push_back(range);
    }
  }
  // Adds the loads that bring the region.
  void wait_for(const Region& region, std::vector<uint32_t>* waits) const {
    const uint64_t end = region.offset + region.elements;
    for (auto entry = after(region.offset); entry != loaded_.entries().end() && entry->first < end; ++entry)
      waits->push_back(entry->second.value);
  }
  const std::vector<Range>& ranges() const { return ranges_; }

 private:
  // The first entry that ends behind `at`.
  std::map<uint64_t, RangeMap<uint32_t>::Entry>::const_iterator after(uint64_t at) const {
    auto entry = loaded_.entries().upper_bound(at);
    if (entry != loaded_.entries().begin() && std::prev(entry)->second.end > at) --entry;
    return entry;
  }
  RangeMap<uint32_t> loaded_;
  std::vector<Range> ranges_;
};

Step transfer(StepKind kind, const Region& segment, std::vector<uint32_t> waits) {
  Step step{};
  step.kind = kind;
  step.sources = {segment};
  step.target = segment;
  step.waits = std::move(waits);
  return step;
}

}  // namespace

void mirror_on_host(Schedule* schedule) {
  Loads loads;
  for (const Step& step : schedule->steps)
    for (const Region& source : step.sources)
      if (source.space == Space::input) loads.need(source);
  const auto count = static_cast<uint32_t>(loads.ranges().size());

  std::vector<Step> steps;
  for (const Range& range : loads.ranges())
    steps.push_back(transfer(StepKind::load, {Space::input, range.begin, range.elements}, {}));
  RangeMap<uint32_t> last_writer;
  for (Step& step : schedule->steps) {
    for (uint32_t& wait : step.waits) wait += count;
    for (const Region& source : step.sources)
      if (source.space == Space::input) loads.wait_for(source, &step.waits);
    if (step.kind != StepKind::send && step.target.space == Space::output)
      last_writer.assign({step.target.offset, step.target.elements}, static_cast<uint32_t>(steps.size()));
    steps.push_back(std::move(step));
  }
  // By the step that they wait for, so that what is done first is first in line.
  std::vector<Step> stores;
  for (const auto& [begin, entry] : last_writer.entries())
    stores.push_back(transfer(StepKind::store, {Space::output, begin, entry.end - begin}, {entry.value}));
  std::stable_sort(stores.begin(), stores.end(),
                   [](const Step& a, const Step& b) { return a.waits[0] < b.waits[0]; });
  std::move(stores.begin(), stores.end(), std::back_inserter(steps));
  schedule->steps = std::move(steps);
}

}  // namespace gradmesh
