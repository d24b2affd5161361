// What a request may not be: the message begins with the field that is wrong.
#include <cmath>
#include <functional>

#include "schedule_world.h"

using namespace gradmesh;

namespace {

using Change = std::function<void(ScheduleRequest&)>;

void check_refused(const ScheduleRequest& good, const char* field, const Change& change) {
  Schedule schedule;
  CHECK_THAT(static_cast<bool>(write_schedule(good, &schedule)), schedule_world::describe(good));
  ScheduleRequest request = good;
  change(request);
  const Status status = write_schedule(request, &schedule);
  CHECK_THAT(status.code() == GM_INVALID_ARGUMENT, field);
  CHECK_THAT(status.message().find(field) == 0, status.message());
  CHECK_THAT(status.message().find("allowed: ") != std::string::npos ||
                 status.message().find("holds") != std::string::npos,
             status.message());
}

ScheduleRequest request_for(const char* collective, const char* codec) {
  return {.collective = schedule_world::id_of(collective),
          .ranks = 4,
          .elements = 100,
          .codec = codec_find(codec)};
}

}  // namespace

TEST("a request's numbers have bounds") {
  const ScheduleRequest good = request_for("direct", "int8_block");
  check_refused(good, "collective", [](auto& request) { request.collective = 99; });
  check_refused(good, "ranks", [](auto& request) { request.ranks = 0; });
  check_refused(good, "ranks", [](auto& request) { request.ranks = kRanksMax + 1; });
  check_refused(good, "rank", [](auto& request) { request.rank = 4; });
  check_refused(good, "root", [](auto& request) { request.root = 4; });
  check_refused(good, "elements", [](auto& request) { request.elements = kElementsMax + 1; });
  check_refused(good, "segment_elements", [](auto& request) { request.segment_elements = 0; });
  check_refused(good, "segment_elements",
                [](auto& request) { request.segment_elements = kSegmentElementsMax + 1; });
  check_refused(good, "segment_elements",
                [](auto& request) { request.elements = kElementsMax, request.segment_elements = 1; });
  ScheduleRequest barrier = request_for("barrier", "fp32");
  barrier.elements = 0;
  check_refused(barrier, "elements", [](auto& request) { request.elements = 1; });
}

TEST("dtype, codec and reduction must fit each other and the row") {
  const ScheduleRequest coded = request_for("direct", "int8_block"),
                        exact = request_for("halving_doubling", "fp32");
  check_refused(coded, "dtype", [](auto& request) { request.dtype = static_cast<Dtype>(3); });
  check_refused(coded, "reduction", [](auto& request) { request.reduction = static_cast<Reduction>(4); });
  check_refused(coded, "reduction", [](auto& request) { request.reduction = Reduction::max; });
  check_refused(coded, "codec", [](auto& request) { request.codec = nullptr; });
  check_refused(exact, "codec", [](auto& request) { request.codec = codec_find("int8_block"); });
  check_refused(exact, "codec", [](auto& request) { request.dtype = Dtype::fp16; });
  check_refused(request_for("broadcast", "bf16"), "reduction",
                [](auto& request) { request.reduction = Reduction::sum; });
}

TEST("weights belong to weighted_mean, topologies to mix, islands to hierarchical") {
  ScheduleRequest weighted = request_for("direct", "fp32");
  weighted.reduction = Reduction::weighted_mean;
  weighted.weights = {1, 0, 2.5, 3};
  check_refused(weighted, "weights is", [](auto& request) { request.weights.pop_back(); });
  check_refused(weighted, "weights[1]", [](auto& request) { request.weights[1] = -1; });
  check_refused(weighted, "weights[2]", [](auto& request) { request.weights[2] = 1.0 / 0.0; });
  check_refused(weighted, "weights is", [](auto& request) { request.weights = {0, 0, 0, 0}; });
  check_refused(weighted, "weights is", [](auto& request) { request.reduction = Reduction::mean; });

  ScheduleRequest mix = request_for("mix", "int8_block");
  mix.topology = "one_peer_exponential";
  check_refused(mix, "topology", [](auto& request) { request.topology = "no_such_graph"; });
  check_refused(mix, "topology", [](auto& request) { request.topology = ""; });
  check_refused(mix, "topology", [](auto& request) { request.collective = schedule_world::id_of("direct"); });

  ScheduleRequest islands = request_for("hierarchical", "int8_block");
  islands.islands = {1, 1, 2, 2};
  check_refused(islands, "islands is", [](auto& request) { request.islands.clear(); });
  check_refused(islands, "islands[0]", [](auto& request) { request.islands[1] = 2; });
  check_refused(islands, "islands[3]", [](auto& request) { request.islands[3] = 4; });
  check_refused(islands, "islands is",
                [](auto& request) { request.collective = schedule_world::id_of("direct"); });
}

