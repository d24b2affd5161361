// topk against its definition, worked out again by sorting; its wire by hand; strangers' indices.
#include "codec/topk.h"

#include <algorithm>
#include <numeric>

#include "support.h"

using namespace codec_test;

namespace {

const Codec& open(const std::string& spec) {
  const Codec* codec = codec_find(spec);
  CHECK_THAT(codec != nullptr, spec);
  return *codec;
}

uint32_t magnitude_of(float x) { return exact::bits(x) & 0x7fffffffu; }

// The kept indices of x[count], ascending, by a sort.
std::vector<uint32_t> kept_by_sorting(const float* x, size_t count, size_t k) {
  std::vector<uint32_t> index(count);
  std::iota(index.begin(), index.end(), 0u);
  std::stable_sort(index.begin(), index.end(),
                   [&](uint32_t a, uint32_t b) { return magnitude_of(x[a]) > magnitude_of(x[b]); });
  index.resize(std::min(k, count));
  std::sort(index.begin(), index.end());
  return index;
}

// The wire of values=fp32, bit by bit.
std::vector<uint8_t> wire_by_sorting(const Codec& codec, const std::vector<float>& x) {
  std::vector<uint8_t> values, indices;
  uint32_t width = 0;
  while (1u << width < codec.options.block) width++;
  for (size_t at = 0; at < x.size(); at += codec.options.block) {
    const size_t count = std::min<size_t>(codec.options.block, x.size() - at);
    std::vector<bool> bits;
    for (const uint32_t index : kept_by_sorting(x.data() + at, count, codec.options.k)) {
      for (int i = 0; i < 4; i++) values.push_back(static_cast<uint8_t>(exact::bits(x[at + index]) >> 8 * i));
      for (uint32_t i = 0; i < width; i++) bits.push_back((index >> i & 1) != 0);
    }
    bits.resize((bits.size() + 7) / 8 * 8);
    for (size_t i = 0; i < bits.size(); i += 8) {
      uint32_t byte = 0;
      for (size_t j = 0; j < 8; j++) byte |= static_cast<uint32_t>(bits[i + j]) << j;
      indices.push_back(static_cast<uint8_t>(byte));
    }
  }
  values.insert(values.end(), indices.begin(), indices.end());
  return values;
}

}  // namespace

TEST("topk writes what sorting says, whatever the values, k, block and length") {
  std::mt19937_64 random(check::seed());
  for (const char* spec :
       {"topk", "topk:k=1", "topk:k=65", "topk:k=256", "topk:k=257", "topk:k=4096", "topk:block=64,k=5",
        "topk:block=64,k=64", "topk:block=128,k=1", "topk:block=256,k=100", "topk:block=1024,k=300"}) {
    const Codec& codec = open(spec);
    const size_t block = codec.options.block;
    for (const size_t length : {size_t{1}, block - 1, block, block + 3, 2 * block + block / 2 + 1})
      for (int kind = 0; kind < kKinds; kind++) {
        const auto x = values(static_cast<Kind>(kind), length, random);
        const auto expected = wire_by_sorting(codec, x);
        for (const auto backend : backend::available())
          with_backend(backend, [&] {
            CHECK_THAT(encode(codec, x) == expected, codec.spec + " on " + backend::name(backend) + ", " +
                                                         std::to_string(length) + " of kind " +
                                                         std::to_string(kind));
          });
      }
  }
}

TEST("topk with k = block and values=fp32 is the input, bit by bit") {
  std::mt19937_64 random(check::seed());
  for (const char* spec : {"topk:k=4096", "topk:block=64,k=64"})
    for (const size_t length : {1, 63, 64, 65, 5000})
      for (int kind = 0; kind < kKinds; kind++) {
        const auto x = values(static_cast<Kind>(kind), length, random);
        for (const auto backend : backend::available())
          with_backend(backend,
                       [&] { CHECK(same_bits(decode(open(spec), encode(open(spec), x), length), x)); });
      }
}

TEST("topk: a wire by hand") {
  const Codec& codec = open("topk:block=64,k=3,values=sign");
  std::vector<float> x(66, 0.0f);
  x[1] = -4.0f, x[40] = 1.0f, x[63] = 1.0f, x[62] = -0.5f, x[64] = -0.0f, x[65] = 3.0f;
  // Block 0 keeps 1, 40, 63: signs 001, mean 2. Block 1 keeps both: signs 01, mean 1.5.
  // Indices of 6 bits: 1 | 40 << 6 | 63 << 12 = 0x3fa01, and 0 | 1 << 6 = 0x40.
  const std::vector<uint8_t> expected = {0x01, 0x01, 0x01, 0xfa, 0x03, 0x40, 0x00, 0,
                                         0,    0,    0x40, 0,    0,    0xc0, 0x3f};
  CHECK(encode(codec, x) == expected);
  std::vector<float> back(66, 0.0f);
  back[1] = -2.0f, back[40] = 2.0f, back[63] = 2.0f, back[64] = -1.5f, back[65] = 1.5f;
  CHECK(same_bits(decode(codec, expected, 66), back));
}

