// Exact means of fp16, the Microscaling codecs and e3m0, against sums in 128-bit integers and against each
// other: in doubles, in integers, at once and one by one.
#include <algorithm>

#include "codec/definitions.h"
#include "codec/round_to_odd.h"
#include "support.h"

using namespace codec_test;

namespace {

const char* const kExact[] = {"fp16", "mxfp8_e4m3", "mxfp8_e5m2", "mxfp4", "mxint8", "e3m0:block=32"};

std::vector<uint8_t> one_by_one(const Codec& codec, const std::vector<std::vector<uint8_t>>& wires,
                                size_t elements, std::mt19937_64& random) {
  std::vector<size_t> order(wires.size());
  for (size_t i = 0; i < order.size(); i++) order[i] = i;
  std::shuffle(order.begin(), order.end(), random);
  return accumulated(codec, wires, order, elements);
}

// The float nearest to sum * 2^exponent / ranks among the odd-rounded ones, by integers alone.
uint32_t odd_reference(__int128 sum, uint32_t ranks, int exponent) {
  const bool negative = sum < 0;
  unsigned __int128 magnitude = static_cast<unsigned __int128>(negative ? -sum : sum);
  while (magnitude >> 120 == 0) magnitude <<= 1, exponent--;
  const bool rest = magnitude % ranks != 0;
  unsigned __int128 quotient = magnitude / ranks;
  bool below = rest;
  const auto top = [&] {
    int bits = 0;
    while (quotient >> bits != 0) bits++;
    return bits;
  };
  for (int bits = top(); bits > 24 || exponent < -149; bits--, exponent++)
    below |= (quotient & 1) != 0, quotient >>= 1;
  if (below) quotient |= 1;
  const double value = std::ldexp(static_cast<double>(static_cast<uint64_t>(quotient)), exponent);
  return exact::bits(static_cast<float>(negative ? -value : value));
}

}  // namespace

TEST("quotients rounded to odd are what integers of 128 bits say, denormal results included") {
  std::mt19937_64 random(check::seed());
  for (int i = 0; i < 200000; i++) {
    const int length = static_cast<int>(random() % 59) + 1;
    auto sum = static_cast<int64_t>(random() >> (64 - length));
    if (sum == 0) sum = 1;
    if (random() & 1) sum = -sum;
    const uint32_t ranks = 1 + static_cast<uint32_t>(random() % (random() & 1 ? 65536 : 9));
    const int exponent = static_cast<int>(random() % 160) - 150;
    const uint32_t want = odd_reference(sum, ranks, exponent);
    CHECK(codecs::round_to_odd::quotient(sum, ranks, exponent) == want);
    codecs::Wide wide = codecs::Wide::shifted(static_cast<uint64_t>(sum < 0 ? -sum : sum), 100);
    if (sum < 0) wide = codecs::Wide::sum(codecs::Wide::zero(), wide, true);
    CHECK(codecs::round_to_odd::quotient(wide, ranks, exponent - 100) == want);
  }
}

TEST("the mean codes the exact mean: decoded values summed in integers of 128 bits") {
  std::mt19937_64 random(check::seed());
  for (const char* spec : kExact) {
    const Codec& codec = *codec_find(spec);
    const bool fp16 = std::string_view(spec) == "fp16";
    for (int round = 0; round < 120; round++) {
      const uint32_t ranks = 1 + static_cast<uint32_t>(random() % 17);
      const size_t elements = fp16 ? 100 : 32;
      // Scales of contributions differ by up to 2^30 in odd rounds.
      std::vector<std::vector<uint8_t>> wires;
      for (uint32_t rank = 0; rank < ranks; rank++) {
        const int shift = static_cast<int>(random() % (round % 2 == 0 ? 4 : 30)) - (fp16 ? 20 : 0);
        std::vector<float> source(elements);
        for (float& x : source)
          x = std::ldexp(static_cast<float>(static_cast<int>(random() % 4001) - 2000), shift - 11);
        wires.push_back(encode(codec, source, rank));
      }
      constexpr int kExponent = -40;  // of the unit: all elements are multiples of it
      std::vector<__int128> sums(elements);
      for (const auto& wire : wires) {
        const auto decoded = decode(codec, wire, elements);
        for (size_t i = 0; i < elements; i++)
          sums[i] += static_cast<__int128>(std::ldexp(double{decoded[i]}, -kExponent));
      }
      std::vector<float> means(elements);
      for (size_t i = 0; i < elements; i++)
        if (sums[i] != 0) means[i] = exact::from_bits(odd_reference(sums[i], ranks, kExponent));
      const auto want = decode(codec, encode(codec, means), elements);
      for (const auto backend : backend::available())
        with_backend(backend, [&] {
          const auto mean_wire = mean(codec, wires, elements);
          const auto got = decode(codec, mean_wire, elements);
          for (size_t i = 0; i < elements; i++) CHECK_THAT(got[i] == want[i], spec + std::to_string(i));
          CHECK_THAT(one_by_one(codec, wires, elements, random) == mean_wire, spec);
        });
    }
  }
}

