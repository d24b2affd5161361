// Candidates from schedules, then the choice.
#include "collective/advise.h"

#include <algorithm>

#include "collective/region.h"
#include "topology/choose.h"
#include "topology/islands.h"
#include "topology/json.h"
#include "topology/ring_order.h"
#include "transport/frame.h"

namespace gradmesh {
namespace {

constexpr const char* kAllReduces[] = {"direct", "ring", "halving_doubling", "hierarchical"};

// What each rank sends to each: payload and the frames' headers. Counted in the largest segments that the
// schedule can have; smaller ones only add headers.
Status count_bytes(ScheduleRequest request, std::vector<double>* bytes) {
  const uint32_t ranks = request.ranks;
  bytes->assign(size_t{ranks} * ranks, 0.0);
  for (request.rank = 0; request.rank < ranks; ++request.rank) {
    Schedule schedule;
    GM_TRY(write_schedule(request, &schedule));
    for (const Step& step : schedule.steps)
      if (step.kind == StepKind::send)
        (*bytes)[size_t{request.rank} * ranks + step.peer] += static_cast<double>(
            region_bytes(wires_of(request), request.dtype, step.sources[0]) + kFrameHeaderBytes);
  }
  return Status::ok();
}

// A ring's ranks stand where the order says: what rank i sends to i + 1 goes from order[i] to order[i + 1].
std::vector<double> placed(const std::vector<double>& bytes, const std::vector<uint32_t>& order) {
  const size_t ranks = order.size();
  std::vector<double> result(bytes.size());
  for (size_t from = 0; from < ranks; ++from)
    for (size_t to = 0; to < ranks; ++to) result[order[from] * ranks + order[to]] = bytes[from * ranks + to];
  return result;
}

// A host sends as fast as the fastest of its links, whatever their number.
HostCaps caps_of(const LinkMatrix& links) {
  HostCaps caps;
  caps.egress.assign(links.ranks, 0.0);
  caps.ingress.assign(links.ranks, 0.0);
  for (uint32_t from = 0; from < links.ranks; ++from)
    for (uint32_t to = 0; to < links.ranks; ++to) {
      if (from == to) continue;
      caps.egress[from] = std::max(caps.egress[from], links.bandwidth_of(from, to));
      caps.ingress[to] = std::max(caps.ingress[to], links.bandwidth_of(from, to));
    }
  return caps;
}

std::vector<uint32_t> leaders_of(const Islands& found, uint32_t ranks) {
  std::vector<uint32_t> leaders;
  if (found.islands.size() < 2 || found.islands.size() == ranks) return leaders;
  leaders.resize(ranks);
  for (const Island& island : found.islands)
    for (const uint32_t member : island.members) leaders[member] = island.leader;
  return leaders;
}

Status candidate(const ScheduleRequest& request, const std::vector<uint32_t>& order, Candidate* result) {
  result->name = collective_name(request.collective);
  result->bytes.assign(size_t{request.ranks} * request.ranks, 0.0);
  if (result->name == "hierarchical" && request.islands.empty()) {
    result->refused = "the ranks are one island, or each is one of its own";
    return Status::ok();
  }
  if (const Status status = check_request(request); !status) {
    result->refused = status.message();
    return Status::ok();
  }
  Cost cost;
  GM_TRY(collective_cost(request, &cost));
  GM_TRY(count_bytes(request, &result->bytes));
  result->latency_steps = cost.latency_steps;
  if (result->name != "ring") return Status::ok();
  result->waits = Waits::around;
  result->bytes = placed(result->bytes, order);
  return Status::ok();
}

std::string quoted(const std::string& text) {
  std::string json = "\"";
  for (const char letter : text) {
    if (letter == '"' || letter == '\\') json += '\\';
    json += letter == '\n' ? std::string("\\n") : std::string(1, letter);
  }
  return json + "\"";
}

// A prediction of what can't end is infinite, which JSON has no number for.
std::string seconds_json(double seconds) {
  return seconds < kLatencySecondsMax * 1e9 ? json_number(seconds) : "null";
}

std::string describe(const Advice& advice, const Choice& choice, const std::vector<Candidate>& candidates) {
  std::string json = "{\"collective\":" + quoted(candidates[choice.chosen].name) +
                     ",\"explain\":" + quoted(choice.explain) + ",\"order\":" + json_list(advice.order) +
                     ",\"islands\":" + json_list(advice.islands) + ",\"candidates\":[";
  for (size_t at = 0; at < candidates.size(); ++at) {
    const Prediction& predicted = choice.predictions[at];
    json += std::string(at == 0 ? "" : ",") + "{\"collective\":" + quoted(candidates[at].name) +
            ",\"seconds\":" + seconds_json(predicted.seconds) +
            ",\"latencySeconds\":" + seconds_json(predicted.latency_seconds) +
            ",\"transferSeconds\":" + seconds_json(predicted.transfer_seconds) +
            ",\"bytesSentMax\":" + json_number(predicted.bytes_sent_max) +
            ",\"limit\":" + quoted(predicted.limit) + ",\"refused\":" + quoted(candidates[at].refused) + "}";
  }
  return json + "]}";
}

uint32_t id_of(const std::string& name) {
  uint32_t id = 0;
  while (collective_name(id) != name) ++id;
  return id;
}

}  // namespace

Status advise(const ScheduleRequest& given, const LinkMatrix& links, Advice* advice) {
  GM_TRY(check_links(links));
  if (links.ranks != given.ranks)
    return {GM_INVALID_ARGUMENT, "ranks is " + std::to_string(given.ranks) +
                                     "; allowed: " + std::to_string(links.ranks) + ", that of the matrices"};
  RingOrder order;
  GM_TRY(ring_order(links, {}, &order));
  Islands islands;
  GM_TRY(find_islands(links, 0, &islands));
  advice->order = order.order;
  advice->islands = leaders_of(islands, links.ranks);
  std::vector<Candidate> candidates(std::size(kAllReduces));
  for (size_t at = 0; at < candidates.size(); ++at) {
    ScheduleRequest request = given;
    request.collective = id_of(kAllReduces[at]);
    request.segment_elements = kSegmentElementsMax;
    if (std::string(kAllReduces[at]) == "hierarchical") request.islands = advice->islands;
    GM_TRY(candidate(request, order.order, &candidates[at]));
  }
  Choice choice;
  GM_TRY(choose_algorithm(links, caps_of(links), candidates, &choice));
  advice->collective = id_of(candidates[choice.chosen].name);
  advice->json = describe(*advice, choice, candidates);
  return Status::ok();
}

}  // namespace gradmesh
