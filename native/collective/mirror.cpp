// Adds the load and store steps: loads come first, in the order in which their segments are needed.
#include "collective/mirror.h"

#include <map>

#include "base/assert.h"

namespace gradmesh {
namespace {

// The segments of one space by their offsets: writers cut a tensor in one way throughout a schedule.
class Segments {
 public:
  explicit Segments(Space space) : space_(space) {}
  bool holds(const Region& region) const { return region.space == space_; }
  // Where the segment stands in the order of first use.
  uint32_t place(const Region& region) {
    const auto [found, added] = place_.emplace(region.offset, static_cast<uint32_t>(regions_.size()));
    if (added) regions_.push_back(region);
    GM_ASSERT(regions_[found->second].elements == region.elements);
    return found->second;
  }
  const std::vector<Region>& regions() const { return regions_; }

 private:
  const Space space_;
  std::map<uint64_t, uint32_t> place_;
  std::vector<Region> regions_;
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
  Segments inputs(Space::input), outputs(Space::output);
  std::vector<uint32_t> last_writer;
  for (const Step& step : schedule->steps)
    for (const Region& source : step.sources)
      if (inputs.holds(source)) inputs.place(source);
  const auto loads = static_cast<uint32_t>(inputs.regions().size());

  std::vector<Step> steps;
  for (const Region& segment : inputs.regions()) steps.push_back(transfer(StepKind::load, segment, {}));
  for (Step& step : schedule->steps) {
    for (uint32_t& wait : step.waits) wait += loads;
    for (const Region& source : step.sources)
      if (inputs.holds(source)) step.waits.push_back(inputs.place(source));
    if (step.kind != StepKind::send && outputs.holds(step.target)) {
      last_writer.resize(std::max<size_t>(last_writer.size(), outputs.place(step.target) + size_t{1}));
      last_writer[outputs.place(step.target)] = static_cast<uint32_t>(steps.size());
    }
    steps.push_back(std::move(step));
  }
  for (const Region& segment : outputs.regions())
    steps.push_back(transfer(StepKind::store, segment, {last_writer[outputs.place(segment)]}));
  schedule->steps = std::move(steps);
}

}  // namespace gradmesh
