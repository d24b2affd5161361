// A failed operation's finished parts are kept with their own contributors, only the rest runs again, and
// every survivor ends with the same bytes.
#include "collective/salvage.h"

#include <algorithm>

#include "schedule_reference.h"
#include "schedule_world.h"

using namespace gradmesh;
using schedule_world::Random;

namespace {

using Memory = std::vector<std::vector<uint8_t>>;

std::vector<std::vector<float>> draw(const ScheduleRequest& request, Random& random) {
  std::normal_distribution<float> normal(0, 1);
  std::vector<std::vector<float>> inputs(request.ranks);
  for (auto& values : inputs) {
    for (uint64_t at = 0; at < request.elements; ++at) values.push_back(normal(random));
    values = schedule_world::from_memory(request.dtype, schedule_world::to_memory(request.dtype, values));
  }
  return inputs;
}
Memory memory_of(Dtype dtype, const std::vector<std::vector<float>>& values) {
  Memory memory;
  for (const auto& each : values) memory.push_back(schedule_world::to_memory(dtype, each));
  return memory;
}

// The reference for the survivors: kept elements from the whole operation, gaps each from an operation on it
// alone. That the gap's elements are coded as those of their place is checked by codecs whose random numbers
// depend on it.
std::vector<uint8_t> due(const ScheduleRequest& before, const ScheduleRequest& after,
                         const std::vector<std::vector<float>>& all,
                         const std::vector<std::vector<float>>& left) {
  auto values = schedule_reference::expected(before, all)[0].values;
  for (const Contributors& each : contributors(after, before.ranks)) {
    if (each.ranks == before.ranks) continue;
    ScheduleRequest part = after;
    part.held.clear();
    part.elements = each.range.elements;
    std::vector<std::vector<float>> inputs;
    for (const auto& input : left) {
      const auto begin = input.begin() + static_cast<std::ptrdiff_t>(each.range.begin);
      inputs.emplace_back(begin, begin + static_cast<std::ptrdiff_t>(part.elements));
    }
    const auto again = schedule_reference::expected(part, inputs)[0].values;
    std::copy(again.begin(), again.end(), values.begin() + static_cast<std::ptrdiff_t>(each.range.begin));
  }
  return schedule_world::to_memory(after.dtype, values);
}

void check_salvage(const char* collective, const char* codec, Dtype dtype, Random& random) {
  const auto ranks = static_cast<uint32_t>(2 + random() % 6);
  ScheduleRequest before{
      .collective = schedule_world::id_of(collective), .ranks = ranks, .codec = codec_find(codec)};
  before.dtype = dtype;
  before.elements = 40 + random() % 700;
  before.segment_elements = 1 + random() % 60;
  if (std::string(collective) == "hierarchical") before.islands.assign(ranks, 0);
  const auto inputs = draw(before, random);
  schedule_world::World failed(before, memory_of(dtype, inputs));
  uint64_t steps = 0;
  for (uint32_t rank = 0; rank < ranks; ++rank) steps += failed.schedule(rank).steps.size();
  CHECK(failed.run(random, random() % (steps + 1)).empty());

  const uint32_t lost =
      std::string(collective) == "broadcast" || ranks == 2 ? ranks - 1 : uint32_t(random() % ranks);
  ScheduleRequest after = before;
  after.ranks = ranks - 1;
  if (!after.islands.empty()) after.islands.assign(after.ranks, 0);
  std::vector<std::vector<float>> left;
  Memory outputs;
  for (uint32_t rank = 0; rank < ranks; ++rank) {
    if (rank == lost) continue;
    left.push_back(inputs[rank]);
    outputs.push_back(failed.output(rank));
    after.held.push_back(finished_ranges(failed.schedule(rank), failed.done(rank)));
  }
  const auto world = schedule_world::check_world(after, memory_of(dtype, left), random, outputs);
  const auto expected = due(before, after, inputs, left);
  for (uint32_t rank = 0; rank < after.ranks; ++rank)
    CHECK_THAT(world->output(rank) == expected, "salvaged rank " + std::to_string(rank) + ", lost " +
                                                    std::to_string(lost) + ": " +
                                                    schedule_world::describe(before));
}

}  // namespace

// Codecs without random numbers, whose reference on a gap alone is that of its place.
TEST("what is finished when a rank is lost at a random step is kept, the rest is reduced again") {
  Random random(check::seed());
  for (int repeat = 0; repeat < 12; ++repeat)
    for (const char* collective :
         {"ring", "direct", "broadcast", "halving_doubling", "tree_broadcast", "hierarchical"}) {
      check_salvage(collective, "fp32", Dtype::fp32, random);
      check_salvage(collective, "bf16", Dtype::bf16, random);
      if (std::string(collective) == "halving_doubling") continue;
      check_salvage(collective, "int8_block:block=16", Dtype::fp32, random);
      check_salvage(collective, "int4_block:block=32", Dtype::fp16, random);
    }
}

