// Every collective over real links: all ranks end with the bytes of an independent reference, and the inputs
// stay as they were.
#include <algorithm>
#include <cmath>

#if GM_X86
#include <xmmintrin.h>
#endif

#include "group.h"
#include "numeric/exact.h"

using namespace group;

namespace {

// The mean in the ring's written order: chunk c is summed from rank c upwards, then divided once.
std::vector<float> ring_reference(const std::vector<std::vector<float>>& inputs) {
  const size_t ranks = inputs.size(), elements = inputs[0].size();
  std::vector<float> mean = inputs[0];
  if (ranks == 1) return mean;
  for (size_t chunk = 0; chunk < ranks; ++chunk)
    for (size_t at = elements / ranks * chunk + elements % ranks * chunk / ranks;
         at < elements / ranks * (chunk + 1) + elements % ranks * (chunk + 1) / ranks; ++at) {
      volatile float sum = inputs[chunk][at];
      for (size_t hop = 1; hop < ranks; ++hop) sum = sum + inputs[(chunk + hop) % ranks][at];
      mean[at] = sum / static_cast<float>(ranks);
    }
  return mean;
}

constexpr CodecKey key_of(uint32_t rank) { return {kSeed, kStep, 0, rank}; }

std::vector<uint8_t> encoded(const Codec& codec, const std::vector<float>& values, uint32_t rank) {
  std::vector<uint8_t> wire(codec.bytes(values.size()));
  codec_loops(codec).encode(codec.options, key_of(rank), values.data(), values.size(), wire.data());
  return wire;
}

// The codec's mean over the whole tensor at once: cutting it in chunks and segments must not show.
std::vector<float> direct_reference(const Codec& codec, const std::vector<std::vector<float>>& inputs) {
  std::vector<std::vector<uint8_t>> wires;
  std::vector<const uint8_t*> pointers;
  for (uint32_t rank = 0; rank < inputs.size(); ++rank) wires.push_back(encoded(codec, inputs[rank], rank));
  for (const auto& wire : wires) pointers.push_back(wire.data());
  std::vector<uint8_t> mean(wires[0].size());
  std::vector<float> output(inputs[0].size());
  const CodecKey key = key_of(kMeanRank);
  codec_loops(codec).mean(codec.options, key, pointers.data(), static_cast<uint32_t>(inputs.size()),
                          output.size(), mean.data());
  codec_loops(codec).decode(codec.options, key, mean.data(), output.size(), output.data());
  return output;
}

std::vector<float> broadcast_reference(const Codec& codec, const std::vector<float>& input, uint32_t root) {
  std::vector<float> output(input.size());
  codec_loops(codec).decode(codec.options, key_of(root), encoded(codec, input, root).data(), output.size(),
                            output.data());
  return output;
}

std::vector<float> reference(const Call& call, const std::vector<std::vector<float>>& inputs) {
  if (call.collective == 0) return ring_reference(inputs);
  if (call.collective == 1) return direct_reference(*call.codec, inputs);
  return broadcast_reference(*call.codec, inputs[call.root], call.root);
}

void check_results(Group& group, const Call& call, const std::vector<std::vector<float>>& inputs) {
  const auto results = group.run(call, inputs);
  const auto due = reference(call, inputs);
  for (uint32_t rank = 0; rank < results.size(); ++rank) {
    const Result& result = results[rank];
    const std::string where = std::string(collective_name(call.collective)) + " " + call.codec->name +
                              " rank " + std::to_string(rank) + " of " + std::to_string(results.size()) +
                              " elements " + std::to_string(due.size()) + " segment " +
                              std::to_string(call.segment);
    CHECK_THAT(static_cast<bool>(result.status), where + ": " + result.status.message());
    CHECK_THAT(same_bytes(result.output, due), where);
    CHECK_THAT(same_bytes(result.input, inputs[rank]), where);
    Cost cost;
    CHECK(static_cast<bool>(collective_cost(request_of(call, group.ranks(), rank, due.size()), &cost)));
    CHECK_THAT(result.report[0] == static_cast<double>(cost.bytes_sent), where);
    CHECK_THAT(result.report[4] == -1, where);
    CHECK_THAT(result.report[3] >= 0 && (group.ranks() == 1 || result.report[1] > 0), where);
  }
}

void check_group(uint32_t ranks, bool encrypted) {
  std::mt19937_64 random(check::seed() + ranks);
  Group group(ranks, {.encrypted = encrypted});
  uint64_t id = 0;
  const std::pair<uint32_t, const char*> cases[] = {{0, "fp32"},       {1, "fp32"}, {1, "bf16"},
                                                    {1, "int8_block"}, {2, "fp32"}, {2, "int8_block"}};
  for (const auto& [collective, codec] : cases)
    for (const size_t elements : {size_t{0}, size_t{1}, size_t{ranks - 1}, size_t{ranks}, size_t{255},
                                  size_t{256}, size_t{257}, size_t{256} * ranks + 17, size_t{5000}}) {
      const auto inputs = random_inputs(ranks, elements, random);
      const uint64_t segment = std::array<uint64_t, 3>{256, 300, 65536}[random() % 3];
      check_results(group,
                    {.id = ++id,
                     .collective = collective,
                     .codec = codec_find(codec),
                     .segment = segment,
                     .root = static_cast<uint32_t>(random() % ranks)},
                    inputs);
    }
}

}  // namespace

