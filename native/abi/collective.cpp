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

Status check_memory(const ScheduleRequest& request, bool input_read, gm_f32s input, gm_f32s output,
                    gm_f64s report) {
  if (input.length != output.length && (input_read || input.length != 0))
    return invalid("input has " + std::to_string(input.length) + " elements and output " +
                   std::to_string(output.length) + "; allowed: the same");
  const std::less<const float*> before;
  if (input.length > 0 && before(input.data, output.data + output.length) &&
      before(output.data, input.data + input.length))
    return invalid("input and output overlap; allowed: memory apart, because the input stays intact");
  if (report.length < kReportLength)
    return invalid("report has " + std::to_string(report.length) +
                   " elements; allowed: " + std::to_string(kReportLength) + " or more");
  return Status::ok();
}

}  // namespace

extern "C" {

int32_t gm_collective_run(uint32_t endpoint, gm_i32s links, uint64_t operation, uint32_t collective,
                          uint32_t rank, uint32_t root, uint32_t codec, uint64_t segment_elements,
                          uint32_t limit_ms, gm_f32s input, gm_f32s output, gm_f64s report, uint32_t cancel,
                          gm_done done, void* context) {
  return abi::guard([&]() -> Status {
    const auto found = abi::endpoints().find(endpoint);
    if (found == nullptr) return abi::closed("endpoint", endpoint);
    GM_TRY(abi::check_limit(limit_ms));
    GM_TRY(abi::check_given({{"links", links},
                             {"input", input},
                             {"output", output},
                             {"report", report},
                             {"done", reinterpret_cast<void*>(done)}}));
    const ScheduleRequest request{
        collective,       static_cast<uint32_t>(links.length), rank, root, output.length, segment_elements,
        codec_find(codec)};
    Cost cost;
    GM_TRY(collective_cost(request, &cost));
    GM_TRY(check_links(links, rank));
    const bool input_read = std::string_view(collective_name(collective)) != "broadcast" || rank == root;
    GM_TRY(check_memory(request, input_read, input, output, report));
    if (operation == 0) return invalid("operation is 0; allowed: 1 or more, ascending");
    found->run(
        {.id = operation,
         .schedule = request,
         .links = {links.data, links.data + links.length},
         .input = input.data,
         .output = output.data,
         .report = report.data,
         .limit_ms = limit_ms,
         .cancel = abi::cancels().find(cancel),
         .done = [=](const Status& status) { done(context, status.code(), status.message().c_str()); }});
    return Status::ok();
  });
}

int32_t gm_collective_plan(uint32_t collective, uint32_t ranks, uint32_t rank, uint32_t root,
                           uint64_t elements, uint32_t codec, uint64_t segment_elements,
                           gm_text_out* result) {
  return abi::guard([&]() -> Status {
    const ScheduleRequest request{collective,       ranks, rank, root, elements, segment_elements,
                                  codec_find(codec)};
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
    const ScheduleRequest request{collective,       ranks, rank, root, elements, segment_elements,
                                  codec_find(codec)};
    GM_TRY(abi::check_given({{"result", result}}));
    Cost cost;
    GM_TRY(collective_cost(request, &cost));
    return abi::copy_text("{\"latencySteps\":" + std::to_string(cost.latency_steps) +
                              ",\"bytesSent\":" + std::to_string(cost.bytes_sent) + "}",
                          result);
  });
}

}  // extern "C"
