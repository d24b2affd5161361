// Every row of collectives.def against its definition, by bytes, for every dtype, reduction and a choice of
// codecs: no race, no deadlock whatever the order of events, and the bytes and latency that its cost says.
#include <algorithm>
#include <array>

#include "../codec/int_block_reference.h"
#include "collective/rows.h"
#include "schedule_reference.h"
#include "schedule_world.h"

using namespace gradmesh;
using schedule_world::Random;

namespace {

constexpr const char* kCodecs[] = {"fp32",
                                   "bf16",
                                   "int8_block:block=16",
                                   "int4_block:block=16,scale=fp32,rounding=stochastic",
                                   "topk:block=64,k=5",
                                   "eden:block=64,bits=3,scale=least"};
constexpr const char* kGraphs[] = {"ring", "one_peer_exponential", "base:k=2", "pairs", "exponential"};

std::vector<std::vector<float>> draw_inputs(const ScheduleRequest& request, Random& random) {
  static const float specials[] = {
      0.0f, -0.0f, 3e38f, -3e38f, 1e-40f, exact::infinity(), -exact::infinity(), exact::quiet_nan()};
  const bool special = random() % 6 == 0;
  std::normal_distribution<float> normal(0, 1);
  std::vector<std::vector<float>> inputs(request.ranks);
  for (auto& values : inputs) {
    values.resize(request.elements);
    for (float& x : values)
      x = special && random() % 9 == 0 ? specials[random() % std::size(specials)] : normal(random);
    values = schedule_world::from_memory(request.dtype, schedule_world::to_memory(request.dtype, values));
  }
  return inputs;
}

void check_against_reference(const ScheduleRequest& request, Random& random) {
  const auto inputs = draw_inputs(request, random);
  std::vector<std::vector<uint8_t>> memory;
  for (const auto& values : inputs) memory.push_back(schedule_world::to_memory(request.dtype, values));
  const auto world = schedule_world::check_world(request, std::move(memory), random);
  if (request.elements == 0) return;
  const auto expected = schedule_reference::expected(request, inputs);
  const size_t size = dtype_bytes(request.dtype);
  for (uint32_t rank = 0; rank < request.ranks; ++rank) {
    const auto due = schedule_world::to_memory(request.dtype, expected[rank].values);
    const Range part = expected[rank].part;
    const bool equal = std::memcmp(due.data() + part.begin * size,
                                   world->output(rank).data() + part.begin * size, part.elements * size) == 0;
    CHECK_THAT(equal, "rank " + std::to_string(rank) + " differs: " + schedule_world::describe(request));
  }
}

// Draws what a request needs beside the arithmetic.
void draw_rest(ScheduleRequest& request, Random& random) {
  const std::string name = collective_name(request.collective);
  const uint64_t block = request.codec->traits.block_elements, ranks = request.ranks;
  request.root = static_cast<uint32_t>(random() % ranks);
  request.segment_elements = std::array<uint64_t, 5>{7, block, 2 * block, block + 1, 65536}[random() % 5];
  request.elements = std::array<uint64_t, 7>{0,
                                             1,
                                             ranks + 1,
                                             ranks * block,
                                             (2 * ranks + 1) * block + random() % block,
                                             131,
                                             ranks * block + 1}[random() % 7];
  request.segment_elements =
      std::max(request.segment_elements, request.elements / 24);  // so that runs stay short
  if (request.reduction == Reduction::weighted_mean)
    for (uint32_t rank = 0; rank < ranks; ++rank)
      request.weights.push_back(
          rank > 0 && random() % 5 == 0 ? 0 : 0.1 + static_cast<double>(random() % 1000) / 7);
  if (name == "barrier") request.elements = 0;
  if (name == "mix") request.topology = ranks == 1 ? "complete" : kGraphs[random() % std::size(kGraphs)];
  if (name == "mix") request.round = random() % 9;
  if (name != "hierarchical") return;
  std::vector<uint32_t> leaders;
  const uint64_t islands = random() % 3 == 0 ? ranks : 1 + random() % ranks;
  std::vector<uint32_t> order(ranks);
  for (uint32_t rank = 0; rank < ranks; ++rank) order[rank] = rank;
  std::shuffle(order.begin(), order.end(), random);
  request.islands.resize(ranks);
  for (uint32_t at = 0; at < ranks; ++at)
    request.islands[order[at]] = at < islands ? order[at] : order[random() % islands];
}

void check_row(const char* name, std::initializer_list<uint32_t> rank_counts, Random& random) {
  const CollectiveRow* row = find_collective(schedule_world::id_of(name));
  for (uint32_t dtype = 0; dtype < kDtypes; ++dtype)
    for (uint32_t reduction = 0; reduction < kReductions; ++reduction) {
      std::vector<const char*> codecs = {dtype_name(static_cast<Dtype>(dtype))};
      if (row->coded && static_cast<Reduction>(reduction) != Reduction::max)
        codecs.insert(codecs.end(), std::begin(kCodecs), std::end(kCodecs));
      if (((row->reductions == 0 ? 1u : row->reductions) >> reduction & 1) == 0) continue;
      for (const char* codec : codecs)
        for (const uint32_t ranks : rank_counts) {
          ScheduleRequest request{.collective = row->id, .ranks = ranks, .codec = codec_find(codec)};
          request.dtype = static_cast<Dtype>(dtype);
          request.reduction = static_cast<Reduction>(reduction);
          draw_rest(request, random);
          check_against_reference(request, random);
        }
    }
}

// Every number of ranks to 17 with the tensor's own wire, and a few with every codec.
void check_all(const char* name) {
  Random random(check::seed());
  for (int repeat = 0; repeat < 3; ++repeat)
    check_row(name,
              {1, 2, 3, static_cast<uint32_t>(4 + random() % 5), static_cast<uint32_t>(9 + random() % 9)},
              random);
  for (uint32_t ranks = 1; ranks <= 17; ++ranks) {
    ScheduleRequest request{
        .collective = schedule_world::id_of(name), .ranks = ranks, .codec = codec_find("fp32")};
    draw_rest(request, random);
    check_against_reference(request, random);
  }
}

}  // namespace

