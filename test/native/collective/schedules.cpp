// Every schedule, checked without a network: ranks are simulated in a random interleaving, memory holds for
// each element how often each rank's contribution is in it.
#include <algorithm>
#include <array>
#include <deque>
#include <map>
#include <set>

#include "check.h"
#include "collective/schedule.h"

using namespace gradmesh;

namespace {

using Random = std::mt19937_64;

// What one element holds: four bits for each rank, so that a contribution counted twice shows.
using Content = uint64_t;
constexpr Content kJunk = ~Content{0};

Content contribution(uint32_t rank) { return Content{1} << (4 * rank % 64); }

struct Value {
  Content sum = kJunk;
  bool mean = false;
  bool operator==(const Value&) const = default;
};

struct Frame {
  uint64_t tag;
  uint64_t bytes;
  std::vector<Value> values;
};

struct Rank {
  Schedule schedule;
  std::vector<Value> output;
  std::map<uint64_t, std::vector<Value>> staging;  // by offset
  std::vector<bool> done;
  uint32_t left = 0;
};

struct World {
  ScheduleRequest request;
  std::vector<Rank> ranks;
  std::map<std::pair<uint32_t, uint32_t>, std::deque<Frame>> wires;  // (sender, receiver)
  std::vector<uint64_t> sent;
  std::string fault;
};

std::string name(const ScheduleRequest& request) {
  return std::string(collective_name(request.collective)) + " ranks " + std::to_string(request.ranks) +
         " elements " + std::to_string(request.elements) + " codec " + request.codec->name + " segment " +
         std::to_string(request.segment_elements) + " root " + std::to_string(request.root);
}

bool inside(const World& world, const Rank& rank, const Region& region) {
  if (region.space != Space::staging) return region.offset + region.elements <= world.request.elements;
  return region.offset + world.request.codec->bytes(region.elements) <= rank.schedule.staging_bytes;
}

std::vector<Value> read(World& world, uint32_t who, const Region& region) {
  Rank& rank = world.ranks[who];
  if (!inside(world, rank, region)) world.fault = "a source lies outside its memory";
  if (region.space == Space::input) return std::vector<Value>(region.elements, {contribution(who), false});
  if (region.space == Space::staging) {
    auto values = rank.staging[region.offset];
    if (values.size() != region.elements) world.fault = "a source in staging was never written as such";
    values.resize(region.elements);
    return values;
  }
  const auto begin = rank.output.begin() + static_cast<std::ptrdiff_t>(region.offset);
  return {begin, begin + static_cast<std::ptrdiff_t>(region.elements)};
}

void write(World& world, uint32_t who, const Region& region, const std::vector<Value>& values) {
  Rank& rank = world.ranks[who];
  if (!inside(world, rank, region) || region.space == Space::input || values.size() != region.elements) {
    world.fault = "a target lies outside its memory, in the input, or has another size than its source";
    return;
  }
  if (region.space == Space::staging)
    rank.staging[region.offset] = values;
  else
    std::copy(values.begin(), values.end(), rank.output.begin() + static_cast<std::ptrdiff_t>(region.offset));
}

std::vector<Value> sum(World& world, uint32_t who, const Step& step) {
  std::vector<Value> total(step.target.elements, {0, false});
  for (const Region& source : step.sources) {
    const auto part = read(world, who, source);
    for (size_t at = 0; at < total.size() && at < part.size(); ++at) {
      if (part[at].sum == kJunk || part[at].mean)
        world.fault = "a sum takes in something that is no contribution";
      if ((total[at].sum & part[at].sum) != 0) world.fault = "a contribution is summed twice";
      total[at].sum |= part[at].sum;
    }
  }
  return total;
}

Content everyone(const World& world) {
  Content all = 0;
  for (uint32_t rank = 0; rank < world.request.ranks; ++rank) all |= contribution(rank);
  return all;
}

// Runs one step; false where it has to wait for a frame.
bool run(World& world, uint32_t who, uint32_t index) {
  const Step& step = world.ranks[who].schedule.steps[index];
  if (step.kind == StepKind::send) {
    const uint64_t bytes = world.request.codec->bytes(step.sources[0].elements);
    world.wires[{who, step.peer}].push_back({step.tag, bytes, read(world, who, step.sources[0])});
    world.sent[who] += bytes;
  } else if (step.kind == StepKind::recv) {
    // A link gives its frames in order: one that isn't due yet holds up those behind it.
    auto& wire = world.wires[{step.peer, who}];
    if (wire.empty() || wire.front().tag != step.tag) return false;
    if (wire.front().bytes != world.request.codec->bytes(step.target.elements)) world.fault = "sizes differ";
    write(world, who, step.target, wire.front().values);
    wire.pop_front();
  } else if (step.kind == StepKind::add || step.kind == StepKind::mean) {
    auto total = sum(world, who, step);
    for (Value& value : total) {
      if (step.kind == StepKind::mean && value.sum != everyone(world)) world.fault = "a mean lacks a rank";
      value.mean = step.kind == StepKind::mean;
    }
    write(world, who, step.target, total);
  } else {
    auto values = read(world, who, step.sources[0]);
    for (Value& value : values) {
      if (step.kind == StepKind::divide && (value.mean || value.sum != everyone(world)))
        world.fault = "divided before the sum is whole";
      if (step.kind == StepKind::divide) value.mean = true;
    }
    write(world, who, step.target, values);
  }
  return true;
}

bool may_run(const Rank& rank, uint32_t index) {
  if (rank.done[index]) return false;
  for (const uint32_t wait : rank.schedule.steps[index].waits)
    if (!rank.done[wait]) return false;
  return true;
}

bool prepare(World& world) {
  const uint32_t ranks = world.request.ranks;
  world.ranks.resize(ranks);
  world.sent.resize(ranks);
  for (uint32_t who = 0; who < ranks; ++who) {
    Rank& rank = world.ranks[who];
    ScheduleRequest request = world.request;
    request.rank = who;
    if (!write_schedule(request, &rank.schedule)) return false;
    rank.output.resize(request.elements);
    rank.left = static_cast<uint32_t>(rank.schedule.steps.size());
    rank.done.resize(rank.left);
    std::set<std::tuple<StepKind, uint32_t, uint64_t>> tags;
    for (uint32_t index = 0; index < rank.left; ++index) {
      const Step& step = rank.schedule.steps[index];
      for (const uint32_t wait : step.waits)
        if (wait >= index) world.fault = "a step waits for a later one";
      const bool remote = step.kind == StepKind::send || step.kind == StepKind::recv;
      if (remote && (step.peer >= ranks || step.peer == who)) world.fault = "a step's peer is impossible";
      if (remote && !tags.insert({step.kind, step.peer, step.tag}).second)
        world.fault = "a tag is used twice";
    }
  }
  return true;
}

bool overlap(const ScheduleRequest& request, const Region& a, const Region& b) {
  const auto length = [&](const Region& region) {
    return region.space == Space::staging ? request.codec->bytes(region.elements) : region.elements;
  };
  return a.space == b.space && a.offset < b.offset + length(b) && b.offset < a.offset + length(a);
}

// Two steps that touch the same memory, one of them writing, are ordered by waits: no luck of timing is
// needed.
void check_hazards(World& world, const Schedule& schedule) {
  const size_t steps = schedule.steps.size();
  std::vector<std::vector<bool>> before(steps, std::vector<bool>(steps));  // [later][earlier]
  for (size_t later = 0; later < steps; ++later) {
    const Step& step = schedule.steps[later];
    for (const uint32_t wait : step.waits) {
      before[later][wait] = true;
      for (size_t at = 0; at < wait; ++at) before[later][at] = before[later][at] || before[wait][at];
    }
    for (size_t earlier = 0; earlier < later; ++earlier) {
      const Step& other = schedule.steps[earlier];
      bool clash = step.kind != StepKind::send && other.kind != StepKind::send &&
                   overlap(world.request, step.target, other.target);
      for (const Region& source : step.sources)
        clash = clash || (other.kind != StepKind::send && overlap(world.request, source, other.target));
      for (const Region& source : other.sources)
        clash = clash || (step.kind != StepKind::send && overlap(world.request, source, step.target));
      if (clash && !before[later][earlier]) world.fault = "two steps race for the same memory";
    }
  }
}

// Ranks take turns at random, each doing a random step that may run, until nothing moves.
void simulate(World& world, Random& random) {
  std::vector<std::vector<uint32_t>> open(world.ranks.size());
  for (size_t who = 0; who < open.size(); ++who)
    for (uint32_t index = 0; index < world.ranks[who].done.size(); ++index) open[who].push_back(index);
  for (bool moved = true; moved && world.fault.empty();) {
    moved = false;
    std::vector<uint32_t> order(world.ranks.size());
    for (uint32_t who = 0; who < order.size(); ++who) order[who] = who;
    std::shuffle(order.begin(), order.end(), random);
    for (const uint32_t who : order) {
      Rank& rank = world.ranks[who];
      std::shuffle(open[who].begin(), open[who].end(), random);
      uint64_t budget = random() % 4 + 1;
      std::erase_if(open[who], [&](uint32_t index) {
        if (budget == 0 || !may_run(rank, index) || !run(world, who, index)) return false;
        rank.done[index] = true;
        moved = true;
        --budget;
        return true;
      });
    }
  }
  for (size_t who = 0; who < open.size() && world.fault.empty(); ++who)
    if (!open[who].empty()) world.fault = "the ranks wait for each other";
}

void check_result(World& world) {
  const bool broadcast = std::string_view(collective_name(world.request.collective)) == "broadcast";
  const bool copied = broadcast || (world.request.ranks == 1 && world.request.collective == 0);
  const Value due{broadcast ? contribution(world.request.root) : everyone(world), !copied};
  for (const Rank& rank : world.ranks)
    for (const Value& value : rank.output)
      if (!(value == due)) world.fault = "an output lacks a contribution";
  for (const auto& [ends, wire] : world.wires)
    if (!wire.empty()) world.fault = "a send has no recv";
  for (uint32_t who = 0; who < world.request.ranks; ++who) {
    ScheduleRequest request = world.request;
    request.rank = who;
    Cost cost;
    CHECK(static_cast<bool>(collective_cost(request, &cost)));
    if (cost.bytes_sent != world.sent[who]) world.fault = "the cost row says other bytes than are sent";
  }
}

void check_schedule(const ScheduleRequest& request, Random& random) {
  World world{.request = request, .ranks = {}, .wires = {}, .sent = {}, .fault = {}};
  CHECK(prepare(world));
  constexpr size_t kStepsMax = 300;  // the check takes their square
  for (const Rank& rank : world.ranks)
    if (rank.schedule.steps.size() <= kStepsMax) check_hazards(world, rank.schedule);
  if (world.fault.empty()) simulate(world, random);
  if (world.fault.empty()) check_result(world);
  CHECK_THAT(world.fault.empty(), world.fault + ": " + name(request));
}

void check_collective(uint32_t collective, const char* codec_name) {
  Random random(check::seed());
  const Codec* codec = codec_find(codec_name);
  const uint64_t block = codec->traits.block_elements;
  for (uint32_t ranks = 1; ranks <= kRanksMax; ++ranks) {
    std::vector<uint64_t> lengths = {0, 1, ranks - 1, ranks, ranks + 1, 7 * ranks + 3, 255, 256, 257};
    for (const uint64_t blocks : {uint64_t{ranks - 1}, uint64_t{ranks}, uint64_t{2 * ranks + 1}})
      if (block > 1) lengths.push_back(blocks * block + random() % block);
    for (const uint64_t elements : lengths) {
      const uint64_t segment =
          std::array<uint64_t, 5>{1 + random() % 40, block, 2 * block, block + 1, 65536}[random() % 5];
      check_schedule({.collective = collective,
                      .ranks = ranks,
                      .root = static_cast<uint32_t>(random() % ranks),
                      .elements = elements,
                      .segment_elements = segment,
                      .codec = codec},
                     random);
    }
  }
}

}  // namespace

