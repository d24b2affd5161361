// The simulator against times that can be written down, and at the size that it is for.
#include "collective/simulate.h"

#include <cmath>

#include "schedule_world.h"

using namespace gradmesh;

namespace {

constexpr double kRate = 125e6, kDelay = 0.05;

LinkModel equal_links() {
  LinkModel model;
  model.uplink_bytes_per_second = model.downlink_bytes_per_second = {kRate};
  model.delay_seconds = [](uint32_t, uint32_t) { return kDelay; };
  return model;
}

ScheduleRequest request_for(const char* collective, uint32_t ranks, uint64_t elements) {
  ScheduleRequest request{.collective = schedule_world::id_of(collective),
                          .ranks = ranks,
                          .elements = elements,
                          .codec = codec_find("fp32")};
  request.segment_elements = kSegmentElementsMax;
  return request;
}

Simulated simulated(const ScheduleRequest& request, const LinkModel& model) {
  Simulated result;
  const Status status = simulate(request, model, &result);
  CHECK_THAT(static_cast<bool>(status), status.message());
  return result;
}

void check_close(double found, double due, double share = 1e-9) {
  CHECK_THAT(std::abs(found - due) <= share * due,
             std::to_string(found) + " instead of " + std::to_string(due));
}

double cost_seconds(const ScheduleRequest& request) {
  Cost cost;
  CHECK(static_cast<bool>(collective_cost(request, &cost)));
  return cost.latency_steps * kDelay + static_cast<double>(cost.bytes_sent) / kRate;
}

}  // namespace

TEST("on equal links the time is that of the cost row: latency steps and bytes") {
  for (const uint32_t ranks : {2u, 4u, 8u, 16u})
    for (const char* collective :
         {"ring", "direct", "halving_doubling", "reduce_scatter", "all_gather", "gather_mean"}) {
      const ScheduleRequest request = request_for(collective, ranks, 16 * 65536);
      const Simulated result = simulated(request, equal_links());
      check_close(result.seconds, cost_seconds(request), 1e-6);
      Cost cost;
      CHECK(static_cast<bool>(collective_cost(request, &cost)));
      CHECK(result.bytes_most == cost.bytes_sent && result.bytes == ranks * cost.bytes_sent);
    }
}

TEST("a slow downlink holds up those who send to it, a slow uplink its own") {
  LinkModel model = equal_links();
  model.downlink_bytes_per_second = {kRate / 4, kRate, kRate, kRate};
  ScheduleRequest request = request_for("tree_reduce", 4, 1 << 20);
  request.segment_elements = 1 << 20;
  const double tensor = (1 << 22) / kRate;
  // Rank 1's tensor and then that of rank 2, which waited for rank 3's, pass the root's downlink at a quarter
  // of the rate: the first from the delay on, the other behind it.
  check_close(simulated(request, model).seconds, kDelay + 8 * tensor, 1e-6);
  model = equal_links();
  model.uplink_bytes_per_second = {kRate, kRate, kRate, kRate / 10};
  check_close(simulated(request, model).seconds, 2 * kDelay + 11 * tensor, 1e-6);
}

TEST("local steps take a host's time one after the other, and each frame its own") {
  LinkModel model = equal_links();
  model.coding_seconds_per_byte = 1e-9;
  model.frame_seconds = 0.001;
  model.frame_bytes = 125;  // a microsecond
  ScheduleRequest request = request_for("broadcast", 2, 1 << 20);
  const double tensor = 1 << 22;
  check_close(simulated(request, model).seconds, kDelay + tensor / kRate + 0.001 + 1e-6, 1e-6);
  request.codec = codec_find("int8_block");
  const auto coded = static_cast<double>(request.codec->bytes(1 << 20));
  check_close(simulated(request, model).seconds, 2 * tensor * 1e-9 + kDelay + coded / kRate + 0.001 + 1e-6,
              1e-6);
}

