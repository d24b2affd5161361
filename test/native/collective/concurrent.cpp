// Several collectives at once on one group: in any order on each rank, none waits for another, and each ends
// with the bytes that it has alone.
#include "group.h"

using namespace group;

namespace {

using Inputs = std::vector<std::vector<float>>;

struct Posted {
  Call call;
  Inputs inputs;
};

std::vector<Posted> some_calls(uint32_t ranks, uint32_t count, size_t elements, std::mt19937_64& random) {
  const std::pair<uint32_t, const char*> kinds[] = {
      {0, "fp32"}, {1, "int8_block"}, {1, "fp32"}, {2, "bf16"}, {1, "bf16"}};
  std::vector<Posted> posted;
  for (uint32_t at = 0; at < count; ++at) {
    const auto& [collective, codec] = kinds[random() % std::size(kinds)];
    posted.push_back({{.id = 1'000 - 7 * at,  // the numbers need no order either
                       .collective = collective,
                       .codec = codec_find(codec),
                       .segment = 1024},
                      random_inputs(ranks, elements + random() % 999, random)});
  }
  return posted;
}

// What each call gives when it runs alone.
std::vector<std::vector<float>> alone(uint32_t ranks, const std::vector<Posted>& posted) {
  Group group(ranks);
  std::vector<std::vector<float>> outputs;
  for (const Posted& one : posted) outputs.push_back(group.run(one.call, one.inputs)[0].output);
  return outputs;
}

}  // namespace

TEST("sixteen collectives at once, posted in another order on each rank") {
  std::mt19937_64 random(check::seed());
  const uint32_t ranks = 4;
  for (const uint32_t streams : {1u, 3u})
    for (const size_t elements : {size_t{5'000}, size_t{300'000}}) {
      const auto posted = some_calls(ranks, static_cast<uint32_t>(kOperationsMax), elements, random);
      const auto due = alone(ranks, posted);
      Group group(ranks, {.encrypted = streams > 1}, streams);
      std::vector<std::vector<std::future<Result>>> futures(ranks);
      for (uint32_t rank = 0; rank < ranks; ++rank) {
        std::vector<size_t> order(posted.size());
        for (size_t at = 0; at < order.size(); ++at) order[at] = at;
        std::shuffle(order.begin(), order.end(), random);
        futures[rank].resize(posted.size());
        for (const size_t at : order)
          futures[rank][at] = group.post(rank, posted[at].call, posted[at].inputs[rank]);
      }
      for (uint32_t rank = 0; rank < ranks; ++rank)
        for (size_t at = 0; at < posted.size(); ++at) {
          const Result result = futures[rank][at].get();
          CHECK_THAT(static_cast<bool>(result.status), result.status.message());
          CHECK(same_bytes(result.output, due[at]));
          CHECK(same_bytes(result.input, posted[at].inputs[rank]));
        }
    }
}

TEST("ranks that wait for one collective before they post the other meet in both") {
  std::mt19937_64 random(check::seed());
  Group group(2);
  // More than what a rank takes before it has begun, so that the sender has to wait for it.
  const auto inputs = random_inputs(2, 6'000'000, random);
  const Call first{.id = 1, .collective = 1}, second{.id = 2, .collective = 0};
  auto waiting = group.post(0, first, inputs[0]);
  auto other = group.post(1, second, inputs[1]);
  auto meets = group.post(0, second, inputs[0]);
  const Result one = other.get(), two = meets.get();
  CHECK_THAT(one.status && two.status && same_bytes(one.output, two.output), one.status.message());
  const Result late = group.post(1, first, inputs[1]).get(), early = waiting.get();
  CHECK_THAT(late.status && early.status && same_bytes(late.output, early.output), late.status.message());
}

TEST("too many at once are refused with a typed error, and the rest go on") {
  std::mt19937_64 random(check::seed());
  Group group(2);
  const auto inputs = random_inputs(2, 1'000, random);
  std::vector<std::future<Result>> waiting;
  for (uint64_t id = 1; id <= kOperationsMax; ++id)
    waiting.push_back(group.post(0, {.id = id, .collective = 1}, inputs[0]));
  const Result refused = group.post(0, {.id = 99, .collective = 1}, inputs[0]).get();
  CHECK(refused.status.code() == GM_INVALID_ARGUMENT);
  CHECK(refused.status.message().find("16 are under way") != std::string::npos);
  const Result twice = group.post(0, {.id = 3, .collective = 1}, inputs[0]).get();
  CHECK(twice.status.code() == GM_INVALID_ARGUMENT);
  for (uint64_t id = kOperationsMax; id >= 1; --id)
    CHECK(static_cast<bool>(group.post(1, {.id = id, .collective = 1}, inputs[1]).get().status));
  for (auto& one : waiting) CHECK(static_cast<bool>(one.get().status));
  const Result again = group.post(0, {.id = 3, .collective = 1}, inputs[0]).get();
  CHECK_THAT(again.status.code() == GM_INVALID_ARGUMENT, again.status.message());
}

TEST("a rank lost in the middle ends every collective under way, and each says who") {
  std::mt19937_64 random(check::seed());
  const uint32_t ranks = 3, victim = 1;
  for (const uint32_t steps : {0u, 5u, 20u}) {
    Group group(ranks);
    const auto posted = some_calls(ranks, 6, 20'000, random);
    group.endpoint(victim).after_steps(posted[2].call.id, steps, [&] {
      for (const int32_t link : group.links(victim))
        if (link >= 0) group.endpoint(victim).close_link(static_cast<uint32_t>(link));
    });
    std::vector<std::vector<std::future<Result>>> futures(ranks);
    for (uint32_t rank = 0; rank < ranks; ++rank)
      for (const Posted& one : posted) futures[rank].push_back(group.post(rank, one.call, one.inputs[rank]));
    for (size_t at = 0; at < posted.size(); ++at) {
      const Result left = futures[0][at].get(), right = futures[2][at].get();
      CHECK_THAT(left.status.code() == right.status.code(), left.status.message() + right.status.message());
      if (left.status)
        CHECK(same_bytes(left.output, right.output));
      else
        CHECK(left.status.code() == GM_PEER_LOST && left.report[4] == victim);
    }
    for (auto& future : futures[victim]) future.get();
  }
}
