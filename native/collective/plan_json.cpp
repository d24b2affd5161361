// Writes a schedule as JSON.
#include "collective/plan_json.h"

#include <cstdio>

#include "collective/region.h"

namespace gradmesh {
namespace {

constexpr const char* kSpaces[] = {"input", "output", "staging", "floats", "down", "state", "next"};
constexpr const char* kKinds[] = {"encode",  "send",   "recv", "combine", "reduce", "divide",
                                  "scale",   "fold",   "hop",  "decode",  "copy",   "average",
                                  "advance", "settle", "load", "store"};

std::string region_json(const Region& region, const ScheduleRequest& request) {
  return std::string("{\"space\":\"") + kSpaces[static_cast<size_t>(region.space)] +
         "\",\"offset\":" + std::to_string(region.offset) +
         ",\"elements\":" + std::to_string(region.elements) +
         ",\"bytes\":" + std::to_string(region_bytes(wires_of(request), request.dtype, region)) + "}";
}

template <class Items, class Render>
std::string list_json(const Items& items, Render&& render) {
  std::string json = "[";
  for (const auto& item : items) json += (json.size() > 1 ? "," : "") + render(item);
  return json + "]";
}

std::string step_json(const Step& step, const ScheduleRequest& request) {
  const auto region = [&](const Region& part) { return region_json(part, request); };
  const bool remote = step.kind == StepKind::send || step.kind == StepKind::recv;
  std::string json = std::string("{\"kind\":\"") + kKinds[static_cast<size_t>(step.kind)] + "\"";
  if (remote) json += ",\"peer\":" + std::to_string(step.peer) + ",\"tag\":" + std::to_string(step.tag);
  if (step.kind == StepKind::scale || step.kind == StepKind::fold || step.kind == StepKind::advance) {
    char factor[32];
    std::snprintf(factor, sizeof factor, "%.9g", static_cast<double>(step.factor));
    json += std::string(",\"factor\":") + factor;
  }
  json += ",\"sources\":" + list_json(step.sources, region);
  if (step.kind != StepKind::send) json += ",\"target\":" + region(step.target);
  return json + ",\"waits\":" + list_json(step.waits, [](uint32_t wait) { return std::to_string(wait); }) +
         "}";
}

}  // namespace

std::string schedule_json(const Schedule& schedule, const ScheduleRequest& request) {
  return "{\"stagingBytes\":" + std::to_string(schedule.staging_bytes) + ",\"steps\":" +
         list_json(schedule.steps, [&](const Step& step) { return step_json(step, request); }) + "}";
}

}  // namespace gradmesh
