// Mirrors on the host of tensors that lie on a device: what is read was loaded, what was written last is
// stored.
#include <algorithm>

#include "collective/mirror.h"
#include "collective/salvage.h"
#include "schedule_world.h"

using namespace gradmesh;

namespace {

bool waits_for(const Step& step, uint32_t index) {
  return std::find(step.waits.begin(), step.waits.end(), index) != step.waits.end();
}

void check_mirror(const ScheduleRequest& request) {
  Schedule plain, mirrored;
  CHECK(static_cast<bool>(write_schedule(request, &plain)));
  mirrored = plain;
  mirror_on_host(&mirrored);
  const std::string what = schedule_world::describe(request);
  std::vector<int> loaded(request.elements, -1), written(request.elements, -1);
  std::vector<bool> stored(request.elements), read(request.elements);
  for (uint32_t index = 0; index < mirrored.steps.size(); ++index) {
    const Step& step = mirrored.steps[index];
    for (const uint32_t wait : step.waits) CHECK_THAT(wait < index, what);
    const Region& target = step.target;
    for (uint64_t at = target.offset; at < target.offset + target.elements; ++at) {
      if (step.kind == StepKind::load) {
        CHECK_THAT(loaded[at] == -1, "loaded twice: " + what);
        loaded[at] = static_cast<int>(index);
      } else if (step.kind == StepKind::store) {
        CHECK_THAT(!stored[at] && written[at] >= 0 && waits_for(step, static_cast<uint32_t>(written[at])),
                   "a store that does not wait for the last writer: " + what);
        stored[at] = true;
      } else if (step.kind != StepKind::send && target.space == Space::output) {
        CHECK_THAT(!stored[at], "written after its store: " + what);
        written[at] = static_cast<int>(index);
      }
    }
    if (step.kind == StepKind::load) continue;
    for (const Region& source : step.sources)
      for (uint64_t at = source.offset; source.space == Space::input && at < source.offset + source.elements;
           ++at) {
        CHECK_THAT(loaded[at] >= 0 && waits_for(step, static_cast<uint32_t>(loaded[at])),
                   "read unloaded: " + what);
        read[at] = true;
      }
  }
  for (uint64_t at = 0; at < request.elements; ++at) {
    CHECK_THAT((written[at] >= 0) == stored[at], "written and not stored: " + what);
    CHECK_THAT((loaded[at] >= 0) == read[at], "loaded and not read: " + what);
  }
  // What an operation has finished is on the device.
  std::vector<bool> done(mirrored.steps.size(), true);
  for (uint32_t index = 0; index < done.size(); ++index)
    done[index] = mirrored.steps[index].kind != StepKind::store;
  CHECK_THAT(finished_ranges(mirrored, done).empty(), what);
}

}  // namespace

TEST(
    "a mirror loads each element that is read once, and stores each that is written once, at its last "
    "writer") {
  schedule_world::Random random(check::seed());
  for (const char* name : {"ring", "direct", "broadcast", "halving_doubling", "tree_broadcast", "tree_reduce",
                           "reduce_scatter", "all_gather", "mix", "hierarchical", "gather_mean"})
    for (const uint32_t ranks : {1u, 2u, 5u, 8u})
      for (uint32_t rank = 0; rank < ranks; ++rank) {
        ScheduleRequest request{.collective = schedule_world::id_of(name),
                                .ranks = ranks,
                                .rank = rank,
                                .elements = 40 + random() % 300,
                                .segment_elements = 1 + random() % 50,
                                .codec = codec_find("fp16")};
        request.dtype = Dtype::fp16;
        if (std::string(name) == "mix") request.topology = "complete";
        for (uint32_t at = 0; at < ranks && std::string(name) == "hierarchical"; ++at)
          request.islands.push_back(at / 3 * 3);
        check_mirror(request);
        if (!salvageable(request.collective)) continue;
        request.held.resize(ranks);
        request.held[ranks - 1] = {{3, 17}, {25, 9}};
        check_mirror(request);
      }
}