TEST("a gap is coded as the elements of its place in the whole") {
  Random random(check::seed());
  ScheduleRequest request{.collective = schedule_world::id_of("direct"),
                          .ranks = 3,
                          .elements = 16 * 20,
                          .codec = codec_find("int4_block:block=16,rounding=stochastic")};
  const auto inputs = draw(request, random);
  const auto whole = schedule_world::check_world(request, memory_of(request.dtype, inputs), random);
  // Rank 1 holds a part that begins and ends inside blocks.
  request.held = {{}, {{37, 101}}, {}};
  Memory outputs(3, std::vector<uint8_t>(request.elements * 4));
  outputs[1] = whole->output(1);
  const auto again = schedule_world::check_world(request, memory_of(request.dtype, inputs), random, outputs);
  for (uint32_t rank = 0; rank < 3; ++rank) CHECK(again->output(rank) == whole->output(0));
}

TEST("what is held is narrowed to whole blocks, and each part says whose it is") {
  ScheduleRequest request{.collective = schedule_world::id_of("direct"),
                          .ranks = 2,
                          .elements = 100,
                          .codec = codec_find("int8_block:block=16")};
  request.held = {{{10, 30}}, {{35, 20}, {90, 10}}};
  const auto parts = contributors(request, 3);
  const std::vector<std::tuple<uint64_t, uint64_t, uint32_t>> due = {
      {0, 16, 2}, {16, 32, 3}, {48, 48, 2}, {96, 4, 3}};
  CHECK(parts.size() == due.size());
  for (size_t at = 0; at < parts.size() && at < due.size(); ++at)
    CHECK(std::tuple(parts[at].range.begin, parts[at].range.elements, parts[at].ranks) == due[at]);
}

TEST("very many gaps are joined, and the result is still whole") {
  Random random(check::seed());
  ScheduleRequest request{.collective = schedule_world::id_of("direct"),
                          .ranks = 3,
                          .elements = 3000,
                          .codec = codec_find("fp32")};
  const auto inputs = draw(request, random);
  const auto whole = schedule_world::check_world(request, memory_of(request.dtype, inputs), random);
  request.held.resize(3);
  Memory outputs(3, std::vector<uint8_t>(request.elements * 4));
  for (uint64_t at = 0; at + 6 < request.elements;) {
    const uint64_t length = 1 + random() % 4;
    const auto holder = static_cast<uint32_t>(random() % 3);
    request.held[holder].push_back({at, length});
    std::copy_n(whole->output(holder).begin() + static_cast<std::ptrdiff_t>(4 * at), 4 * length,
                outputs[holder].begin() + static_cast<std::ptrdiff_t>(4 * at));
    at += length + 1 + random() % 2;
  }
  const auto again = schedule_world::check_world(request, memory_of(request.dtype, inputs), random, outputs);
  for (uint32_t rank = 0; rank < 3; ++rank) CHECK(again->output(rank) == whole->output(0));
  size_t gaps = 0;
  for (const Contributors& each : contributors(request, 4)) gaps += each.ranks == 3;
  CHECK(gaps > 1 && gaps <= 128);
}

TEST("ranges of one rank that touch are one piece, sent by the lowest holder to those that lack it") {
  ScheduleRequest request{
      .collective = 1, .ranks = 3, .rank = 1, .elements = 60, .codec = codec_find("fp32")};
  request.held.resize(3);
  for (uint64_t at = 0; at < 60; at += 3) request.held[1].push_back({at, 3});
  request.held[2] = {{30, 30}};
  Schedule schedule;
  CHECK(static_cast<bool>(write_schedule(request, &schedule)));
  uint64_t sent[3] = {};
  for (const Step& step : schedule.steps) {
    CHECK(step.kind == StepKind::send);
    sent[step.peer] += step.sources[0].elements;
  }
  CHECK(schedule.steps.size() == 3 && sent[0] == 60 && sent[2] == 30);
}

TEST("everything held by all is nothing to do") {
  ScheduleRequest request{.collective = 1, .ranks = 3, .elements = 50, .codec = codec_find("fp32")};
  request.held.assign(3, {{0, 50}});
  Schedule schedule;
  CHECK(static_cast<bool>(write_schedule(request, &schedule)));
  CHECK(schedule.steps.empty());
}