TEST("topk: bytes of a wire") {
  CHECK(open("topk").bytes(4096) == 64 * 4 + 64 * 12 / 8);
  CHECK(open("topk").bytes(4097) == 64 * 4 + 64 * 12 / 8 + 4 + 2);
  CHECK(open("topk:values=int8").bytes(2 * 4096) == 2 * (64 + 96 + 1));
  CHECK(open("topk:values=sign,k=9,block=64").bytes(64 + 3) == (2 + 7 + 4) + (1 + 3 + 4));
}

TEST("topk reads a stranger's indices alike everywhere: past the tail nothing, of equal ones the last") {
  const Codec& codec = open("topk:block=64,k=3");
  const auto wire_of = [](std::vector<float> kept, std::vector<uint32_t> index) {
    std::vector<uint8_t> wire(4 * kept.size());
    std::memcpy(wire.data(), kept.data(), wire.size());
    uint32_t bits = 0;
    for (size_t j = 0; j < index.size(); j++) bits |= index[j] << 6 * j;
    for (size_t i = 0; i < (6 * index.size() + 7) / 8; i++)
      wire.push_back(static_cast<uint8_t>(bits >> 8 * i));
    return wire;
  };
  for (const auto backend : backend::available())
    with_backend(backend, [&] {
      std::vector<float> expected(5, 0.0f);
      expected[4] = 3.0f;
      CHECK(same_bits(decode(codec, wire_of({1, 2, 3}, {5, 63, 4}), 5), expected));
      expected[4] = 2.0f;
      CHECK(same_bits(decode(codec, wire_of({1, 2, 3}, {4, 4, 5}), 5), expected));
      expected[4] = 0.0f, expected[0] = 1.0f, expected[1] = 3.0f;
      CHECK(same_bits(decode(codec, wire_of({1, 2, 3}, {0, 1, 1}), 5), expected));
    });
}

TEST("topk keeps NaN and Inf first, and shows them") {
  for (const char* option : {"fp32", "int8", "sign", "int2"})
    for (const uint32_t bad : {0x7fffffffu, 0xff800001u, 0x7f800000u, 0xff800000u}) {
      const Codec& codec = open(std::string("topk:block=128,k=2,values=") + option);
      std::vector<float> x(300, 1.0f);
      x[200] = exact::from_bits(bad);
      const auto wire = encode(codec, x);
      const auto back = decode(codec, wire, 300);
      CHECK(!std::isfinite(back[200]) && std::isfinite(back[0]) && back[255] == 0.0f);
      if (option == std::string("fp32"))
        CHECK(exact::bits(back[200]) == bad && back[128] == 1.0f);
      else
        CHECK(exact::bits(back[200]) == exact::kNan && exact::bits(back[128]) == exact::kNan);
      if (option == std::string("int8")) CHECK(wire[2] == 0 && wire[3] == 0 && wire[wire.size() - 2] == 255);
    }
}

TEST("topk: kept values are within their format's error, and the whole is contractive") {
  std::mt19937_64 random(check::seed());
  for (const char* spec :
       {"topk:k=32", "topk:k=32,values=int8", "topk:k=32,values=sign", "topk:block=64,k=1,values=sign"})
    for (const Kind kind : {Kind::normal, Kind::tiny, Kind::ties}) {
      const Codec& codec = open(spec);
      const auto x = values(kind, 10007, random);
      const auto back = decode(codec, encode(codec, x), x.size());
      for (size_t at = 0; at < x.size(); at += codec.options.block) {
        const size_t count = std::min<size_t>(codec.options.block, x.size() - at);
        const auto kept = kept_by_sorting(x.data() + at, count, codec.options.k);
        double norm = 0, error = 0, largest = 0, mean = 0;
        for (size_t i = at; i < at + count; i++) {
          norm += double{x[i]} * double{x[i]};
          error += std::pow(double{x[i]} - double{back[i]}, 2);
          largest = std::max(largest, std::fabs(double{x[i]}));
        }
        for (const uint32_t i : kept) mean += std::fabs(double{x[at + i]}) / static_cast<double>(kept.size());
        CHECK_THAT(error <= norm * (1 - 0.9 / static_cast<double>(count)) || norm < 0x1p-250, codec.spec);
        for (const uint32_t i : kept) {
          const double off = std::fabs(double{x[at + i]} - double{back[at + i]});
          if (codec.options.values == 0) CHECK(off == 0);
          if (codec.options.values == 1)
            CHECK(off <= std::max(largest / 127, 0x1p-127) && off <= std::fabs(double{x[at + i]}));
          if (codec.options.values == 2)
            CHECK(std::fabs(std::fabs(double{back[at + i]}) - mean) <= mean * 1e-6 + 0x1p-149);
        }
      }
    }
}

TEST("topk refuses options that contradict each other") {
  const Codec* codec;
  CHECK(codec_open("topk:block=100", &codec).message().find("\"block\" is not a power of two") !=
        std::string::npos);
  CHECK(codec_open("topk:block=64,k=65", &codec).message().find("\"k\" is above option \"block\"") !=
        std::string::npos);
  CHECK(codec_open("topk:block=64", &codec).code() == GM_OK);
}
