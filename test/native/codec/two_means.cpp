// Values in 2 bits (values=int2) against their definition, worked out again; a wire by hand; their squared
// error beside that of signs; huge, tiny and broken values.
#include "codec/two_means.h"

#include <algorithm>

#include "support.h"

using namespace codec_test;

namespace {

const Codec& open(const std::string& spec) {
  const Codec* codec = codec_find(spec);
  CHECK_THAT(codec != nullptr, spec);
  return *codec;
}

// The written order of a sum: 16 lanes, then halves.
float sum_in_order(const std::vector<float>& y) {
  float lanes[16] = {};
  for (size_t i = 0; i < y.size(); i++) lanes[i % 16] += y[i];
  for (size_t width = 8; width > 0; width /= 2)
    for (size_t i = 0; i < width; i++) lanes[i] += lanes[i + width];
  return lanes[0];
}

// What x decodes to, all of whose sums are finite.
std::vector<float> decoded_by_hand(const std::vector<float>& x) {
  std::vector<float> y(x.size());
  std::transform(x.begin(), x.end(), y.begin(), [](float value) { return std::fabs(value); });
  float threshold = sum_in_order(y) / static_cast<float>(y.size()), mean[2];
  for (int split = 0; split < 4; split++) {
    if (split > 0) threshold = mean[0] + (mean[1] - mean[0]) / 2;
    size_t count[2];
    for (const bool above : {false, true}) {
      std::vector<float> side = y;
      for (float& value : side) value = (value > threshold) == above ? value : 0.0f;
      count[above] = static_cast<size_t>(
          std::count_if(y.begin(), y.end(), [&](float value) { return (value > threshold) == above; }));
      if (count[above] > 0) mean[above] = sum_in_order(side) / static_cast<float>(count[above]);
    }
    if (count[0] == 0) mean[0] = mean[1];
    if (count[1] == 0) mean[1] = mean[0];
  }
  std::vector<float> result(x.size());
  for (size_t i = 0; i < x.size(); i++) result[i] = std::copysign(mean[y[i] > threshold], x[i]);
  return result;
}

// A topk that keeps everything, so that only its values matter.
std::string keeps_all(size_t block, const char* values) {
  return "topk:block=" + std::to_string(block) + ",k=" + std::to_string(block) + ",values=" + values;
}

double squared_error(const Codec& codec, const std::vector<float>& x) {
  const auto back = decode(codec, encode(codec, x), x.size());
  double error = 0;
  for (size_t i = 0; i < x.size(); i++) error += std::pow(double{x[i]} - double{back[i]}, 2);
  return error;
}

template <class Body>
void on_every_backend(Body body) {
  for (const auto backend : backend::available()) with_backend(backend, body);
}

}  // namespace

TEST("int2 decodes to the sign and the mean of the smaller or of the larger magnitudes") {
  std::mt19937_64 random(check::seed());
  for (const size_t block : {64, 512, 4096})
    for (const size_t length : {size_t{1}, size_t{2}, size_t{15}, size_t{16}, size_t{17}, block - 1, block})
      for (const Kind kind : {Kind::normal, Kind::tiny, Kind::ties, Kind::zeros}) {
        if (length > block) continue;
        const Codec& codec = open(keeps_all(block, "int2"));
        const auto x = values(kind, length, random);
        const auto expected = decoded_by_hand(x);
        on_every_backend([&] {
          CHECK_THAT(same_bits(decode(codec, encode(codec, x), length), expected),
                     codec.spec + ", " + std::to_string(length) + " of kind " +
                         std::to_string(static_cast<int>(kind)));
        });
      }
}

TEST("int2: a wire by hand, and its bytes") {
  const Codec& codec = open("topk:block=64,k=5,values=int2");
  std::vector<float> x(64, 0.25f);
  x[1] = -4.0f, x[2] = 1.0f, x[3] = -1.0f, x[62] = 6.0f, x[63] = 1.0f;
  // Mean 2.6; above it 4 and 6, mean 5; the others' mean is 1; 3 parts them alike. Codes, from the lowest
  // bits: 3, 0, 2, 1 and 0. Indices of 6 bits: 1, 2, 3, 62, 63.
  const uint32_t indices = 1u | 2u << 6 | 3u << 12 | 62u << 18 | 63u << 24;
  std::vector<uint8_t> expected = {0b01100011, 0};
  for (int i = 0; i < 4; i++) expected.push_back(static_cast<uint8_t>(indices >> 8 * i));
  for (const uint8_t byte : {0, 0, 0x80, 0x3f, 0, 0, 0xa0, 0x40}) expected.push_back(byte);
  std::vector<float> back(64, 0.0f);
  back[1] = -5.0f, back[2] = 1.0f, back[3] = -1.0f, back[62] = 5.0f, back[63] = 1.0f;
  on_every_backend([&] {
    CHECK(encode(codec, x) == expected);
    CHECK(same_bits(decode(codec, expected, 64), back));
  });
  CHECK(open("topk:values=int2").bytes(4096) == 16 + 96 + 8);
  CHECK(open("topk:values=int2,k=9,block=64").bytes(64 + 3) == (3 + 7 + 8) + (1 + 3 + 8));
  CHECK(open("random_mask:values=int2").bytes(4097) == 5 + 8 + 1 + 8);
  CHECK(open("dct_topk:values=int2").bytes(4096) == 16 + 96 + 8);
}

