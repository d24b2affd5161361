// The C ABI of collectives over a network.
#include <functional>
#include <utility>

#include "abi/abi.h"
#include "abi/cancels.h"
#include "abi/endpoints.h"
#include "abi/plans.h"
#include "collective/advise.h"

namespace {

using namespace gradmesh;

Status invalid(const std::string& what) { return {GM_INVALID_ARGUMENT, what}; }

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
  gm_f32s state, next;  // on the host
  device::SharedDevice device{};
};

Status check_memory(const ScheduleRequest& plan, const Tensors& tensors, gm_f64s report) {
  std::vector<abi::NamedMemory> all;
  GM_TRY(abi::check_tensors(plan, "", {tensors.input, tensors.input_bytes},
                            {tensors.output, tensors.output_bytes}, tensors.state, tensors.next, &all));
  GM_TRY(abi::check_apart(std::move(all)));
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
  GM_TRY(abi::find_plan(plan, &operation.plan));
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
  operation.state = tensors.state.data;
  operation.next = tensors.next.data;
  operation.report = report.data;
  operation.cancel = abi::cancels().find(cancel);
  operation.done = [=](const Status& status) { done(context, status.code(), status.message().c_str()); };
  found->run(std::move(operation));
  return Status::ok();
}

}  // namespace

extern "C" {

int32_t gm_collective_choose(uint32_t ranks, uint64_t elements, uint32_t codec, uint64_t segment_elements,
                             uint32_t dtype, uint32_t reduction, gm_f64s weights, gm_f64s bandwidth,
                             gm_f64s latency, gm_text_out* result) {
  return abi::guard([&]() -> Status {
    GM_TRY(abi::check_given(
        {{"weights", weights}, {"bandwidth", bandwidth}, {"latency", latency}, {"result", result}}));
    ScheduleRequest request;
    GM_TRY(abi::read_arithmetic(dtype, reduction, &request));
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
                          gm_f32s state, gm_f32s next, gm_f64s report, uint32_t cancel, gm_done done,
                          void* context) {
  return abi::guard([&]() -> Status {
    GM_TRY(abi::check_given({{"input", input}, {"output", output}, {"state", state}, {"next", next}}));
    OperationRequest request;
    request.id = operation;
    request.seed = seed;
    request.step = step;
    request.limit_ms = limit_ms;
    request.agree = agree;
    return run(endpoint, plan, links, std::move(request),
               {input.data, output.data, input.length, output.length, state, next}, report, cancel, done,
               context);
  });
}

int32_t gm_collective_run_device(uint32_t endpoint, uint32_t plan, gm_i32s links, uint64_t operation,
                                 uint64_t seed, uint64_t step, uint32_t limit_ms, bool agree, uint32_t device,
                                 uint64_t input, uint64_t output, uint64_t elements, gm_f32s state,
                                 gm_f32s next, gm_f64s report, uint32_t cancel, gm_done done, void* context) {
  return abi::guard([&]() -> Status {
    const uint64_t bytes = elements * sizeof(float);
    Tensors tensors{reinterpret_cast<const uint8_t*>(input),
                    reinterpret_cast<uint8_t*>(output),
                    bytes,
                    bytes,
                    state,
                    next};
    GM_TRY(abi::check_given({{"state", state}, {"next", next}}));
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
