// Collectives among ranks of one process give what they give in whatever order of events; what they refuse.
// schedules.cpp runs every row through them.
#include "schedule_local.h"

#include <algorithm>

#include "collective/local.h"
#include "collective/salvage.h"

using namespace gradmesh;
using schedule_world::Random;
using schedule_world::World;

namespace schedule_local {

Result run(const ScheduleRequest& request, const std::vector<std::vector<uint8_t>>& inputs, uint32_t threads,
           const std::vector<std::vector<float>>& states, const std::vector<std::vector<uint8_t>>& outputs) {
  const size_t bytes = request.elements * dtype_bytes(request.dtype);
  const auto inputs_before = inputs;
  const auto states_before = states;
  Result result;
  result.outputs = outputs;
  result.outputs.resize(request.ranks, std::vector<uint8_t>(bytes, 0xfb));
  result.nexts.assign(request.ranks,
                      std::vector<float>(request.feeds_back() ? request.elements : 0, World::kJunk));
  result.sent.assign(request.ranks, -1);
  std::vector<LocalRank> ranks(request.ranks);
  ScheduleRequest own = request;
  for (own.rank = 0; own.rank < request.ranks; ++own.rank) {
    LocalRank& rank = ranks[own.rank];
    const Status status = Plan::make(own, &rank.plan);
    CHECK_THAT(static_cast<bool>(status), status.message());
    rank.input = inputs[own.rank].data();
    rank.output = result.outputs[own.rank].data();
    rank.state = states.empty() ? nullptr : states[own.rank].data();
    rank.next = result.nexts[own.rank].data();
  }
  const Status status =
      LocalGroup(threads).run(ranks, schedule_world::kSeed, schedule_world::kStep, result.sent.data());
  CHECK_THAT(static_cast<bool>(status), status.message() + ": " + schedule_world::describe(request));
  CHECK(inputs == inputs_before);
  for (size_t rank = 0; rank < states.size(); ++rank)
    CHECK(schedule_world::same_bits(states[rank], states_before[rank]));
  return result;
}

}  // namespace schedule_local

TEST("ranks of one process go on from what a failed operation finished, as others do") {
  Random random(check::seed());
  for (const char* name : {"direct", "ring", "halving_doubling", "hierarchical"})
    for (int repeat = 0; repeat < 6; ++repeat) {
      ScheduleRequest request{
          .collective = schedule_world::id_of(name),
          .ranks = static_cast<uint32_t>(2 + random() % 5),
          .elements = 900,
          .segment_elements = 64,
          .codec = codec_find(name == std::string("direct") ? "int8_block:block=16" : "fp32")};
      for (uint32_t rank = 0; rank < request.ranks && name == std::string("hierarchical"); ++rank)
        request.islands.push_back(rank / 2 * 2);
      request.held.resize(request.ranks);
      for (auto& held : request.held)
        for (uint64_t at = random() % 90; at + 40 < request.elements; at += 40 + random() % 300)
          held.push_back({at, 1 + random() % 39});
      std::vector<std::vector<uint8_t>> inputs, outputs;
      std::normal_distribution<float> normal(0, 1);
      for (uint32_t rank = 0; rank < request.ranks; ++rank)
        for (auto* tensors : {&inputs, &outputs}) {
          std::vector<float> values(request.elements);
          for (float& x : values) x = normal(random);
          tensors->push_back(schedule_world::to_memory(Dtype::fp32, values));
        }
      const auto world = schedule_world::check_world(request, inputs, random, outputs);
      const auto local = schedule_local::run(request, inputs, 1 + repeat % 3, {}, outputs);
      for (uint32_t rank = 0; rank < request.ranks; ++rank)
        CHECK_THAT(local.outputs[rank] == world->output(rank), schedule_world::describe(request));
    }
}

TEST("a group keeps its threads and memory for the next collective, larger or smaller") {
  Random random(check::seed());
  LocalGroup group(2);
  for (const uint64_t elements : {10u, 40'000u, 0u, 333u}) {
    ScheduleRequest request{.collective = schedule_world::id_of("direct"),
                            .ranks = 3,
                            .elements = elements,
                            .codec = codec_find("int4_block")};
    std::vector<std::vector<float>> inputs(3, std::vector<float>(elements)), outputs = inputs;
    for (auto& values : inputs)
      for (float& x : values) x = static_cast<float>(random() % 15) - 7;
    std::vector<LocalRank> ranks(3);
    for (request.rank = 0; request.rank < 3; ++request.rank) {
      LocalRank& rank = ranks[request.rank];
      CHECK(static_cast<bool>(Plan::make(request, &rank.plan)));
      rank.input = reinterpret_cast<const uint8_t*>(inputs[request.rank].data());
      rank.output = reinterpret_cast<uint8_t*>(outputs[request.rank].data());
    }
    std::vector<double> sent(3, -1);
    CHECK(static_cast<bool>(group.run(ranks, 1, 1, sent.data())));
    for (uint32_t rank = 0; rank < 3; ++rank) {
      CHECK(outputs[rank] == outputs[0]);
      CHECK(sent[rank] == static_cast<double>(ranks[rank].plan->cost.bytes_sent));
    }
    for (uint64_t at = 0; at < elements; ++at) {
      const float mean = (inputs[0][at] + inputs[1][at] + inputs[2][at]) / 3;
      CHECK(std::abs(outputs[0][at] - mean) <= 1.01f);  // half a scale, twice
    }
  }
}

TEST("plans that are not one of each rank of the same collective are refused") {
  ScheduleRequest request{.collective = 1, .ranks = 2, .elements = 8, .codec = codec_find("fp32")};
  std::vector<float> memory(64);
  const auto rank_of = [&](uint32_t rank, auto change) {
    ScheduleRequest own = request;
    own.rank = rank;
    change(own);
    LocalRank local;
    CHECK(static_cast<bool>(Plan::make(own, &local.plan)));
    local.input = reinterpret_cast<const uint8_t*>(&memory[16 * rank]);
    local.output = reinterpret_cast<uint8_t*>(&memory[16 * rank + 8]);
    return local;
  };
  const auto nothing = [](ScheduleRequest&) {};
  const auto refused = [&](const std::vector<LocalRank>& ranks, const char* words) {
    double sent[2];
    const Status status = LocalGroup(1).run(ranks, 0, 0, sent);
    CHECK(status.code() == GM_INVALID_ARGUMENT);
    CHECK_THAT(status.message().find(words) != std::string::npos, status.message());
  };
  refused({}, "plans is an empty list");
  refused({rank_of(0, nothing)}, "plans[0] is of 2 ranks; allowed: 1");
  refused({rank_of(1, nothing), rank_of(0, nothing)}, "plans[0] is of rank 1");
  refused({rank_of(0, nothing), rank_of(1, [](auto& own) { own.elements = 7; })},
          "plans[1] differs from plans[0]: elements is 8 here and 7 at rank 1");
  refused({rank_of(0, nothing), rank_of(1, [](auto& own) { own.down = codec_find("bf16"); })},
          "plans[1] differs from plans[0]: details");
  CHECK(std::all_of(memory.begin(), memory.end(), [](float x) { return x == 0; }));
}
