// Who used each part of a rank's memory last: gives a step the waits that keep it from reading too early and
// from overwriting what is still needed.
#pragma once
#include <algorithm>
#include <vector>

#include "collective/range_map.h"
#include "collective/region.h"

namespace gradmesh {

class Hazards {
 public:
  explicit Hazards(const Wires& wires) : wires_(wires) {}

  // Adds to the waits of step number `index`, which comes after all that were added before.
  void order(uint32_t index, Step* step) {
    for (const Region& source : step->sources) read(index, source, &step->waits);
    if (step->kind != StepKind::send) write(index, step->target, &step->waits);
    std::sort(step->waits.begin(), step->waits.end());
    step->waits.erase(std::unique(step->waits.begin(), step->waits.end()), step->waits.end());
  }

 private:
  struct Uses {
    int64_t writer = -1;
    std::vector<uint32_t> readers;  // since
  };

  void read(uint32_t index, const Region& region, std::vector<uint32_t>* waits) {
    if (region.space == Space::input || region.space == Space::state) return;  // never written
    memory(region).each(region_extent(wires_, region), [&](Uses& uses) {
      if (uses.writer >= 0) waits->push_back(static_cast<uint32_t>(uses.writer));
      uses.readers.push_back(index);
    });
  }
  void write(uint32_t index, const Region& region, std::vector<uint32_t>* waits) {
    const Range extent = region_extent(wires_, region);
    memory(region).each(extent, [&](Uses& uses) {
      for (const uint32_t reader : uses.readers)
        if (reader != index) waits->push_back(reader);
      if (uses.readers.empty() && uses.writer >= 0) waits->push_back(static_cast<uint32_t>(uses.writer));
    });
    memory(region).assign(extent, {index, {}});
  }
  RangeMap<Uses>& memory(const Region& region) {
    return region.space == Space::output ? output_ : region.space == Space::next ? next_ : scratch_;
  }

  const Wires wires_;
  RangeMap<Uses> output_, next_, scratch_;
};

}  // namespace gradmesh
