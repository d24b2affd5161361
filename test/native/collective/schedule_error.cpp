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
    CHECK(direct_before < direct_first / 8);  // in theory 1/16
    CHECK(ring_before > 8 * ring_first);
  }
}
