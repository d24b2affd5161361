// random_mask: how many and which elements it keeps, that everybody keeps the same, and that the choice is
// even.
#include "codec/random_mask.h"

#include <algorithm>

#include "support.h"

using namespace codec_test;

namespace {

const Codec& open(const std::string& spec) {
  const Codec* codec = codec_find(spec);
  CHECK_THAT(codec != nullptr, spec);
  return *codec;
}

// What a key keeps of so many elements, in the order of the wire: ones there, found by decoding 1, 2, 3, ..
std::vector<uint32_t> chosen(const Codec& codec, const CodecKey& key, size_t elements) {
  std::vector<float> wire(codec.bytes(elements) / 4), target(elements);
  for (size_t j = 0; j < wire.size(); j++) wire[j] = static_cast<float>(j + 1);
  codec_loops(codec).decode(codec.options, key, reinterpret_cast<const uint8_t*>(wire.data()), elements,
                            target.data());
  std::vector<uint32_t> places(wire.size(), ~0u);
  for (size_t i = 0; i < elements; i++)
    if (target[i] != 0.0f) places[static_cast<size_t>(target[i]) - 1] = static_cast<uint32_t>(i);
  return places;
}

// (chi-square - degrees of freedom) / its standard deviation, of counts that should all be equal.
double deviations(const std::vector<uint64_t>& counts) {
  double total = 0, chi_square = 0;
  for (const uint64_t count : counts) total += static_cast<double>(count);
  const double expected = total / static_cast<double>(counts.size()),
               freedom = static_cast<double>(counts.size() - 1);
  for (const uint64_t count : counts)
    chi_square += std::pow(static_cast<double>(count) - expected, 2) / expected;
  return (chi_square - freedom) / std::sqrt(2 * freedom);
}

}  // namespace

TEST("random_mask keeps a fixed number of different elements of every block") {
  for (const char* spec :
       {"random_mask", "random_mask:block=64,kept_ppm=1", "random_mask:block=128,kept_ppm=500000",
        "random_mask:block=256,kept_ppm=999999", "random_mask:kept_ppm=1000000"}) {
    const Codec& codec = open(spec);
    const size_t block = codec.options.block;
    for (const size_t length :
         {size_t{1}, size_t{2}, size_t{3}, block - 1, block, 3 * block + block / 2 + 1, 3 * block + 5}) {
      std::vector<size_t> found(length / block + 1);
      for (const uint32_t place : chosen(codec, key_of(0), length)) {
        CHECK(place < length);  // a place that is kept twice would leave a hole
        if (place < length) found[place / block]++;
      }
      for (size_t b = 0; b < found.size(); b++) {
        const size_t count = std::min(block, length - b * block);
        const double share = std::floor(static_cast<double>(count) * codec.options.kept_ppm * 1e-6 + 0.5);
        CHECK_THAT(found[b] == (count == 0 ? 0 : std::max<size_t>(1, static_cast<size_t>(share))),
                   codec.spec);
      }
    }
  }
  CHECK(open("random_mask").bytes(10 * 4096) == 10 * 20 * 4 &&
        open("random_mask:values=int8").bytes(4097) == 20 + 1 + 2);
}

TEST("random_mask: all ranks and all cuts of a tensor keep the same, other steps, seeds and blocks do not") {
  const Codec& codec = open("random_mask:kept_ppm=20000");
  const auto whole = chosen(codec, key_of(0), 3 * 4096 + 100);
  CHECK(chosen(codec, key_of(7), 3 * 4096 + 100) == whole &&
        chosen(codec, key_of(kMeanRank), 3 * 4096 + 100) == whole);
  CodecKey key = key_of(0);
  key.first = 2 * 4096;
  auto part = chosen(codec, key, 4096 + 100);
  for (uint32_t& place : part) place += 2 * 4096;
  CHECK(std::equal(part.begin(), part.end(), whole.end() - static_cast<long>(part.size())));
  const std::vector<uint32_t> first(whole.begin(), whole.begin() + 82);
  CHECK(chosen(codec, {11, 4, 0, 0}, 4096) != first && chosen(codec, {12, 3, 0, 0}, 4096) != first);
  CHECK(chosen(codec, {11, 3, 4096, 0}, 4096) != first && chosen(codec, {11, 3, 0, 0}, 4096) == first);
}

TEST("random_mask: every element is chosen equally often, in whole blocks and in tails (chi-square)") {
  for (const size_t length : {64, 512, 4096, 37, 300}) {
    const Codec& codec =
        open(length == 64 ? "random_mask:block=64,kept_ppm=100000" : "random_mask:block=4096,kept_ppm=20000");
    std::vector<uint64_t> counts(length);
    for (uint64_t step = 0; step < 40000000 / (length * 100 + 20000); step++)
      for (const uint32_t place : chosen(codec, {check::seed(), step, 0, 0}, length)) counts[place]++;
    CHECK_THAT(std::fabs(deviations(counts)) < 6,
               std::to_string(length) + ": " + std::to_string(deviations(counts)));
  }
}

