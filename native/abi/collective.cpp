// The C ABI of collectives.
#include <functional>

#include "abi/abi.h"
#include "abi/cancels.h"
#include "abi/endpoints.h"
#include "collective/plan_json.h"

namespace {

using namespace gradmesh;

Status invalid(const std::string& what) { return {GM_INVALID_ARGUMENT, what}; }

Status check_links(gm_i32s links, uint32_t rank) {
  if (links.length == 0 || links.length > kRanksMax)
    return invalid("links has " + std::to_string(links.length) + " entries; allowed: 1 to " +
                   std::to_string(kRanksMax));
  for (size_t at = 0; at < links.length; ++at) {
    const std::string name = "links[" + std::to_string(at) + "] is " + std::to_string(links.data[at]);
    if (at == rank && links.data[at] != -1) return invalid(name + "; allowed: -1, it is one's own");
    if (at != rank && links.data[at] < 1) return invalid(name + "; allowed: a link of the endpoint");
    for (size_t before = 0; before < at; ++before)
      if (links.data[before] == links.data[at])
        return invalid(name + ", like links[" + std::to_string(before) + "]");
  }
  return Status::ok();
}

// Memory that a collective reads and writes: `elements` floats each, on the host or on a device.
struct Tensors {
  const float* input;
  float* output;
  uint64_t input_elements, output_elements;
  device::SharedDevice device{};
};

Status check_memory(bool input_read, const Tensors& tensors, gm_f64s report) {
  const auto [input, output, inputs, outputs, device] = tensors;
  if (inputs != outputs && (input_read || inputs != 0))
    return invalid("input has " + std::to_string(inputs) + " elements and output " + std::to_string(outputs) +
                   "; allowed: the same");
  const std::less<const float*> before;
  if (inputs > 0 && before(input, output + outputs) && before(output, input + inputs))
    return invalid("input and output overlap; allowed: memory apart, because the input stays intact");
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

ScheduleRequest request_of(uint32_t collective, uint64_t ranks, uint32_t rank, uint32_t root,
                           uint64_t elements, uint32_t codec, uint64_t segment_elements) {
  return {collective,       static_cast<uint32_t>(ranks), rank, root, elements, segment_elements,
          codec_find(codec)};
}

// What both forms of a collective check, then the operation itself.
Status run(uint32_t endpoint, gm_i32s links, OperationRequest operation, Tensors tensors, gm_f64s report,
           uint32_t cancel, gm_done done, void* context) {
  const auto found = abi::endpoints().find(endpoint);
  if (found == nullptr) return abi::closed("endpoint", endpoint);
  GM_TRY(abi::check_limit(operation.limit_ms));
  GM_TRY(abi::check_given({{"links", links}, {"report", report}, {"done", reinterpret_cast<void*>(done)}}));
  const ScheduleRequest& schedule = operation.schedule;
  if (operation.step > abi::kStepMax)
    return invalid("step is " + std::to_string(operation.step) + "; allowed: up to " +
                   std::to_string(abi::kStepMax));
  Cost cost;
  GM_TRY(collective_cost(schedule, &cost));
  GM_TRY(check_links(links, schedule.rank));
  const bool input_read =
      std::string_view(collective_name(schedule.collective)) != "broadcast" || schedule.rank == schedule.root;
  GM_TRY(check_memory(input_read, tensors, report));
  if (operation.id == 0) return invalid("operation is 0; allowed: 1 or more, ascending");
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

}  // namespace

extern "C" {

int32_t gm_collective_run(uint32_t endpoint, gm_i32s links, uint64_t operation, uint32_t collective,
                          uint32_t rank, uint32_t root, uint32_t codec, uint64_t seed, uint64_t step,
                          uint64_t segment_elements, uint32_t limit_ms, gm_f32s input, gm_f32s output,
                          gm_f64s report, uint32_t cancel, gm_done done, void* context) {
  return abi::guard([&]() -> Status {
    GM_TRY(abi::check_given({{"input", input}, {"output", output}}));
    OperationRequest request;
    request.id = operation;
    request.schedule =
        request_of(collective, links.length, rank, root, output.length, codec, segment_elements);
    request.seed = seed;
    request.step = step;
    request.limit_ms = limit_ms;
    return run(endpoint, links, std::move(request), {input.data, output.data, input.length, output.length},
               report, cancel, done, context);
  });
}

int32_t gm_collective_run_device(uint32_t endpoint, gm_i32s links, uint64_t operation, uint32_t collective,
                                 uint32_t rank, uint32_t root, uint32_t codec, uint64_t seed, uint64_t step,
                                 uint64_t segment_elements, uint32_t limit_ms, uint32_t device,
                                 uint64_t input, uint64_t output, uint64_t elements, gm_f64s report,
                                 uint32_t cancel, gm_done done, void* context) {
  return abi::guard([&]() -> Status {
    Tensors tensors{reinterpret_cast<const float*>(input), reinterpret_cast<float*>(output), elements,
                    elements};
    GM_TRY(check_address("input", input, elements));
    GM_TRY(check_address("output", output, elements));
    GM_TRY(device::Device::open(device, &tensors.device));
    OperationRequest request;
    request.id = operation;
    request.schedule = request_of(collective, links.length, rank, root, elements, codec, segment_elements);
    request.seed = seed;
    request.step = step;
    request.limit_ms = limit_ms;
    return run(endpoint, links, std::move(request), std::move(tensors), report, cancel, done, context);
  });
}

int32_t gm_collective_plan(uint32_t collective, uint32_t ranks, uint32_t rank, uint32_t root,
                           uint64_t elements, uint32_t codec, uint64_t segment_elements,
                           gm_text_out* result) {
  return abi::guard([&]() -> Status {
    const auto request = request_of(collective, ranks, rank, root, elements, codec, segment_elements);
    GM_TRY(abi::check_given({{"result", result}}));
    Schedule schedule;
    GM_TRY(write_schedule(request, &schedule));
    return abi::copy_text(schedule_json(schedule, *request.codec), result);
  });
}

int32_t gm_collective_cost(uint32_t collective, uint32_t ranks, uint32_t rank, uint32_t root,
                           uint64_t elements, uint32_t codec, uint64_t segment_elements,
                           gm_text_out* result) {
  return abi::guard([&]() -> Status {
    const auto request = request_of(collective, ranks, rank, root, elements, codec, segment_elements);
    GM_TRY(abi::check_given({{"result", result}}));
    Cost cost;
    GM_TRY(collective_cost(request, &cost));
    return abi::copy_text("{\"latencySteps\":" + std::to_string(cost.latency_steps) +
                              ",\"bytesSent\":" + std::to_string(cost.bytes_sent) + "}",
                          result);
  });
}

}  // extern "C"
