// The registry of collectives: checks a request (request_check.cpp), then asks the row's writer or cost
// function.
#include "collective/schedule.h"

#include <bit>
#include <string_view>

#include "collective/all_gather.h"
#include "collective/barrier.h"
#include "collective/broadcast.h"
#include "collective/direct.h"
#include "collective/gather_mean.h"
#include "collective/halving_doubling.h"
#include "collective/hierarchical.h"
#include "collective/mix.h"
#include "collective/reduce_scatter.h"
#include "collective/ring.h"
#include "collective/rows.h"
#include "collective/salvage.h"
#include "collective/tree_broadcast.h"
#include "collective/tree_reduce.h"

namespace gradmesh {
namespace {

constexpr CollectiveRow kCollectives[] = {
#define GM_COLLECTIVE(name, id, coded, reductions, doc) \
  {#name, id, coded, reductions, name##_schedule, name##_cost},
#include "collective/collectives.def"
#undef GM_COLLECTIVE
};

// FNV-1a, 64 bits, over a text in which every part is marked: tells requests apart between honest peers.
class Fingerprint {
 public:
  void add(std::string_view text) {
    for (const char c : text) hash_ = (hash_ ^ static_cast<uint8_t>(c)) * 0x100000001b3u;
  }
  void add(uint64_t number) { add(std::to_string(number) + ","); }
  uint64_t value() const { return hash_; }

 private:
  uint64_t hash_ = 0xcbf29ce484222325u;
};

}  // namespace

const CollectiveRow* find_collective(uint32_t id) {
  for (const CollectiveRow& row : kCollectives)
    if (row.id == id) return &row;
  return nullptr;
}

std::string collective_names() {
  std::string all;
  for (const CollectiveRow& row : kCollectives)
    all += (all.empty() ? "" : ", ") + std::to_string(row.id) + " (" + row.name + ")";
  return all;
}

const char* dtype_name(Dtype dtype) {
  constexpr const char* kNames[kDtypes] = {"fp32", "fp16", "bf16"};
  return kNames[static_cast<uint32_t>(dtype)];
}

const char* reduction_name(Reduction reduction) {
  constexpr const char* kNames[kReductions] = {"mean", "sum", "weighted_mean", "max"};
  return kNames[static_cast<uint32_t>(reduction)];
}

const char* collective_name(uint32_t id) {
  const CollectiveRow* row = find_collective(id);
  return row == nullptr ? "unknown" : row->name;
}

// The dtype's codecs have no options, so the name alone says it.
bool ScheduleRequest::wire_is_memory() const { return codec->spec == dtype_name(dtype); }

Status write_schedule(const ScheduleRequest& request, Schedule* schedule) {
  GM_TRY(check_request(request));
  schedule->steps.clear();
  schedule->staging_bytes = 0;
  if (request.held.empty())
    find_collective(request.collective)->schedule(request, schedule);
  else
    salvage_schedule(request, schedule);
  return Status::ok();
}

Status collective_cost(const ScheduleRequest& request, Cost* cost) {
  GM_TRY(check_request(request));
  *cost = request.held.empty() ? find_collective(request.collective)->cost(request) : salvage_cost(request);
  return Status::ok();
}

bool reads_input(const ScheduleRequest& request) {
  const std::string_view name = collective_name(request.collective);
  if (name == "barrier") return false;
  return (name != "broadcast" && name != "tree_broadcast") || request.rank == request.root;
}

uint64_t details_fingerprint(const ScheduleRequest& request) {
  Fingerprint print;
  print.add("weights ");
  for (const double weight : request.weights) print.add(std::bit_cast<uint64_t>(weight));
  print.add("topology ");
  print.add(request.topology);
  print.add(" islands ");
  for (const uint32_t leader : request.islands) print.add(leader);
  print.add("held ");
  for (const auto& ranges : request.held) {
    for (const Range& range : ranges) print.add(range.begin), print.add(range.elements);
    print.add(";");
  }
  if (request.down != nullptr) print.add("down " + request.down->spec);
  if (request.feeds_back()) print.add("owner "), print.add(std::bit_cast<uint64_t>(request.owner_decay));
  return print.value();
}

}  // namespace gradmesh
