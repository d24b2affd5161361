// Where a sum is coded decides its error: `direct` codes each contribution once and its error falls with the
// ranks, a coded ring codes at every hop and its error grows. Both as their schedules run. `npm run bench --
// codec --error` has the table on a model's tensors.
#include <cmath>

#include "schedule_world.h"

using namespace gradmesh;

namespace {

// Gaussian contributions with the cosine of 0.55 that pseudo-gradients of two workers have.
std::vector<std::vector<float>> contributions(uint32_t ranks, uint64_t elements,
                                              schedule_world::Random& random) {
  std::normal_distribution<float> normal(0, 1);
  std::vector<float> common(elements);
  for (float& x : common) x = normal(random) * std::sqrt(0.55f);
  std::vector<std::vector<float>> all(ranks, common);
  for (auto& values : all)
    for (float& x : values) x += normal(random) * std::sqrt(0.45f);
  return all;
}

// Squared errors of the mean over its squared norm.
struct Errors {
  double found;
  double floor;  // of coding the mean itself, once
};
Errors squared_errors(const char* collective, const char* codec, uint32_t ranks,
                      schedule_world::Random& random) {
  ScheduleRequest request{.collective = schedule_world::id_of(collective),
                          .ranks = ranks,
                          .elements = uint64_t{64} * 256,
                          .codec = codec_find(codec)};
  const auto inputs = contributions(ranks, request.elements, random);
  std::vector<std::vector<uint8_t>> memory;
  for (const auto& values : inputs) memory.push_back(schedule_world::to_memory(request.dtype, values));
  const auto world = schedule_world::check_world(request, std::move(memory), random);
  for (uint32_t rank = 1; rank < ranks; ++rank) CHECK(world->output(rank) == world->output(0));
  const auto found = schedule_world::from_memory(request.dtype, world->output(0));
  std::vector<float> mean(request.elements), coded(request.elements);
  for (uint64_t at = 0; at < request.elements; ++at) {
    double sum = 0;
    for (const auto& values : inputs) sum += values[at];
    mean[at] = static_cast<float>(sum / ranks);
  }
  std::vector<uint8_t> wire(request.codec->bytes(request.elements));
  const CodecKey key{schedule_world::kSeed, schedule_world::kStep, 0, kMeanRank};
  const CodecLoops& loops = codec_loops(*request.codec);
  loops.encode(request.codec->options, key, mean.data(), mean.size(), wire.data());
  loops.decode(request.codec->options, key, wire.data(), coded.size(), coded.data());
  const auto error = [&](const std::vector<float>& values) {
    double squared = 0, norm = 0;
    for (uint64_t at = 0; at < request.elements; ++at) {
      squared += std::pow(double{mean[at]} - values[at], 2);
      norm += std::pow(double{mean[at]}, 2);
    }
    return squared / norm;
  };
  return {error(found), error(coded)};
}

}  // namespace

TEST("the squared error of direct falls with the ranks, that of a coded ring grows") {
  schedule_world::Random random(check::seed());
  for (const char* codec : {"int4_block", "int8_block:block=128"}) {
    double direct_first = 0, direct_before = 0, ring_first = 0, ring_before = 0;
    for (const uint32_t ranks : {4u, 8u, 16u, 64u}) {
      const Errors direct = squared_errors("direct", codec, ranks, random);
      const Errors ring = squared_errors("ring", codec, ranks, random);
      std::printf("  %-20s n = %2u: direct %.2e (the mean coded alone %.2e), ring %.2e\n", codec, ranks,
                  direct.found, direct.floor, ring.found);
      const double excess = direct.found - direct.floor;
      if (ranks == 4) direct_first = excess, ring_first = ring.found;
      if (ranks > 4) CHECK(excess < direct_before && ring.found > ring_before);
      direct_before = excess, ring_before = ring.found;
    }
    CHECK(direct_before < direct_first / 5);  // in theory 1/16; scales are powers of two, so it varies
    CHECK(ring_before > 8 * ring_first);
  }
}