TEST("a codec on the way down belongs to direct, feedback to a contractive one") {
  ScheduleRequest good = request_for("direct", "eden:bits=1");
  good.down = codec_find("int4_block");
  good.owner_decay = 1;
  const auto become = [](const char* collective) {
    return [=](auto& request) { request.collective = schedule_world::id_of(collective); };
  };
  check_refused(good, "down is int4_block", become("gather_mean"));
  check_refused(good, "owner_decay is 1", [&](auto& request) {
    become("reduce_scatter")(request);
    request.down = nullptr;
  });
  check_refused(good, "owner_decay is 1.5", [](auto& request) { request.owner_decay = 1.5; });
  check_refused(good, "owner_decay is nan", [](auto& request) { request.owner_decay = std::nan(""); });
  check_refused(good, "down is eden", [](auto& request) { request.down = codec_find("eden"); });
  check_refused(good, "codec is eden", [](auto& request) { request.down = nullptr; });
  check_refused(good, "reduction is sum", [](auto& request) { request.reduction = Reduction::sum; });
  check_refused(good, "held is", [](auto& request) { request.held.resize(4); });
  check_refused(good, "codec is eden:bits=1 and down is dct_topk", [](auto& request) {
    request.down =
        codec_find("dct_topk:rows=65536,columns=4001");  // whole blocks of both take too many elements
  });
  ScheduleRequest largest = request_for("direct", "fp32");
  largest.down = codec_find("int4_block");
  check_refused(largest, "reduction is max", [](auto& request) { request.reduction = Reduction::max; });
  // The codec on its way up again is as none.
  ScheduleRequest same = request_for("direct", "int8_block");
  Schedule plain, named;
  CHECK(static_cast<bool>(write_schedule(same, &plain)));
  same.down = same.codec;
  CHECK(static_cast<bool>(write_schedule(same, &named)) && named.steps.size() == plain.steps.size());
}

TEST("held ranges lie in the tensor, ascend and are of a collective that can be salvaged") {
  ScheduleRequest good = request_for("direct", "fp32");
  good.held = {{{0, 10}, {10, 20}}, {{90, 10}}, {}, {}};
  check_refused(good, "held is", [](auto& request) { request.held.pop_back(); });
  check_refused(good, "held[0]", [](auto& request) { request.held[0][1].begin = 9; });
  check_refused(good, "held[0]", [](auto& request) { request.held[0][0].elements = 0; });
  check_refused(good, "held[1]", [](auto& request) { request.held[1][0].elements = 11; });
  check_refused(good, "held is",
                [](auto& request) { request.collective = schedule_world::id_of("reduce_scatter"); });
}

TEST("the fingerprint of details tells requests apart, and only by them") {
  ScheduleRequest request = request_for("direct", "fp32");
  const uint64_t plain = details_fingerprint(request);
  request.rank = 2;
  CHECK(details_fingerprint(request) == plain);
  std::vector<uint64_t> seen = {plain};
  const auto differs = [&](const Change& change) {
    ScheduleRequest other = request;
    change(other);
    for (const uint64_t print : seen) CHECK(details_fingerprint(other) != print);
    seen.push_back(details_fingerprint(other));
  };
  differs([](auto& other) { other.weights = {1, 2}; });
  differs([](auto& other) { other.weights = {2, 1}; });
  differs([](auto& other) { other.topology = "ring"; });
  differs([](auto& other) { other.islands = {1, 2}; });
  differs([](auto& other) { other.held = {{{1, 2}}, {}}; });
  differs([](auto& other) { other.down = codec_find("int4_block"); });
  differs([](auto& other) { other.down = codec_find("bf16"); });
  differs([](auto& other) { other.owner_decay = 0; });
  differs([](auto& other) { other.owner_decay = 0.5; });
  differs([](auto& other) { other.held = {{}, {{1, 2}}}; });
}

TEST("only the root's input is read where it alone is sent") {
  ScheduleRequest request = request_for("tree_broadcast", "fp32");
  request.root = 2;
  CHECK(!reads_input(request));
  request.rank = 2;
  CHECK(reads_input(request));
  CHECK(reads_input(request_for("direct", "fp32")));
  CHECK(!reads_input(request_for("barrier", "fp32")));
}
