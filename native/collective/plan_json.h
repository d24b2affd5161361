// A schedule as JSON, for tools and tests outside of native code.
#pragma once
#include <string>

#include "collective/schedule.h"

namespace gradmesh {

// {"stagingBytes", "steps": [{"kind", "peer"?, "tag"?, "sources": [region], "target"?: region, "waits":
// [index]}]} with region {"space", "offset", "elements", "bytes"}; bytes are those of the codec.
std::string schedule_json(const Schedule& schedule, const ScheduleRequest& request);

}  // namespace gradmesh