// The permutation's neighbours are images of numbers that differ by 1: where it mixed badly, their distance
// would show.
TEST("random_mask: every pair of elements is chosen equally often (chi-square)") {
  const Codec& codec = open("random_mask:block=64,kept_ppm=62500");  // 4 of 64
  for (const auto& [a, b] : {std::pair{0u, 1u}, std::pair{0u, 2u}, std::pair{0u, 32u}, std::pair{3u, 63u}}) {
    std::vector<uint64_t> pairs(64 * 64);
    for (uint64_t step = 0; step < 200000; step++) {
      const auto order = codecs::random_mask::order(codec.options, {check::seed(), step, 0, 0}, 0, 64);
      pairs[codecs::random_mask::place(order, a) * 64 + codecs::random_mask::place(order, b)]++;
    }
    std::vector<uint64_t> different;
    for (size_t i = 0; i < pairs.size(); i++) {
      if (i / 64 != i % 64)
        different.push_back(pairs[i]);
      else
        CHECK(pairs[i] == 0);
    }
    CHECK_THAT(std::fabs(deviations(different)) < 6,
               std::to_string(a) + ", " + std::to_string(b) + ": " + std::to_string(deviations(different)));
  }
}

TEST("random_mask decodes to the chosen elements and +0 elsewhere; all of them is the input, bit by bit") {
  std::mt19937_64 random(check::seed());
  const size_t length = 2 * 4096 + 1000;
  const auto x = values(Kind::raw, length, random);
  for (const auto backend : backend::available())
    with_backend(backend, [&] {
      const Codec& half = open("random_mask:kept_ppm=500000");
      std::vector<float> expected(length, 0.0f);
      for (const uint32_t place : chosen(half, key_of(0), length)) expected[place] = x[place];
      CHECK(same_bits(decode(half, encode(half, x), length), expected));
      const Codec& all = open("random_mask:kept_ppm=1000000");
      CHECK(same_bits(decode(all, encode(all, x), length), x));
    });
}

TEST("random_mask shows NaN and Inf where it chooses them, and looks at nothing else") {
  for (const char* option : {"fp32", "int8", "sign", "int2"}) {
    const Codec& codec = open(std::string("random_mask:block=64,kept_ppm=250000,values=") + option);
    const auto places = chosen(open("random_mask:block=64,kept_ppm=250000"), key_of(0), 128);
    for (uint32_t i = 64; i < 128; i++)
      for (const float bad : {INFINITY, exact::from_bits(0xffc00001u)}) {
        std::vector<float> x(128, 1.0f), clean = x;
        x[i] = bad;
        const auto back = decode(codec, encode(codec, x), 128);
        const bool kept = std::find(places.begin(), places.end(), i) != places.end();
        CHECK(kept == !std::isfinite(back[i]));
        if (!kept) CHECK(same_bits(back, decode(codec, encode(codec, clean), 128)));
        CHECK(std::all_of(back.begin(), back.begin() + 64, [](float value) { return std::isfinite(value); }));
      }
  }
}

TEST("random_mask: over the keys the squared error is the share that is not kept") {
  std::mt19937_64 random(check::seed());
  const Codec& codec = open("random_mask:block=256,kept_ppm=250000");
  const auto x = values(Kind::normal, 256 * 64, random);
  double error = 0, norm = 0;
  for (uint64_t step = 0; step < 50; step++) {
    const CodecKey key = {check::seed(), step, 0, 0};
    std::vector<uint8_t> wire(codec.bytes(x.size()));
    std::vector<float> back(x.size());
    codec_loops(codec).encode(codec.options, key, x.data(), x.size(), wire.data());
    codec_loops(codec).decode(codec.options, key, wire.data(), x.size(), back.data());
    for (size_t i = 0; i < x.size(); i++) {
      error += std::pow(double{x[i]} - double{back[i]}, 2);
      norm += std::pow(double{x[i]}, 2);
    }
  }
  // 205 k chosen elements: the share's standard deviation is about 0.0017.
  CHECK_THAT(std::fabs(error / norm - 0.75) < 0.012, std::to_string(error / norm));
}

TEST("random_mask refuses a block that is no power of two, and a share that is none") {
  const Codec* codec;
  CHECK(codec_open("random_mask:block=1000", &codec).message().find("\"block\" is not a power of two") !=
        std::string::npos);
  CHECK(codec_open("random_mask:kept_ppm=0", &codec).message().find("from 1 to 1000000") !=
        std::string::npos);
}