TEST("all collectives, 1 to 16 ranks, many lengths, plain") {
  for (uint32_t ranks = 1; ranks <= 16; ++ranks) check_group(ranks, false);
}

TEST("every codec: cutting a tensor into chunks and segments changes no byte of its mean") {
  std::mt19937_64 random(check::seed());
  Group group(3);
  uint64_t id = 0;
  for (const std::string& spec : codec_cases()) {
    const Codec* codec = codec_find(spec);
    const size_t block = codec->traits.block_elements;
    for (const uint32_t collective : {1u, 2u})
      for (const size_t elements : {block - 1, 5 * block + 3, size_t{10'000}})
        check_results(group,
                      {.id = ++id, .collective = collective, .codec = codec, .segment = 2 * block, .root = 2},
                      random_inputs(3, elements, random));
  }
}

TEST("all collectives, encrypted") {
  if (!crypto::available()) return void(std::puts("skipped: no libcrypto here"));
  for (const uint32_t ranks : {1u, 2u, 3u, 8u}) check_group(ranks, true);
}

TEST("a large tensor in large segments, over full socket buffers") {
  std::mt19937_64 random(check::seed());
  for (const bool encrypted : {false, static_cast<bool>(crypto::available())}) {
    Group group(3, {.encrypted = encrypted});
    const auto inputs = random_inputs(3, 3'000'001, random);
    check_results(group, {.id = 1, .collective = 0, .segment = 1 << 20}, inputs);
    check_results(group, {.id = 2, .collective = 1, .codec = codec_find("int8_block")}, inputs);
    check_results(group, {.id = 3, .collective = 2, .segment = 1 << 22, .root = 1}, inputs);
  }
}

TEST("nothing is left over: descriptors, threads") {
  const size_t descriptors = open_descriptors(), threads = running_threads();
  for (int turn = 0; turn < 3; ++turn) {
    std::mt19937_64 random(check::seed());
    Group group(5);
    const auto inputs = random_inputs(5, 1000, random);
    check_results(group, {.id = 1}, inputs);
  }
  CHECK(open_descriptors() == descriptors);
  CHECK(running_threads() == threads);
}

TEST("a NaN has one form, whatever came in and wherever it was added") {
  for (const uint32_t collective : {0u, 1u}) {
    Group group(3, {.encrypted = false});
    std::vector<std::vector<float>> inputs(3, std::vector<float>(300, 1.0f));
    for (size_t at = 0; at < 300; ++at)
      inputs[at % 3][at] = exact::from_bits(0xff812345u + static_cast<uint32_t>(at));
    inputs[1] = inputs[0];  // two NaNs meet in a sum
    for (const Result& result : group.run({.id = 1, .collective = collective, .segment = 64}, inputs)) {
      CHECK(static_cast<bool>(result.status));
      for (const float value : result.output) CHECK(value == 1.0f || exact::bits(value) == 0x7fc00000u);
      CHECK(exact::bits(result.output[0]) == 0x7fc00000u);
    }
  }
}

#if GM_X86
TEST("an endpoint made by a thread that flushes denormals does not") {
  const unsigned usual = _mm_getcsr();
  _mm_setcsr(usual | 0x8040);  // flush to zero, denormals are zero
  Group group(2, {.encrypted = false});
  _mm_setcsr(usual);
  const std::vector<std::vector<float>> inputs(2, std::vector<float>(64, 0x1p-140f));
  for (const uint32_t collective : {0u, 1u})
    for (const Result& result : group.run({.id = 1 + collective, .collective = collective}, inputs))
      CHECK(result.status && result.output == inputs[0]);
}
#endif
