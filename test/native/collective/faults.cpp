// What goes wrong in the middle of a collective ends it on every rank, with the same typed error, inputs
// intact, and leaves the other links fit for the next one.
#include "group.h"

using namespace group;

namespace {

using Inputs = std::vector<std::vector<float>>;

struct Case {
  uint32_t collective;
  const char* codec;
};
constexpr Case kCases[] = {{0, "fp32"}, {1, "int8_block"}, {1, "fp32"}, {2, "bf16"}};

Call small_call(const Case& which, uint64_t id) {
  return {.id = id, .collective = which.collective, .codec = codec_find(which.codec), .segment = 256};
}

std::string name(const Case& which, uint32_t steps) {
  return std::string(collective_name(which.collective)) + " " + which.codec + " after step " +
         std::to_string(steps);
}

uint32_t steps_of(const Call& call, uint32_t ranks, uint32_t rank, uint64_t elements) {
  Schedule schedule;
  CHECK(static_cast<bool>(write_schedule(request_of(call, ranks, rank, elements), &schedule)));
  return static_cast<uint32_t>(schedule.steps.size());
}

// The ranks either all succeeded with the same bytes, or all failed with this code and lost rank.
void check_alike(const std::vector<Result>& results, gm_code code, double lost, const std::string& where) {
  for (const Result& result : results) {
    CHECK_THAT(result.status.code() == results[0].status.code(), where + ": " + result.status.message());
    CHECK_THAT(result.status.code() == GM_OK || result.status.code() == code,
               where + ": " + result.status.message());
    if (result.status)
      CHECK_THAT(same_bytes(result.output, results[0].output), where);
    else
      CHECK_THAT(result.report[4] == lost, where + ": lost " + std::to_string(result.report[4]));
  }
}

void check_next(Group& group, const std::vector<uint32_t>& members, const Inputs& inputs,
                const std::string& where) {
  Inputs theirs;
  for (const uint32_t member : members) theirs.push_back(inputs[member]);
  const auto results = group.run({.id = 1'000, .segment = 256}, theirs, members);
  for (const Result& result : results) {
    CHECK_THAT(static_cast<bool>(result.status), where + ", the next: " + result.status.message());
    CHECK_THAT(same_bytes(result.output, results[0].output), where);
  }
}

// Ends all links of a rank at once, as the kernel does for a process that is killed.
void drop_links(Group& group, uint32_t rank) {
  for (const int32_t link : group.links(rank))
    if (link >= 0) group.endpoint(rank).close_link(static_cast<uint32_t>(link));
}

bool names(const Status& status, const std::string& word) {
  return status.message().find(word) != std::string::npos;
}

}  // namespace

TEST("a rank that dies after any of its steps: the survivors end alike, and go on without it") {
  std::mt19937_64 random(check::seed());
  const uint32_t ranks = 4, victim = 2;
  const Inputs inputs = random_inputs(ranks, 2'100, random);
  uint32_t failures = 0;
  for (const Case& which : kCases)
    for (uint32_t steps = 0, all = steps_of(small_call(which, 1), ranks, victim, 2'100); steps <= all;
         ++steps) {
      Group group(ranks);
      group.endpoint(victim).after_steps(1, steps, [&] { drop_links(group, victim); });
      auto results = group.run(small_call(which, 1), inputs);
      for (uint32_t rank = 0; rank < ranks; ++rank) CHECK(same_bytes(results[rank].input, inputs[rank]));
      results.erase(results.begin() + victim);
      check_alike(results, GM_PEER_LOST, victim, name(which, steps));
      failures += !results[0].status;
      check_next(group, {0, 1, 3}, inputs, name(which, steps));
    }
  CHECK(failures > 20);
}

TEST("a link that dies after any step: every rank learns that a rank was lost, and other pairs go on") {
  std::mt19937_64 random(check::seed());
  const Inputs inputs = random_inputs(3, 1'000, random);
  for (const Case& which : kCases)
    for (uint32_t steps = 0, all = steps_of(small_call(which, 1), 3, 1, 1'000); steps < all; ++steps) {
      Group group(3);
      group.endpoint(1).after_steps(
          1, steps, [&] { group.endpoint(1).close_link(static_cast<uint32_t>(group.links(1)[0])); });
      for (const Result& result : group.run(small_call(which, 1), inputs)) {
        CHECK_THAT(result.status.code() == GM_PEER_LOST || result.status.code() == GM_OK, name(which, steps));
        if (!result.status) CHECK_THAT(result.report[4] == 0 || result.report[4] == 1, name(which, steps));
      }
      check_next(group, {0, 2}, inputs, name(which, steps));
    }
}

TEST("a frozen rank is found by its silence") {
  std::mt19937_64 random(check::seed());
  const Inputs inputs = random_inputs(3, 2'000, random);
  for (const uint32_t steps : {0u, 3u}) {
    Group group(3, {.silence_limit_ms = 200, .encrypted = false});
    std::promise<void> thaw;
    group.endpoint(0).after_steps(1, steps, [&] { thaw.get_future().wait(); });
    std::vector<std::future<Result>> futures;
    for (uint32_t rank = 0; rank < 3; ++rank)
      futures.push_back(group.post(rank, small_call(kCases[1], 1), inputs[rank]));
    std::vector<Result> survivors;
    survivors.push_back(futures[1].get());
    survivors.push_back(futures[2].get());
    CHECK(survivors[0].status.code() == GM_PEER_LOST);
    check_alike(survivors, GM_PEER_LOST, 0, "frozen");
    check_next(group, {1, 2}, inputs, "frozen");
    thaw.set_value();
    CHECK(futures[0].get().status.code() == GM_PEER_LOST);
  }
}

TEST("heartbeats keep an idle link: a slow trainer is no frozen peer") {
  std::mt19937_64 random(check::seed());
  const Inputs inputs = random_inputs(2, 100, random);
  Group group(2, {.silence_limit_ms = 100, .encrypted = false});
  // Four heartbeats make a silence limit; wait for five limits' worth.
  const auto heartbeats = [&] { return group.endpoint(0).traffic().control_received / 36; };
  const uint64_t before = heartbeats();
  CHECK(eventually([&] { return heartbeats() >= before + 20; }));
  check_next(group, {0, 1}, inputs, "idle");
}

TEST("different arguments end the operation on all ranks, naming the field") {
  std::mt19937_64 random(check::seed());
  const auto differ = [&](const char* field, const Call& odd, size_t elements) {
    Group group(3);
    const Inputs inputs = random_inputs(3, 3'000, random);
    Inputs given = inputs;
    given[1].resize(elements);
    std::vector<std::future<Result>> futures;
    for (uint32_t rank = 0; rank < 3; ++rank)
      futures.push_back(group.post(rank, rank == 1 ? odd : small_call(kCases[1], 1), given[rank]));
    for (auto& future : futures) {
      const Result result = future.get();
      CHECK_THAT(result.status.code() == GM_MISMATCH, std::string(field) + ": " + result.status.message());
      CHECK_THAT(names(result.status, field), result.status.message());
    }
    check_next(group, {0, 1, 2}, inputs, field);
  };
  Call call = small_call(kCases[1], 1);
  differ("elements", call, 2'999);
  differ("collective", small_call(kCases[3], 1), 3'000);
  differ("codec", small_call(kCases[2], 1), 3'000);
  call.root = 2;
  differ("root", call, 3'000);
  call.root = 0;
  call.segment = 512;
  differ("segment_elements", call, 3'000);
  call.segment = 256;
  call.seed++;
  differ("seed", call, 3'000);
  call.seed--;
  call.step++;
  differ("step", call, 3'000);
}

TEST("different groups, or ranks in another order, are a mismatch too") {
  std::mt19937_64 random(check::seed());
  const Inputs inputs = random_inputs(3, 3'000, random);
  Group group(3);
  std::vector<int32_t> pair = {group.links(0)[0], group.links(0)[1]};
  auto first = group.post(0, {.id = 1}, inputs[0], pair);
  auto second = group.post(1, {.id = 1}, inputs[1]);
  auto third = group.post(2, {.id = 1}, inputs[2]);
  for (auto* future : {&first, &second, &third}) {
    const Result result = future->get();
    CHECK_THAT(result.status.code() == GM_MISMATCH, result.status.message());
  }
  auto swapped = group.post(0, {.id = 2}, inputs[0], {-1, group.links(0)[2], group.links(0)[1]});
  auto honest = group.post(1, {.id = 2}, inputs[1]);
  auto other = group.post(2, {.id = 2}, inputs[2]);
  for (auto* future : {&swapped, &honest, &other}) {
    const Result result = future->get();
    CHECK_THAT(result.status.code() == GM_MISMATCH && names(result.status, "rank"), result.status.message());
  }
  check_next(group, {0, 1, 2}, inputs, "groups");
}

TEST("a cancelled operation ends on all ranks, also on one that comes to it later") {
  std::mt19937_64 random(check::seed());
  const Inputs inputs = random_inputs(3, 5'000, random);
  Group group(3);
  Call call = small_call(kCases[0], 1);
  auto other = group.post(1, call, inputs[1]);
  call.cancel = std::make_shared<Cancel>();
  auto cancelled = group.post(0, call, inputs[0]);
  call.cancel->raise();
  for (auto* future : {&cancelled, &other}) CHECK(future->get().status.code() == GM_ABORTED);
  call.cancel = nullptr;
  const Result late = group.post(2, call, inputs[2]).get();
  CHECK(late.status.code() == GM_ABORTED && names(late.status, "cancelled"));
  check_next(group, {0, 1, 2}, inputs, "cancelled");
}

TEST("an operation out of time names the ranks that it awaits") {
  std::mt19937_64 random(check::seed());
  const Inputs inputs = random_inputs(4, 5'000, random);
  Group group(4);
  std::vector<std::future<Result>> futures;
  for (const uint32_t rank : {0u, 1u, 3u}) {
    Call call = small_call(kCases[1], 1);
    call.limit_ms = rank == 0 ? 50 : kPatienceMs;
    futures.push_back(group.post(rank, call, inputs[rank]));
  }
  for (auto& future : futures) {
    const Result result = future.get();
    CHECK(result.status.code() == GM_TIMEOUT && names(result.status, "2"));
    CHECK(result.report[4] == -1);
  }
  CHECK(group.post(2, small_call(kCases[1], 1), inputs[2]).get().status.code() == GM_TIMEOUT);
  check_next(group, {0, 1, 2, 3}, inputs, "out of time");
}

TEST("an endpoint that closes in the middle is lost to the others, and closed to its caller") {
  std::mt19937_64 random(check::seed());
  const Inputs inputs = random_inputs(3, 5'000, random);
  Group group(3);
  auto gone = group.post(0, small_call(kCases[0], 1), inputs[0]);
  auto one = group.post(1, small_call(kCases[0], 1), inputs[1]);
  group.endpoint(0).close();
  CHECK(gone.get().status.code() == GM_CLOSED);
  const Result result = one.get();
  CHECK_THAT(result.status.code() == GM_PEER_LOST && result.report[4] == 0, result.status.message());
  // A rank that starts after the loss hears of it, or finds the link dead.
  const Result late = group.post(2, small_call(kCases[0], 1), inputs[2]).get();
  CHECK_THAT(late.status.code() == GM_PEER_LOST && late.report[4] == 0, late.status.message());
  CHECK(group.post(0, small_call(kCases[0], 2), inputs[0]).get().status.code() == GM_CLOSED);
  check_next(group, {1, 2}, inputs, "closed");
}

TEST("impossible operations are refused by the argument") {
  std::mt19937_64 random(check::seed());
  const Inputs inputs = random_inputs(2, 10, random);
  Group group(2);
  check_next(group, {0, 1}, inputs, "first");
  const Result old = group.post(0, {.id = 1'000}, inputs[0]).get();
  CHECK(old.status.code() == GM_INVALID_ARGUMENT && names(old.status, "operation"));
  const Result unknown = group.post(0, {.id = 1'001}, inputs[0], {-1, 99}).get();
  CHECK(unknown.status.code() == GM_CLOSED && names(unknown.status, "links[1]"));
  uint32_t expected = 0;
  CHECK(static_cast<bool>(group.endpoint(0).expect(random_secrets(), kPatienceMs, &expected)));
  const Result early = group.post(0, {.id = 1'002}, inputs[0], {-1, static_cast<int32_t>(expected)}).get();
  CHECK(early.status.code() == GM_INVALID_ARGUMENT && names(early.status, "not open"));
}