TEST("int2: what equals the threshold belongs to the smaller ones") {
  const std::vector<float> x = {1.0f, -2.0f, 3.0f}, expected = {1.5f, -1.5f, 3.0f};  // the mean is 2
  on_every_backend([&] {
    CHECK(
        same_bits(decode(open(keeps_all(64, "int2")), encode(open(keeps_all(64, "int2")), x), 3), expected));
  });
}

TEST("int2: two magnitudes arrive as they are, and so does one") {
  const Codec& codec = open(keeps_all(64, "int2"));
  for (const float larger : {3.0f, 0.5f, -0.5f}) {
    std::vector<float> x(64, -0.5f);
    for (size_t i = 5; i < 64; i += 7) x[i] = larger;
    on_every_backend([&] { CHECK(same_bits(decode(codec, encode(codec, x), 64), x)); });
  }
}

TEST("int2: the squared error is at most that of signs, of normal top-k values less than 0.35 of it") {
  std::mt19937_64 random(check::seed());
  for (const Kind kind : {Kind::normal, Kind::ties, Kind::tiny})
    for (const size_t block : {64, 256, 4096})
      for (int trial = 0; trial < 20; trial++) {
        const auto x = values(kind, block, random);
        const double sign = squared_error(open(keeps_all(block, "sign")), x);
        CHECK_THAT(squared_error(open(keeps_all(block, "int2")), x) <= sign * (1 + 1e-6),
                   std::to_string(block));
      }
  // One large value among small ones, where the mean lies far from the best threshold.
  std::vector<float> skewed(4096);
  for (size_t i = 0; i < skewed.size(); i++) skewed[i] = 1.0f / static_cast<float>(1 + i % 97);
  skewed[1000] = -500.0f;
  CHECK(squared_error(open(keeps_all(4096, "int2")), skewed) <
        squared_error(open(keeps_all(4096, "sign")), skewed) / 100);

  double of_signs = 0, of_means = 0;
  for (int trial = 0; trial < 50; trial++) {
    const auto x = values(Kind::normal, 4096, random);
    const double dropped = squared_error(open("topk"), x);
    of_signs += squared_error(open("topk:values=sign"), x) - dropped;
    of_means += squared_error(open("topk:values=int2"), x) - dropped;
  }
  CHECK_THAT(of_means < of_signs * 0.35, std::to_string(of_means / of_signs));
}

TEST("int2: the largest floats stay finite whatever their number, the smallest are no further off than 0") {
  const float largest = std::numeric_limits<float>::max();
  for (const size_t length : {1, 2, 3, 5, 9, 17, 100, 1000, 4095, 4096}) {
    std::vector<float> x(length, -largest);
    on_every_backend([&] {
      const auto back =
          decode(open(keeps_all(4096, "int2")), encode(open(keeps_all(4096, "int2")), x), length);
      for (const float value : back) CHECK(std::isfinite(value) && value < -0.999f * largest);
    });
    if (length < 3) continue;
    x[1] = largest / 2, x[2] = 1.0f;
    const auto back = decode(open(keeps_all(4096, "int2")), encode(open(keeps_all(4096, "int2")), x), length);
    for (const float value : back) CHECK(std::isfinite(value));
  }
  for (const uint32_t bits : {1u, 2u, 3u}) {
    std::vector<float> x(64, 0.0f);
    x[7] = exact::from_bits(bits), x[8] = -x[7], x[9] = exact::from_bits(1);
    double norm = 0;
    for (const float value : x) norm += double{value} * double{value};
    CHECK(squared_error(open(keeps_all(64, "int2")), x) <= norm);
  }
}

TEST(
    "int2: with NaN or Inf among them all kept values are NaN, and a stranger's levels are read as they "
    "are") {
  const Codec& codec = open("topk:block=64,k=2,values=int2");
  for (const uint32_t bad : {0x7fffffffu, 0xff800001u, 0x7f800000u, 0xff800000u}) {
    std::vector<float> x(200, 1.0f);
    x[100] = exact::from_bits(bad);
    on_every_backend([&] {
      const auto back = decode(codec, encode(codec, x), 200);
      CHECK(exact::bits(back[100]) == exact::kNan && exact::bits(back[64]) == exact::kNan);
      CHECK(back[65] == 0.0f && back[0] == 1.0f && back[128] == 1.0f);
    });
  }
  // Codes 1 and 2 of elements 0 and 1; the smaller level Inf, the larger one a NaN.
  const std::vector<uint8_t> wire = {0b1001, 0x40, 0, 0, 0, 0x80, 0x7f, 1, 0, 0x80, 0xff};
  on_every_backend([&] {
    const auto back = decode(codec, wire, 64);
    CHECK(exact::bits(back[0]) == exact::kNan && back[1] == -INFINITY && back[2] == 0.0f);
  });
}