TEST("ring equals its definition") { check_all("ring"); }
TEST("direct equals its definition") { check_all("direct"); }
TEST("broadcast equals its definition") { check_all("broadcast"); }
TEST("halving_doubling equals its definition") { check_all("halving_doubling"); }
TEST("tree_broadcast equals its definition") { check_all("tree_broadcast"); }
TEST("tree_reduce equals its definition") { check_all("tree_reduce"); }
TEST("reduce_scatter equals its definition") { check_all("reduce_scatter"); }
TEST("all_gather equals its definition") { check_all("all_gather"); }
TEST("barrier has no steps") { check_all("barrier"); }
TEST("mix equals its definition") { check_all("mix"); }
TEST("hierarchical equals its definition") { check_all("hierarchical"); }

TEST("more ranks: 33 and 64") {
  Random random(check::seed());
  for (const char* name :
       {"ring", "direct", "halving_doubling", "tree_broadcast", "tree_reduce", "mix", "hierarchical"}) {
    const uint32_t ranks = random() % 2 == 0 ? 33 : 64;
    ScheduleRequest request{
        .collective = schedule_world::id_of(name), .ranks = ranks, .codec = codec_find("fp32")};
    draw_rest(request, random);
    check_against_reference(request, random);
  }
}

// direct's result, coded, against a reference in wide integers; whatever arrived first.
TEST("direct in int8, int4 and int2 is the wide-integer mean to the last bit, in any order of arrival") {
  Random random(check::seed());
  for (const int bits : {8, 4, 2})
    for (const uint32_t ranks : {2u, 5u, 9u}) {
      const auto& reference = int_block_reference::case_of(bits, 16, false);
      ScheduleRequest request{
          .collective = 1, .ranks = ranks, .elements = 16 * 11 + 5, .codec = reference.codec};
      request.segment_elements = 32;
      const auto inputs = draw_inputs(request, random);
      std::vector<std::vector<uint8_t>> memory, wires;
      for (uint32_t rank = 0; rank < ranks; ++rank) {
        memory.push_back(schedule_world::to_memory(request.dtype, inputs[rank]));
        wires.emplace_back(reference.codec->bytes(request.elements));
        codec_loops(*reference.codec)
            .encode(reference.codec->options, {schedule_world::kSeed, schedule_world::kStep, 0, rank},
                    inputs[rank].data(), request.elements, wires.back().data());
      }
      const auto mean = int_block_reference::reference(reference, wires, request.elements);
      std::vector<float> due(request.elements);
      codec_loops(*reference.codec)
          .decode(reference.codec->options, {schedule_world::kSeed, schedule_world::kStep, 0, kMeanRank},
                  mean.data(), due.size(), due.data());
      for (int repeat = 0; repeat < 3; ++repeat) {
        const auto world = schedule_world::check_world(request, memory, random);
        for (uint32_t rank = 0; rank < ranks; ++rank)
          CHECK(world->output(rank) == schedule_world::to_memory(Dtype::fp32, due));
      }
    }
}
