// Every row of collectives.def against its definition, by bytes, for every dtype, reduction and a choice of
// codecs: no race, no deadlock whatever the order of events, and the bytes and latency that its cost says.
#include <algorithm>
#include <array>

#include "../codec/int_block_reference.h"
#include "collective/rows.h"
#include "schedule_local.h"
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

// Residues of an owner, by rank; junk where a rank owns nothing, which nobody reads.
std::vector<std::vector<float>> draw_states(const ScheduleRequest& request, Random& random) {
  std::normal_distribution<float> normal(0, 0.1f);
  std::vector<std::vector<float>> states(request.feeds_back() ? request.ranks : 0);
  for (uint32_t rank = 0; rank < states.size(); ++rank) {
    states[rank].assign(request.elements, schedule_world::World::kJunk);
    const Range own = chunk_range(request.elements, request.block_elements(), request.ranks, rank);
    for (uint64_t at = own.begin; at < own.begin + own.elements; ++at) states[rank][at] = normal(random);
  }
  return states;
}

// Whether a rank ended with what the definition says.
void check_rank(const ScheduleRequest& request, uint32_t rank, const schedule_reference::Expected& expected,
                const std::vector<uint8_t>& output, const std::vector<float>& next) {
  const size_t size = dtype_bytes(request.dtype);
  const auto due = schedule_world::to_memory(request.dtype, expected.values);
  const Range part = expected.part;
  const std::string who = "rank " + std::to_string(rank);
  CHECK_THAT(std::memcmp(due.data() + part.begin * size, output.data() + part.begin * size,
                         part.elements * size) == 0,
             who + " differs: " + schedule_world::describe(request));
  if (request.feeds_back())
    CHECK_THAT(schedule_world::same_bits(expected.next, next),
               "the feedback of " + who + " differs: " + schedule_world::describe(request));
}

// In any order of events, and among ranks of one process.
void check_against_reference(const ScheduleRequest& request, Random& random) {
  const auto inputs = draw_inputs(request, random);
  const auto states = draw_states(request, random);
  std::vector<std::vector<uint8_t>> memory;
  for (const auto& values : inputs) memory.push_back(schedule_world::to_memory(request.dtype, values));
  const auto world = schedule_world::check_world(request, memory, random, {}, states);
  const auto local = schedule_local::run(request, memory, static_cast<uint32_t>(1 + random() % 3), states);
  for (uint32_t rank = 0; rank < request.ranks; ++rank)
    CHECK_THAT(local.sent[rank] == static_cast<double>(world->sent(rank)), schedule_world::describe(request));
  if (request.elements == 0) return;
  const auto expected = schedule_reference::expected(request, inputs, states);
  for (uint32_t rank = 0; rank < request.ranks; ++rank) {
    check_rank(request, rank, expected[rank], world->output(rank), world->next(rank));
    check_rank(request, rank, expected[rank], local.outputs[rank], local.nexts[rank]);
  }
}

// Draws what a request needs beside the arithmetic.
void draw_rest(ScheduleRequest& request, Random& random) {
  const std::string name = collective_name(request.collective);
  const uint64_t block = request.block_elements(), ranks = request.ranks;
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

TEST("gather_mean equals its definition, also of codecs of whole matrices") {
  check_all("gather_mean");
  Random random(check::seed());
  for (const char* codec : {"dct_topk:rows=12,columns=50,k=9", "dct_topk:columns=192,k=32,values=sign",
                            "lowrank:rows=37,columns=100,rank=7", "random_mask:block=256,kept_ppm=300000"})
    for (const uint32_t ranks : {1u, 2u, 5u})
      for (const Reduction reduction : {Reduction::mean, Reduction::weighted_mean}) {
        ScheduleRequest request{.collective = schedule_world::id_of("gather_mean"),
                                .ranks = ranks,
                                .codec = codec_find(codec),
                                .reduction = reduction};
        draw_rest(request, random);
        check_against_reference(request, random);
      }
}

TEST("direct with a codec of its own on the way down, and with feedback at the owner") {
  Random random(check::seed());
  constexpr const char* kUp[] = {"fp32",
                                 "fp16",
                                 "int8_block:block=16",
                                 "int4_block:block=16,rounding=stochastic",
                                 "e3m0:block=32",
                                 "topk:block=64,k=5",
                                 "eden:block=64,bits=1",
                                 "dct_topk:rows=12,columns=50,k=9",
                                 "mxfp8_e5m2"};
  constexpr const char* kDown[] = {"fp32",
                                   "bf16",
                                   "int4_block:block=32",
                                   "topk:block=64,k=9",
                                   "eden:block=64,bits=2,scale=least",
                                   "eden:block=128,bits=2",
                                   "sign1:block=64"};
  for (const char* up : kUp)
    for (const char* down : kDown)
      for (const double decay : {-1.0, 0.0, 0.95, 1.0})
        for (const Reduction reduction : {Reduction::mean, Reduction::weighted_mean, Reduction::sum}) {
          ScheduleRequest request{.collective = schedule_world::id_of("direct"),
                                  .ranks = static_cast<uint32_t>(1 + random() % 6),
                                  .codec = codec_find(up),
                                  .reduction = reduction,
                                  .down = codec_find(down)};
          CHECK(request.codec != nullptr && request.down != nullptr);
          if (random() % 3 == 0) request.dtype = static_cast<Dtype>(1 + random() % 2);
          if (decay >= 0 && (reduction == Reduction::sum || !request.down->traits.contractive)) continue;
          request.owner_decay = decay;
          draw_rest(request, random);
          check_against_reference(request, random);
        }
}

// Far apart, so that no double holds their sum.
TEST("the mean of contributions that a double cannot hold is rounded once") {
  Random random(check::seed());
  ScheduleRequest request{.collective = schedule_world::id_of("gather_mean"),
                          .ranks = 7,
                          .elements = 500,
                          .codec = codec_find("mxfp8_e5m2")};
  std::vector<std::vector<float>> inputs(request.ranks, std::vector<float>(request.elements));
  for (auto& values : inputs)
    for (uint64_t at = 0, exponent = 0; at < request.elements; ++at) {
      if (at % request.codec->traits.block_elements == 0) exponent = random() % 8;  // a block has one scale
      values[at] = std::ldexp(static_cast<float>(static_cast<int>(random() % 17) - 8),
                              static_cast<int>(exponent) * 30 - 120);
    }
  for (uint64_t at = 0; at < request.elements; at += 3) inputs[1][at] = -inputs[0][at];
  std::vector<std::vector<uint8_t>> memory;
  for (const auto& values : inputs) memory.push_back(schedule_world::to_memory(request.dtype, values));
  const auto world = schedule_world::check_world(request, memory, random);
  const auto expected = schedule_reference::expected(request, inputs);
  CHECK(world->output(0) == schedule_world::to_memory(Dtype::fp32, expected[0].values));
  for (uint32_t rank = 1; rank < request.ranks; ++rank) CHECK(world->output(rank) == world->output(0));
}

TEST("more ranks: 33 and 64") {
  Random random(check::seed());
  for (const char* name : {"ring", "direct", "halving_doubling", "tree_broadcast", "tree_reduce", "mix",
                           "hierarchical", "gather_mean"}) {
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
