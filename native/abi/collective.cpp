// The C ABI of plans and collectives.
#include <functional>
#include <utility>

#include "abi/abi.h"
#include "abi/cancels.h"
#include "abi/endpoints.h"
#include "base/handles.h"
#include "collective/advise.h"
#include "collective/plan_json.h"
#include "collective/salvage.h"

namespace {

using namespace gradmesh;

HandleTable<const Plan>& plans() {
  static HandleTable<const Plan> table;
  return table;
}

Status invalid(const std::string& what) { return {GM_INVALID_ARGUMENT, what}; }

Status find_plan(uint32_t handle, std::shared_ptr<const Plan>* plan) {
  *plan = plans().find(handle);
  return *plan == nullptr ? abi::closed("plan", handle) : Status::ok();
}

Status check_links(gm_i32s links, const ScheduleRequest& plan) {
  if (links.length != plan.ranks)
    return invalid("links has " + std::to_string(links.length) +
                   " entries; allowed: " + std::to_string(plan.ranks) + ", one for each rank of the plan");
  if (plan.ranks > kGroupMax)
    return invalid("ranks is " + std::to_string(plan.ranks) + "; allowed on a network: 1 to " +
                   std::to_string(kGroupMax));
  for (size_t at = 0; at < links.length; ++at) {
    const std::string name = "links[" + std::to_string(at) + "] is " + std::to_string(links.data[at]);
    if (at == plan.rank && links.data[at] != -1) return invalid(name + "; allowed: -1, it is one's own");
    if (at != plan.rank && links.data[at] < 1) return invalid(name + "; allowed: a link of the endpoint");
    for (size_t before = 0; before < at; ++before)
      if (links.data[before] == links.data[at])
        return invalid(name + ", like links[" + std::to_string(before) + "]");
  }
  return Status::ok();
}

// Memory that a collective reads and writes, on the host or on a device.
struct Tensors {
  const uint8_t* input;
  uint8_t* output;
  uint64_t input_bytes, output_bytes;
  device::SharedDevice device{};
};

Status check_length(const char* field, uint64_t bytes, const ScheduleRequest& plan) {
  const uint64_t due = plan.elements * dtype_bytes(plan.dtype);
  if (bytes == due) return Status::ok();
  return invalid(std::string(field) + " has " + std::to_string(bytes) +
                 " bytes; allowed: " + std::to_string(due) + ", the plan's " + std::to_string(plan.elements) +
                 " elements of " + dtype_name(plan.dtype));
}

Status check_memory(const ScheduleRequest& plan, const Tensors& tensors, gm_f64s report) {
  const auto& [input, output, inputs, outputs, device] = tensors;
  GM_TRY(check_length("output", outputs, plan));
  if (reads_input(plan) || inputs != 0) GM_TRY(check_length("input", inputs, plan));
  const std::less<const uint8_t*> before;
  if (inputs > 0 && before(input, output + outputs) && before(output, input + inputs))
    return invalid("input and output overlap; allowed: memory apart, because the input stays intact");
  const size_t alignment = dtype_bytes(plan.dtype);
  for (const auto& [field, address] : {std::pair{"input", reinterpret_cast<uintptr_t>(input)},
                                       std::pair{"output", reinterpret_cast<uintptr_t>(output)}})
    if (address % alignment != 0)
      return invalid(std::string(field) + " is at an odd address; allowed: a multiple of " +
                     std::to_string(alignment));
  if (report.length < kReportLength)
    return invalid("report has " + std::to_string(report.length) +
                   " elements; allowed: " + std::to_string(kReportLength) + " or more");
  return Status::ok();
}

Status check_address(const char* field, uint64_t address, uint64_t elements) {
  if ((address != 0 || elements == 0) && address % 16 == 0) return Status::ok();
  return invalid(std::string(field) + " is " + std::to_string(address) +
                 "; allowed: the address of device memory, a multiple of 16");
}

// What both forms of a collective check, then the operation itself.
Status run(uint32_t endpoint, uint32_t plan, gm_i32s links, OperationRequest operation, Tensors tensors,
           gm_f64s report, uint32_t cancel, gm_done done, void* context) {
  const auto found = abi::endpoints().find(endpoint);
  if (found == nullptr) return abi::closed("endpoint", endpoint);
  GM_TRY(find_plan(plan, &operation.plan));
  GM_TRY(abi::check_limit(operation.limit_ms));
  GM_TRY(abi::check_given({{"links", links}, {"report", report}, {"done", reinterpret_cast<void*>(done)}}));
  if (operation.step > abi::kStepMax)
    return invalid("step is " + std::to_string(operation.step) + "; allowed: up to " +
                   std::to_string(abi::kStepMax));
  GM_TRY(check_links(links, operation.plan->request));
  GM_TRY(check_memory(operation.plan->request, tensors, report));
  if (operation.id == 0) return invalid("operation is 0; allowed: 1 or more");
  operation.links = {links.data, links.data + links.length};
  operation.device = std::move(tensors.device);
  operation.input = tensors.input;
  operation.output = tensors.output;
  operation.report = report.data;
  operation.cancel = abi::cancels().find(cancel);
  operation.done = [=](const Status& status) { done(context, status.code(), status.message().c_str()); };
  found->run(std::move(operation));
  return Status::ok();
}

Status read_arithmetic(uint32_t dtype, uint32_t reduction, ScheduleRequest* request) {
  if (dtype >= kDtypes)
    return invalid("dtype is " + std::to_string(dtype) + "; allowed: 0 (fp32), 1 (fp16), 2 (bf16)");
  if (reduction >= kReductions)
    return invalid("reduction is " + std::to_string(reduction) +
                   "; allowed: 0 (mean), 1 (sum), 2 (weighted_mean), 3 (max)");
  request->dtype = static_cast<Dtype>(dtype);
  request->reduction = static_cast<Reduction>(reduction);
  return Status::ok();
}

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

extern "C" {

int32_t gm_plan_create(uint32_t collective, uint32_t ranks, uint32_t rank, uint32_t root, uint64_t elements,
                       uint32_t codec, uint64_t segment_elements, uint32_t dtype, uint32_t reduction,
                       gm_f64s weights, gm_text topology, uint64_t round, gm_i32s islands, gm_f64s held,
                       uint32_t* result) {
  return abi::guard([&]() -> Status {
    GM_TRY(abi::check_given({{"weights", weights},
                             {"topology", topology},
                             {"islands", islands},
                             {"held", held},
                             {"result", result}}));
    if (ranks == 0 || ranks > kRanksMax)
      return invalid("ranks is " + std::to_string(ranks) + "; allowed: 1 to " + std::to_string(kRanksMax));
    ScheduleRequest request;
    GM_TRY(read_arithmetic(dtype, reduction, &request));
    request.collective = collective;
    request.ranks = ranks;
    request.rank = rank;
    request.root = root;
    request.elements = elements;
    request.segment_elements = segment_elements;
    request.codec = codec_find(codec);
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
    *result = plans().add(std::move(plan));
    return Status::ok();
  });
}

int32_t gm_plan_free(uint32_t plan) {
  return abi::guard([&] {
    plans().remove(plan);
    return Status::ok();
  });
}

int32_t gm_plan_schedule(uint32_t plan, gm_text_out* result) {
  return abi::guard([&]() -> Status {
    GM_TRY(abi::check_given({{"result", result}}));
    std::shared_ptr<const Plan> found;
    GM_TRY(find_plan(plan, &found));
    return abi::copy_text(schedule_json(found->schedule, found->request), result);
  });
}

int32_t gm_plan_cost(uint32_t plan, gm_text_out* result) {
  return abi::guard([&]() -> Status {
    GM_TRY(abi::check_given({{"result", result}}));
    std::shared_ptr<const Plan> found;
    GM_TRY(find_plan(plan, &found));
    return abi::copy_text("{\"latencySteps\":" + std::to_string(found->cost.latency_steps) +
                              ",\"bytesSent\":" + std::to_string(found->cost.bytes_sent) + "}",
                          result);
  });
}

int32_t gm_plan_contributors(uint32_t plan, uint32_t ranks_before, gm_text_out* result) {
  return abi::guard([&]() -> Status {
    GM_TRY(abi::check_given({{"result", result}}));
    std::shared_ptr<const Plan> found;
    GM_TRY(find_plan(plan, &found));
    std::string json = "[";
    for (const Contributors& part : contributors(found->request, ranks_before))
      json += std::string(json.size() > 1 ? "," : "") + "[" + std::to_string(part.range.begin) + "," +
              std::to_string(part.range.elements) + "," + std::to_string(part.ranks) + "]";
    return abi::copy_text(json + "]", result);
  });
}

int32_t gm_collective_choose(uint32_t ranks, uint64_t elements, uint32_t codec, uint64_t segment_elements,
                             uint32_t dtype, uint32_t reduction, gm_f64s weights, gm_f64s bandwidth,
                             gm_f64s latency, gm_text_out* result) {
  return abi::guard([&]() -> Status {
    GM_TRY(abi::check_given(
        {{"weights", weights}, {"bandwidth", bandwidth}, {"latency", latency}, {"result", result}}));
    ScheduleRequest request;
    GM_TRY(read_arithmetic(dtype, reduction, &request));
    request.ranks = ranks;
    request.elements = elements;
    request.segment_elements = segment_elements;
    request.codec = codec_find(codec);
    request.weights = {weights.data, weights.data + weights.length};
    Advice advice;
    GM_TRY(advise(request, {ranks, {bandwidth.data, bandwidth.length}, {latency.data, latency.length}},
                  &advice));
    return abi::copy_text(advice.json, result);
  });
}

int32_t gm_collective_run(uint32_t endpoint, uint32_t plan, gm_i32s links, uint64_t operation, uint64_t seed,
                          uint64_t step, uint32_t limit_ms, bool agree, gm_bytes input, gm_bytes output,
                          gm_f64s report, uint32_t cancel, gm_done done, void* context) {
  return abi::guard([&]() -> Status {
    GM_TRY(abi::check_given({{"input", input}, {"output", output}}));
    OperationRequest request;
    request.id = operation;
    request.seed = seed;
    request.step = step;
    request.limit_ms = limit_ms;
    request.agree = agree;
    return run(endpoint, plan, links, std::move(request),
               {input.data, output.data, input.length, output.length}, report, cancel, done, context);
  });
}

int32_t gm_collective_run_device(uint32_t endpoint, uint32_t plan, gm_i32s links, uint64_t operation,
                                 uint64_t seed, uint64_t step, uint32_t limit_ms, bool agree, uint32_t device,
                                 uint64_t input, uint64_t output, uint64_t elements, gm_f64s report,
                                 uint32_t cancel, gm_done done, void* context) {
  return abi::guard([&]() -> Status {
    const uint64_t bytes = elements * sizeof(float);
    Tensors tensors{reinterpret_cast<const uint8_t*>(input), reinterpret_cast<uint8_t*>(output), bytes,
                    bytes};
    if (elements > kElementsMax)
      return invalid("elements is " + std::to_string(elements) + "; allowed: 0 to " +
                     std::to_string(kElementsMax));
    GM_TRY(check_address("input", input, elements));
    GM_TRY(check_address("output", output, elements));
    GM_TRY(device::Device::open(device, &tensors.device));
    OperationRequest request;
    request.id = operation;
    request.seed = seed;
    request.step = step;
    request.limit_ms = limit_ms;
    request.agree = agree;
    return run(endpoint, plan, links, std::move(request), std::move(tensors), report, cancel, done, context);
  });
}

int32_t gm_collective_finished(uint32_t endpoint, uint64_t operation, gm_text_out* result) {
  return abi::guard([&]() -> Status {
    const auto found = abi::endpoints().find(endpoint);
    if (found == nullptr) return abi::closed("endpoint", endpoint);
    GM_TRY(abi::check_given({{"result", result}}));
    std::vector<Range> ranges;
    GM_TRY(found->finished(operation, &ranges));
    std::string json = "[";
    for (const Range& range : ranges)
      json += std::string(json.size() > 1 ? "," : "") + "[" + std::to_string(range.begin) + "," +
              std::to_string(range.elements) + "]";
    return abi::copy_text(json + "]", result);
  });
}

}  // extern "C"
