// The C ABI of plans.
#include "abi/plans.h"
#include "collective/plan_json.h"
#include "collective/salvage.h"

using namespace gradmesh;

namespace {

Status invalid(const std::string& what) { return {GM_INVALID_ARGUMENT, what}; }

// [rank, first element, elements] each.
Status read_held(gm_f64s triples, ScheduleRequest* request) {
  if (triples.length == 0) return Status::ok();
  if (triples.length % 3 != 0)
    return invalid("held has " + std::to_string(triples.length) + " entries; allowed: three for each range");
  constexpr double kWholeMax = 9007199254740992.0;  // 2^53
  request->held.resize(request->ranks);
  for (size_t at = 0; at < triples.length; at += 3) {
    const double *value = triples.data + at, rank = value[0];
    const auto whole = [&](double x) {
      return x >= 0 && x < kWholeMax && x == static_cast<double>(static_cast<uint64_t>(x));
    };
    if (!whole(value[0]) || !whole(value[1]) || !whole(value[2]) || rank >= request->ranks)
      return invalid("held[" + std::to_string(at) +
                     "] is no range; allowed: a rank, a first element, a "
                     "number of elements");
    request->held[static_cast<size_t>(rank)].push_back(
        {static_cast<uint64_t>(value[1]), static_cast<uint64_t>(value[2])});
  }
  return Status::ok();
}

}  // namespace

HandleTable<const Plan>& abi::plans() {
  static HandleTable<const Plan> table;
  return table;
}

Status abi::find_plan(uint32_t handle, std::shared_ptr<const Plan>* plan) {
  *plan = plans().find(handle);
  return *plan == nullptr ? closed("plan", handle) : Status::ok();
}

Status abi::read_arithmetic(uint32_t dtype, uint32_t reduction, ScheduleRequest* request) {
  if (dtype >= kDtypes)
    return invalid("dtype is " + std::to_string(dtype) + "; allowed: 0 (fp32), 1 (fp16), 2 (bf16)");
  if (reduction >= kReductions)
    return invalid("reduction is " + std::to_string(reduction) +
                   "; allowed: 0 (mean), 1 (sum), 2 (weighted_mean), 3 (max)");
  request->dtype = static_cast<Dtype>(dtype);
  request->reduction = static_cast<Reduction>(reduction);
  return Status::ok();
}

extern "C" {

int32_t gm_plan_create(uint32_t collective, uint32_t ranks, uint32_t rank, uint32_t root, uint64_t elements,
                       uint32_t codec, int32_t down, double owner_decay, uint64_t segment_elements,
                       uint32_t dtype, uint32_t reduction, gm_f64s weights, gm_text topology, uint64_t round,
                       gm_i32s islands, gm_f64s held, uint32_t* result) {
  return abi::guard([&]() -> Status {
    GM_TRY(abi::check_given({{"weights", weights},
                             {"topology", topology},
                             {"islands", islands},
                             {"held", held},
                             {"result", result}}));
    if (ranks == 0 || ranks > kRanksMax)
      return invalid("ranks is " + std::to_string(ranks) + "; allowed: 1 to " + std::to_string(kRanksMax));
    ScheduleRequest request;
    GM_TRY(abi::read_arithmetic(dtype, reduction, &request));
    request.collective = collective;
    request.ranks = ranks;
    request.rank = rank;
    request.root = root;
    request.elements = elements;
    request.segment_elements = segment_elements;
    request.codec = codec_find(codec);
    if (down >= 0) request.down = codec_find(static_cast<uint32_t>(down));
    if (down < -1 || (down >= 0 && request.down == nullptr))
      return invalid("down is " + std::to_string(down) + "; allowed: what codec_open gives, or -1 for none");
    request.owner_decay = owner_decay;
    request.weights = {weights.data, weights.data + weights.length};
    request.topology = abi::string(topology);
    request.round = round;
    for (size_t at = 0; at < islands.length; ++at) {
      if (islands.data[at] < 0)
        return invalid("islands[" + std::to_string(at) + "] is " + std::to_string(islands.data[at]) +
                       "; allowed: the rank that leads its island");
      request.islands.push_back(static_cast<uint32_t>(islands.data[at]));
    }
    GM_TRY(read_held(held, &request));
    std::shared_ptr<const Plan> plan;
    GM_TRY(Plan::make(std::move(request), &plan));
    *result = abi::plans().add(std::move(plan));
    return Status::ok();
  });
}

int32_t gm_plan_free(uint32_t plan) {
  return abi::guard([&] {
    abi::plans().remove(plan);
    return Status::ok();
  });
}

int32_t gm_plan_schedule(uint32_t plan, gm_text_out* result) {
  return abi::guard([&]() -> Status {
    GM_TRY(abi::check_given({{"result", result}}));
    std::shared_ptr<const Plan> found;
    GM_TRY(abi::find_plan(plan, &found));
    return abi::copy_text(schedule_json(found->schedule, found->request), result);
  });
}

int32_t gm_plan_cost(uint32_t plan, gm_text_out* result) {
  return abi::guard([&]() -> Status {
    GM_TRY(abi::check_given({{"result", result}}));
    std::shared_ptr<const Plan> found;
    GM_TRY(abi::find_plan(plan, &found));
    return abi::copy_text("{\"latencySteps\":" + std::to_string(found->cost.latency_steps) +
                              ",\"bytesSent\":" + std::to_string(found->cost.bytes_sent) + "}",
                          result);
  });
}

int32_t gm_plan_contributors(uint32_t plan, uint32_t ranks_before, gm_text_out* result) {
  return abi::guard([&]() -> Status {
    GM_TRY(abi::check_given({{"result", result}}));
    std::shared_ptr<const Plan> found;
    GM_TRY(abi::find_plan(plan, &found));
    std::string json = "[";
    for (const Contributors& part : contributors(found->request, ranks_before))
      json += std::string(json.size() > 1 ? "," : "") + "[" + std::to_string(part.range.begin) + "," +
              std::to_string(part.range.elements) + "," + std::to_string(part.ranks) + "]";
    return abi::copy_text(json + "]", result);
  });
}

}  // extern "C"