TEST("a tie is broken by what is far below every double: the slow path sees it") {
  for (const char* spec : {"mxfp8_e4m3", "mxfp8_e5m2", "mxfp4", "mxint8"}) {
    const Codec& codec = *codec_find(spec);
    // Three of four contributions keep the mean's scale. Element 1 is twice the smallest element in all, so
    // its mean is half of it: a tie with zero, which is even. The fourth adds nothing to it, or something
    // tiny.
    std::vector<float> large(32), tiny(32);
    large[0] = 1.5f;
    tiny[1] = 0x1p-120f;
    const auto none = encode(codec, large);
    auto smallest = none;
    smallest[codec.bytes(32) == 17 ? 0 : 1] |= codec.bytes(32) == 17 ? 0x10 : 0x01;
    const float step = decode(codec, smallest, 32)[1];
    CHECK_THAT(step > 0, spec);
    for (const auto backend : backend::available())
      with_backend(backend, [&] {
        const auto tie = mean(codec, {smallest, none, smallest, encode(codec, std::vector<float>(32))}, 32);
        const auto above = mean(codec, {smallest, none, smallest, encode(codec, tiny)}, 32);
        CHECK_THAT(decode(codec, tie, 32)[1] == 0.0f && decode(codec, above, 32)[1] == step, spec);
      });
  }
}

TEST("a zero mean is -0 where every contribution is -0, as IEEE adds") {
  for (const char* spec : {"fp16", "mxfp8_e4m3", "mxfp8_e5m2", "mxfp4"}) {
    const Codec& codec = *codec_find(spec);
    std::vector<float> first(32, 1.0f), second = first;
    first[0] = second[0] = -0.0f;
    first[1] = -0.0f, second[1] = 0.0f;
    first[2] = -1.0f, second[2] = 1.0f;
    std::mt19937_64 random(check::seed());
    for (const auto backend : backend::available())
      with_backend(backend, [&] {
        const std::vector<std::vector<uint8_t>> wires = {encode(codec, first), encode(codec, second)};
        const auto wire = mean(codec, wires, 32);
        const auto decoded = decode(codec, wire, 32);
        CHECK_THAT(decoded[0] == 0 && std::signbit(decoded[0]), spec);
        CHECK_THAT(decoded[1] == 0 && !std::signbit(decoded[1]), spec);
        CHECK_THAT(decoded[2] == 0 && !std::signbit(decoded[2]) && decoded[3] == 1.0f, spec);
        CHECK_THAT(one_by_one(codec, wires, 32, random) == wire, spec);
      });
  }
}

TEST("fp16: Infs and NaN of contributions, and more contributions than doubles hold") {
  const Codec& codec = *codec_find("fp16");
  const auto wire_of = [](std::vector<uint16_t> words) {
    std::vector<uint8_t> wire(words.size() * 2);
    std::memcpy(wire.data(), words.data(), wire.size());
    return wire;
  };
  std::mt19937_64 random(check::seed());
  const std::vector<std::vector<uint8_t>> wires = {wire_of({0x7c00, 0xfc00, 0x7c00, 0x7c01, 0xfe00, 0x7bff}),
                                                   wire_of({0x3c00, 0x0001, 0xfc00, 0x3c00, 0x7c00, 0x7bff})};
  std::vector<std::vector<uint8_t>> many(5000, wire_of({0x7bff, 0x0001, 0x8000, 0x7c00, 0x3c01}));
  many[4321] = wire_of({0x0000, 0x0000, 0x8000, 0x3c00, 0x3c00});
  // (4999 * 65504) / 5000 = 65490.9; 4999 / 5000 of the smallest; -0; Inf; 1 + 2^-10 4999/5000.
  const auto want = wire_of({0x7bff, 0x0001, 0x8000, 0x7c00, 0x3c01});
  for (const auto backend : backend::available())
    with_backend(backend, [&] {
      CHECK(mean(codec, wires, 6) == wire_of({0x7c00, 0xfc00, 0x7e00, 0x7e00, 0x7e00, 0x7bff}));
      CHECK(one_by_one(codec, wires, 6, random) == mean(codec, wires, 6));
      CHECK(mean(codec, many, 5) == want && one_by_one(codec, many, 5, random) == want);
    });
}

TEST("scales as far apart as they can be: 2^-127 and 2^127 in one block") {
  std::mt19937_64 random(check::seed());
  for (const char* spec : kExact) {
    const Codec& codec = *codec_find(spec);
    if (std::string_view(spec) == "fp16") continue;
    std::vector<float> small(32, 0x1p-126f), large(32, 0x1.8p127f), opposite(32, -0x1.8p127f);
    const std::vector<std::vector<uint8_t>> wires = {encode(codec, small), encode(codec, large),
                                                     encode(codec, opposite)};
    for (const auto backend : backend::available())
      with_backend(backend, [&] {
        const auto wire = mean(codec, wires, 32);
        // The large ones cancel, and a third of the small one is left: no sum in doubles would know.
        const float left = decode(codec, wires[0], 32)[0], third = decode(codec, wire, 32)[0];
        CHECK_THAT(left != 0 && third > 0 && third < left, spec);
        CHECK_THAT(one_by_one(codec, wires, 32, random) == wire, spec);
      });
  }
}