namespace {

struct Round {
  std::vector<std::vector<uint8_t>> memory;
  std::vector<double> mean;
};
Round draw_round(uint32_t ranks, uint64_t elements, schedule_world::Random& random) {
  Round round{{}, std::vector<double>(elements)};
  for (const auto& values : contributions(ranks, elements, random)) {
    for (uint64_t at = 0; at < elements; ++at) round.mean[at] += double{values[at]} / ranks;
    round.memory.push_back(schedule_world::to_memory(Dtype::fp32, values));
  }
  return round;
}

double squared(const std::vector<double>& values) {
  double sum = 0;
  for (const double x : values) sum += x * x;
  return sum;
}

// The squared error of the sum of what all ranks decoded, over the squared norm of the sum of all means,
// after each round.
std::vector<double> sum_errors(ScheduleRequest request, uint32_t rounds, schedule_world::Random& random) {
  std::vector<std::vector<float>> states(request.feeds_back() ? request.ranks : 0,
                                         std::vector<float>(request.elements));
  std::vector<double> due(request.elements), sent(request.elements), errors;
  for (uint32_t round = 0; round < rounds; ++round) {
    Round drawn = draw_round(request.ranks, request.elements, random);
    const auto world = schedule_world::check_world(request, std::move(drawn.memory), random, {}, states);
    const auto decoded = schedule_world::from_memory(Dtype::fp32, world->output(0));
    for (uint32_t rank = 0; rank < states.size(); ++rank) {
      const Range own = chunk_range(request.elements, request.block_elements(), request.ranks, rank);
      const auto from = world->next(rank).begin() + static_cast<std::ptrdiff_t>(own.begin);
      std::copy_n(from, own.elements, states[rank].begin() + static_cast<std::ptrdiff_t>(own.begin));
    }
    std::vector<double> error(request.elements);
    for (uint64_t at = 0; at < request.elements; ++at) {
      due[at] += drawn.mean[at], sent[at] += double{decoded[at]};
      error[at] = sent[at] - due[at];
    }
    errors.push_back(squared(error) / squared(due));
  }
  return errors;
}

}  // namespace

// What frontier coding is made of: the mean, exact to many digits, in few bits on its way down.
TEST(
    "feedback at the owner: what its codec leaves out of one round is in the next, so the error does not add "
    "up") {
  schedule_world::Random random(check::seed());
  ScheduleRequest request{.collective = schedule_world::id_of("direct"),
                          .ranks = 4,
                          .elements = 64 * 128,
                          .codec = codec_find("fp32"),
                          .down = codec_find("int4_block")};
  constexpr uint32_t kRounds = 24;
  const double without = sum_errors(request, kRounds, random).back();
  request.owner_decay = 1;
  const auto with = sum_errors(request, kRounds, random);
  std::printf(
      "  int4_block down, %u rounds: error of the sum %.2e without feedback, %.2e with (first %.2e)\n",
      kRounds, without, with.back(), with.front());
  // The residue is of one round, the sum of 24 independent ones: a 24th, but for the residue's own size.
  CHECK(with.back() < with.front() / 12 && with.back() < without / 12);
}

TEST("a finer codec on the way down: the error of a coarse mean goes, that of coarse contributions stays") {
  schedule_world::Random random(check::seed());
  ScheduleRequest request{.collective = schedule_world::id_of("direct"),
                          .ranks = 16,
                          .elements = 16 * 4096,
                          .codec = codec_find("eden:bits=1")};
  const double both = sum_errors(request, 1, random)[0];
  request.down = codec_find("int4_block");
  const double down = sum_errors(request, 1, random)[0];
  request.down = codec_find("fp32");
  const double exact = sum_errors(request, 1, random)[0];
  std::printf("  eden:bits=1 up from 16 ranks: down as up %.2e, int4_block %.2e, fp32 %.2e\n", both, down,
              exact);
  // Of one bit 0.57 a contribution, and a sixteenth of their squared norms, here 1.7 times the mean's, in the
  // mean.
  CHECK(exact < 0.1 && down < exact + 0.06 && both > 0.4);
}