TEST("a window that doubles each round trip: slow start") {
  LinkModel model = equal_links();
  model.initial_window_bytes = 10'000;
  model.window_bytes = 160'000;
  // 10, 20, 40, 80 and then 160 thousand bytes in a round trip: 470 thousand in six.
  const ScheduleRequest request = request_for("broadcast", 2, 470'000 / 4);
  const double last = 160'000 / kRate;
  const double found = simulated(request, model).seconds;
  CHECK_THAT(found > 5 * 2 * kDelay + kDelay && found < 5 * 2 * kDelay + kDelay + 6 * last,
             std::to_string(found));
}

TEST("a fixed window bounds a stream to its size in a round trip") {
  LinkModel model = equal_links();
  model.initial_window_bytes = model.window_bytes = 100'000;
  const ScheduleRequest request = request_for("broadcast", 2, 1'000'000);
  check_close(simulated(request, model).seconds, 4'000'000 / (100'000 / (2 * kDelay)), 0.02);
}

TEST("the time line names each phase's frames") {
  const Simulated result = simulated(request_for("direct", 4, 4 << 10), equal_links());
  CHECK(result.phases.size() == 2 && result.frames == 24);
  CHECK(result.phases[0].begin == 0 && result.phases[1].begin >= kDelay &&
        result.phases[1].end == result.seconds);
  CHECK(result.phases[0].frames == 12 && result.phases[0].bytes == result.phases[1].bytes);
}

TEST("ranks that begin at their own times: each ends when what it waits for has come") {
  LinkModel model = equal_links();
  const double tensor = (1 << 22) / kRate;
  // Broadcast: from when the root begins, and no sooner than a rank begins itself.
  model.ready_seconds = {2, 0, 50};
  const Simulated broadcast = simulated(request_for("broadcast", 3, 1 << 20), model);
  check_close(broadcast.finish_seconds[0], 2 + 2 * tensor);
  // The two links share the uplink evenly.
  CHECK(broadcast.finish_seconds[1] > 2 + kDelay + 1.5 * tensor &&
        broadcast.finish_seconds[1] < 2 + kDelay + 2 * tensor);
  check_close(broadcast.finish_seconds[2], 50);
  check_close(broadcast.seconds, 50);
  // A reduction waits for its last rank; of gather_mean, that one finds the others' tensors there.
  model.ready_seconds = {0, 0, 50};
  const Simulated gathered = simulated(request_for("gather_mean", 3, 1 << 20), model);
  for (const uint32_t rank : {0u, 1u})
    CHECK(gathered.finish_seconds[rank] > 50 + kDelay + tensor * 0.99 &&
          gathered.finish_seconds[rank] < 50 + kDelay + 2 * tensor * 1.01);
  check_close(gathered.finish_seconds[2], 50 + 2 * tensor);
  // Where all begin later, all ends as much later.
  const ScheduleRequest request = request_for("direct", 4, 100'000);
  LinkModel at_once = equal_links(), later = equal_links();
  later.ready_seconds = {7, 7, 7, 7};
  const Simulated first = simulated(request, at_once), second = simulated(request, later);
  for (uint32_t rank = 0; rank < 4; ++rank)
    check_close(second.finish_seconds[rank], first.finish_seconds[rank] + 7);
}

TEST("a model that means nothing is refused") {
  const auto refused = [](const char* field, auto change) {
    LinkModel model = equal_links();
    change(model);
    Simulated result;
    const Status status = simulate(request_for("direct", 4, 100), model, &result);
    CHECK_THAT(status.code() == GM_INVALID_ARGUMENT && status.message().find(field) == 0, status.message());
  };
  refused("uplink_bytes_per_second", [](auto& model) { model.uplink_bytes_per_second = {0}; });
  refused("downlink_bytes_per_second", [](auto& model) { model.downlink_bytes_per_second = {1, 2, 3}; });
  refused("ready_seconds", [](auto& model) { model.ready_seconds = {0, 0, 0}; });
  refused("ready_seconds", [](auto& model) { model.ready_seconds = {0, 0, 0, -1}; });
  refused("ready_seconds", [](auto& model) { model.ready_seconds = {0, 0, 0, std::nan("")}; });
  refused("delay_seconds", [](auto& model) { model.delay_seconds = nullptr; });
  refused("coding_seconds_per_byte", [](auto& model) { model.coding_seconds_per_byte = -1; });
  refused("piece_bytes", [](auto& model) { model.piece_bytes = 0; });
  refused("window_bytes", [](auto& model) { model.initial_window_bytes = 1; });
}

TEST("256 ranks") {
  for (const char* collective : {"ring", "direct", "halving_doubling"}) {
    const ScheduleRequest request = request_for(collective, 256, 256 * 256);
    check_close(simulated(request, equal_links()).seconds, cost_seconds(request), 1e-3);
  }
}
