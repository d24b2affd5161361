// The registry of collectives: checks a request, then asks the row's writer or cost function.
#include "collective/schedule.h"

#include "collective/broadcast.h"
#include "collective/direct.h"
#include "collective/partition.h"
#include "collective/ring.h"

namespace gradmesh {
namespace {

struct Collective {
  const char* name;
  uint32_t id;
  bool coded;
  void (*schedule)(const ScheduleRequest&, Schedule*);
  Cost (*cost)(const ScheduleRequest&);
};
constexpr Collective kCollectives[] = {
#define GM_COLLECTIVE(name, id, coded, doc) {#name, id, coded, name##_schedule, name##_cost},
#include "collective/collectives.def"
#undef GM_COLLECTIVE
};

const Collective* find(uint32_t id) {
  for (const Collective& row : kCollectives)
    if (row.id == id) return &row;
  return nullptr;
}

std::string names() {
  std::string all;
  for (const Collective& row : kCollectives)
    all += (all.empty() ? "" : ", ") + std::to_string(row.id) + " (" + row.name + ")";
  return all;
}

Status invalid(const char* field, uint64_t value, const std::string& allowed) {
  return {GM_INVALID_ARGUMENT, std::string(field) + " is " + std::to_string(value) + "; allowed: " + allowed};
}

Status check_sizes(const ScheduleRequest& request) {
  if (request.elements > kElementsMax)
    return invalid("elements", request.elements, "0 to " + std::to_string(kElementsMax));
  if (request.segment_elements == 0 || request.segment_elements > kSegmentElementsMax)
    return invalid("segment_elements", request.segment_elements,
                   "1 to " + std::to_string(kSegmentElementsMax));
  const uint64_t length = segment_length(request.segment_elements, request.codec->traits.block_elements);
  if (request.codec->bytes(length) > kFrameBytesMax)
    return {GM_INVALID_ARGUMENT, "codec is " + request.codec->spec + ", whose blocks of " +
                                     std::to_string(length) + " elements take " +
                                     std::to_string(request.codec->bytes(length)) + " bytes; a frame holds " +
                                     std::to_string(kFrameBytesMax)};
  if (request.elements / length > kSegmentsMax)
    return invalid("segment_elements", request.segment_elements,
                   "at least " + std::to_string(request.elements / kSegmentsMax + 1) + " for " +
                       std::to_string(request.elements) + " elements (at most " +
                       std::to_string(kSegmentsMax) + " segments)");
  return Status::ok();
}

Status check(const ScheduleRequest& request) {
  const Collective* row = find(request.collective);
  if (row == nullptr) return invalid("collective", request.collective, names());
  if (request.codec == nullptr)
    return {GM_INVALID_ARGUMENT, "codec is unknown; allowed: what codec_open gives"};
  if (!row->coded && !request.codec->traits.identity)
    return {GM_INVALID_ARGUMENT, "codec is " + request.codec->spec + "; " + row->name + " allows only fp32"};
  if (request.ranks == 0 || request.ranks > kRanksMax)
    return invalid("ranks", request.ranks, "1 to " + std::to_string(kRanksMax));
  const std::string below = "0 to " + std::to_string(request.ranks - 1);
  if (request.rank >= request.ranks) return invalid("rank", request.rank, below);
  if (request.root >= request.ranks) return invalid("root", request.root, below);
  return check_sizes(request);
}

}  // namespace

Status write_schedule(const ScheduleRequest& request, Schedule* schedule) {
  GM_TRY(check(request));
  schedule->steps.clear();
  schedule->staging_bytes = 0;
  find(request.collective)->schedule(request, schedule);
  return Status::ok();
}

Status collective_cost(const ScheduleRequest& request, Cost* cost) {
  GM_TRY(check(request));
  *cost = find(request.collective)->cost(request);
  return Status::ok();
}

const char* collective_name(uint32_t id) {
  const Collective* row = find(id);
  return row == nullptr ? "unknown" : row->name;
}

}  // namespace gradmesh
