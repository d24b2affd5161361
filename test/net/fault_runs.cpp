// How a fault peer runs and judges operations.
#include "fault_runs.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>

#include "transport/clock.h"

namespace gradmesh::net {
namespace {

constexpr uint8_t kUntouched = 0xb5;  // what an output holds before

uint64_t mixed(uint64_t state) {  // SplitMix64 (Steele, Lea, Flood 2014)
  state = (state ^ (state >> 30)) * 0xbf58476d1ce4e5b9;
  state = (state ^ (state >> 27)) * 0x94d049bb133111eb;
  return state ^ (state >> 31);
}

// FNV-1a.
std::string digest(const uint8_t* bytes, size_t count) {
  uint64_t hash = 0xcbf29ce484222325;
  for (size_t at = 0; at < count; ++at) hash = (hash ^ bytes[at]) * 0x100000001b3;
  char text[17];
  std::snprintf(text, sizeof text, "%016llx", static_cast<unsigned long long>(hash));
  return text;
}

// What of this rank's output means anything.
Range meaningful(const ScheduleRequest& request) {
  const std::string name = collective_name(request.collective);
  if (name == "reduce_scatter")
    return chunk_range(request.elements, request.codec->traits.block_elements, request.ranks, request.rank);
  if (name == "tree_reduce" && request.rank != request.root) return {};
  return {0, request.elements};
}

uint32_t index_of(const std::string& what, const std::string& name, const char* (*name_of)(uint32_t),
                  uint32_t limit) {
  for (uint32_t index = 0; index < limit; ++index)
    if (name_of(index) != nullptr && name == name_of(index)) return index;
  die(what + " is " + name);
}

}  // namespace

struct Runs::Work {
  uint64_t number = 0, id = 0;
  std::shared_ptr<const Plan> plan;
  std::vector<uint32_t> members;
  std::vector<uint8_t> input, input_before;
  Memory output;
  std::array<double, kReportLength> report{};
};

std::vector<Range> parse_ranges(const std::string& text) {
  std::vector<Range> ranges;
  if (text.empty() || text == "-") return ranges;
  for (const std::string& each : split(text, '+')) {
    const auto parts = split(each, ':');
    if (parts.size() != 2) die("a range is " + each);
    ranges.push_back(
        {std::strtoull(parts[0].c_str(), nullptr, 10), std::strtoull(parts[1].c_str(), nullptr, 10)});
  }
  return ranges;
}

std::string ranges_json(const std::vector<Range>& ranges) {
  std::string text = "[";
  for (const Range& range : ranges)
    text += std::string(text.size() == 1 ? "" : ",") + "[" + std::to_string(range.begin) + "," +
            std::to_string(range.elements) + "]";
  return text + "]";
}

std::string code_name(gm_code code) {
  constexpr const char* kNames[] = {"ok",       "invalid",  "peer_lost",    "timeout", "aborted",
                                    "mismatch", "protocol", "unauthorized", "closed"};
  return code < std::size(kNames) ? kNames[code] : "code " + std::to_string(code);
}

Json& put_status(Json& json, const Status& status) {
  json.text("code", code_name(status.code()));
  return status ? json : json.text("message", status.message());
}

ScheduleRequest Runs::request(const Words& words) const {
  const std::vector<uint32_t> members = words.list("members");
  const auto own = std::find(members.begin(), members.end(), peer_);
  if (own == members.end()) die("this peer is not among members=" + words.text("members"));
  ScheduleRequest request;
  request.collective = index_of("collective", words.text("collective"), collective_name, 64);
  request.ranks = static_cast<uint32_t>(members.size());
  request.rank = static_cast<uint32_t>(own - members.begin());
  request.root = words.small("root");
  request.elements = words.count("elements");
  request.segment_elements = words.count("segment", 65536);
  request.codec = codec_find(words.text("codec", "fp32"));
  request.dtype = static_cast<Dtype>(index_of(
      "dtype", words.text("dtype", "fp32"), [](uint32_t index) { return dtype_name(Dtype(index)); },
      kDtypes));
  request.reduction = static_cast<Reduction>(index_of(
      "reduction", words.text("reduction", "mean"),
      [](uint32_t index) { return reduction_name(Reduction(index)); }, kReductions));
  request.topology = words.text("topology");
  request.round = words.count("round");
  request.islands = words.list("islands");
  if (words.has("held"))
    for (const std::string& each : split(words.text("held"), '/')) request.held.push_back(parse_ranges(each));
  return request;
}

// Values of many magnitudes, so that an order of adding shows in the bits; the same at the same place of the
// whole tensor.
std::vector<uint8_t> Runs::input(const Words& words, const ScheduleRequest& request) const {
  std::vector<float> values(request.elements);
  for (uint64_t at = 0; at < values.size(); ++at) {
    const uint64_t bits = mixed(seed_ + (uint64_t{peer_} << 48) + words.count("first") + at);
    const auto mantissa = static_cast<float>(static_cast<int64_t>(bits >> 40) - (1 << 23));
    values[at] = std::ldexp(mantissa, static_cast<int>(bits % 12) - 26);
  }
  const Codec& codec = *codec_find(dtype_name(request.dtype));
  std::vector<uint8_t> memory(codec.bytes(values.size()));
  codec_loops(codec).encode(codec.options, {}, values.data(), values.size(), memory.data());
  return memory;
}

Runs::Memory Runs::output(const Words& words, size_t bytes) {
  const std::string name = words.text("keep");
  const std::lock_guard lock(mutex_);
  if (const auto found = kept_.find(name); found != kept_.end()) {
    if (found->second->size() != bytes) die("the kept output " + name + " has another size");
    return found->second;
  }
  auto memory = std::make_shared<std::vector<uint8_t>>(bytes, kUntouched);
  if (!name.empty()) kept_[name] = memory;
  return memory;
}

void Runs::post(Endpoint& endpoint, const Words& words, const std::map<uint32_t, uint32_t>& links) {
  auto work = std::make_shared<Work>();
  work->number = words.number();
  work->id = words.count("id");
  work->members = words.list("members");
  const Status planned = Plan::make(request(words), &work->plan);
  if (!planned) die(planned.message());
  const ScheduleRequest& request = work->plan->request;
  work->input = input(words, request);
  work->input_before = work->input;
  work->output = output(words, work->input.size());
  OperationRequest operation{.id = work->id, .plan = work->plan};
  for (const uint32_t member : work->members) {
    if (member != peer_ && links.count(member) == 0) die("no link to peer " + std::to_string(member));
    operation.links.push_back(member == peer_ ? -1 : static_cast<int32_t>(links.at(member)));
  }
  operation.seed = seed_;
  operation.input = work->input.data();
  operation.output = work->output->data();
  operation.report = work->report.data();
  operation.limit_ms = words.small("limit", 30'000);
  operation.done = [work](const Status& status) { answer(*work, status); };
  endpoint.run(std::move(operation));
}

void Runs::answer(Work& work, const Status& status) {
  const Range part = meaningful(work.plan->request);
  const size_t size = dtype_bytes(work.plan->request.dtype);
  const auto lost = static_cast<int>(work.report[4]);
  Json json;
  put_status(json.number("answer", work.number), status)
      .number("id", work.id)
      .number("at", now_ns())
      .number("seconds", work.report[3])
      .number("steps", static_cast<uint64_t>(work.report[5]))
      .number("lost", lost < 0 ? -1 : static_cast<int>(work.members.at(static_cast<size_t>(lost))))
      .text("digest", digest(work.output->data() + part.begin * size, part.elements * size))
      .raw("inputIntact", work.input == work.input_before ? "true" : "false")
      .write();
}

void Runs::compare(const Words& words) const {
  const std::lock_guard lock(mutex_);
  const auto a = kept_.find(words.text("a")), b = kept_.find(words.text("b"));
  if (a == kept_.end() || b == kept_.end()) die("compare: nothing is kept under such a name");
  const uint64_t first = words.count("first");
  const size_t size = words.count("size", 4);
  uint64_t differ = 0;
  for (const Range& range : parse_ranges(words.text("ranges")))
    for (uint64_t at = range.begin; at < range.begin + range.elements; ++at) {
      const size_t in_a = at * size, in_b = (at - first) * size;
      if (in_a + size > a->second->size() || in_b + size > b->second->size()) die("compare: out of range");
      differ += std::memcmp(&(*a->second)[in_a], &(*b->second)[in_b], size) != 0;
    }
  Json().number("answer", words.number()).text("code", "ok").number("differ", differ).write();
}

void Runs::forget() {
  const std::lock_guard lock(mutex_);
  kept_.clear();
}

}  // namespace gradmesh::net