TEST(
    "ring schedules reduce each contribution once, match sends with recvs, never wait in a circle, cost what "
    "they say") {
  check_collective(0, "fp32");
}
TEST("direct schedules likewise, int8") { check_collective(1, "int8_block"); }
TEST("direct schedules likewise, bf16") { check_collective(1, "bf16"); }
TEST("direct schedules likewise, fp32") { check_collective(1, "fp32"); }
TEST("broadcast schedules likewise") {
  check_collective(2, "fp32");
  check_collective(2, "int8_block");
}

TEST("a schedule request names the field that is wrong") {
  const ScheduleRequest good{.collective = 1, .ranks = 4, .elements = 100, .codec = codec_find("int8_block")};
  const auto refused = [&](auto change, const char* field) {
    ScheduleRequest request = good;
    change(request);
    Schedule schedule;
    const Status status = write_schedule(request, &schedule);
    CHECK_THAT(status.code() == GM_INVALID_ARGUMENT, field);
    CHECK_THAT(status.message().find(field) == 0, status.message());
  };
  refused([](auto& request) { request.collective = 9; }, "collective");
  refused([](auto& request) { request.codec = nullptr; }, "codec");
  refused([](auto& request) { request.collective = 0; }, "codec");
  refused([](auto& request) { request.ranks = 0; }, "ranks");
  refused([](auto& request) { request.ranks = kRanksMax + 1; }, "ranks");
  refused([](auto& request) { request.rank = 4; }, "rank");
  refused([](auto& request) { request.root = 4; }, "root");
  refused([](auto& request) { request.elements = kElementsMax + 1; }, "elements");
  refused([](auto& request) { request.segment_elements = 0; }, "segment_elements");
  refused([](auto& request) { request.segment_elements = kSegmentElementsMax + 1; }, "segment_elements");
  refused([](auto& request) { request.elements = kElementsMax, request.segment_elements = 1; },
          "segment_elements");
}
