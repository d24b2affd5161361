// int4_affine against its written definition: layout, exact ends, the error bound, special values, any bytes.
#include "codec/int4_affine.h"

#include <algorithm>

#include "support.h"

using namespace codec_test;

namespace {

const Codec& codec(size_t block = 64) { return *codec_find("int4_affine:block=" + std::to_string(block)); }

struct Parts {
  std::vector<int> codes;
  std::vector<float> offsets, scales;
};
Parts take_apart(const Codec& c, const std::vector<uint8_t>& wire, size_t elements) {
  Parts parts;
  for (size_t i = 0; i < elements; i++) parts.codes.push_back(wire[i / 2] >> i % 2 * 4 & 15);
  for (size_t at = (elements + 1) / 2; at < wire.size(); at += 8) {
    float pair[2];
    std::memcpy(pair, wire.data() + at, 8);
    parts.offsets.push_back(pair[0]);
    parts.scales.push_back(pair[1]);
  }
  CHECK(parts.offsets.size() == (elements + c.options.block - 1) / c.options.block);
  return parts;
}

// The definition, from C's own float operations on finite values.
void check_block(const Codec& c, const std::vector<float>& x, const Parts& got) {
  const float least = *std::min_element(x.begin(), x.end()), most = *std::max_element(x.begin(), x.end());
  CHECK_THAT(got.offsets[0] == least && !std::signbit(got.offsets[0] == 0 ? got.offsets[0] : 1.0f), c.spec);
  if (least == most) {
    CHECK(got.scales[0] == 0);
    for (const int code : got.codes) CHECK(code == 0);
    return;
  }
  volatile float half_range = most / 2, scale, inverse = 2.0f, y;
  half_range = half_range - least / 2;
  scale = half_range / 7.5f;
  if (scale < 0x1p-126f) scale = 0x1p-126f;
  if (std::isinf(std::fma(15.0f, scale, least))) scale = scale * (1 - 0x1p-20f);
  CHECK_THAT(got.scales[0] == scale, c.spec);
  inverse = inverse / scale;
  for (size_t i = 0; i < x.size(); i++) {
    y = x[i] / 2;
    y = y - least / 2;
    y = y * inverse;
    CHECK(got.codes[i] == std::min(15, static_cast<int>(std::nearbyint(double{y}))));
  }
}

std::vector<float> finite(std::vector<float> x) {
  for (float& each : x)
    if (!std::isfinite(each)) each = 1.5f;
  return x;
}

}  // namespace

TEST("encode gives the definition's offset, scale and codes, on every backend") {
  std::mt19937_64 random(check::seed());
  for (const size_t block : {16, 32, 64, 128, 256})
    for (int trial = 0; trial < 200; trial++) {
      auto source =
          finite(values(static_cast<Kind>(trial % kKinds), trial % 2 ? block : 1 + random() % block, random));
      if (trial % 5 == 4)
        for (float& x : source) x = 1000.0f + std::fabs(x) * 1e-3f;
      for (const auto backend : backend::available())
        with_backend(backend, [&] {
          check_block(codec(block), source,
                      take_apart(codec(block), encode(codec(block), source), source.size()));
        });
    }
}

TEST("the bytes of a small wire, codes first, offset and scale behind them") {
  const auto wire = encode(codec(), {1.0f, 16.0f, 3.0f});
  CHECK((wire == std::vector<uint8_t>{0xf0, 0x02, 0, 0, 0x80, 0x3f, 0, 0, 0x80, 0x3f}));
  CHECK(same_bits(decode(codec(), wire, 3), {1.0f, 16.0f, 3.0f}));
}

TEST("ties go to the even code") {
  std::vector<float> source = {0.0f, 15.0f};
  for (int i = 0; i < 15; i++) source.push_back(static_cast<float>(i) + 0.5f);
  const auto codes = take_apart(codec(), encode(codec(), source), source.size()).codes;
  for (int i = 0; i < 15; i++) CHECK(codes[static_cast<size_t>(2 + i)] == (i + 1) / 2 * 2);
}

TEST(
    "an error is at most half a scale; the smallest is exact; the squared error is below 0.57 of the "
    "squares") {
  std::mt19937_64 random(check::seed());
  double worst = 0;
  for (int trial = 0; trial < 600; trial++) {
    const Codec& c = codec(size_t{16} << trial % 5);
    auto source = finite(values(trial % 2 ? Kind::normal : Kind::raw, c.options.block, random));
    if (trial % 3 == 0) {  // the worst for a contraction: nearly all errors half a scale, two elements large
      std::fill(source.begin(), source.end(), 0.0f);
      source[1] = -0.5f, source[2] = 14.5f / 29.0f * 1.0f + static_cast<float>(trial) * 1e-3f;
    }
    const auto wire = encode(c, source);
    const auto decoded = decode(c, wire, source.size());
    const double scale = double{take_apart(c, wire, source.size()).scales[0]};
    double squares = 0, errors = 0;
    for (size_t i = 0; i < source.size(); i++) {
      const double error = std::fabs(double{source[i]} - double{decoded[i]});
      CHECK(error <= scale * (0.5 + 0x1p-19));
      worst = std::max(worst, error / scale);
      if (scale > 1e-18 && scale < 1e18) errors += error * error, squares += std::pow(double{source[i]}, 2);
    }
    CHECK_THAT(errors <= 0.57 * squares, std::to_string(errors / squares));
    CHECK(*std::min_element(decoded.begin(), decoded.end()) ==
          *std::min_element(source.begin(), source.end()));
  }
  CHECK(worst > 0.45);
}

TEST("finite values stay finite over the whole range, and close ones far from zero stay apart") {
  const float most = std::numeric_limits<float>::max();
  const auto wide = decode(codec(), encode(codec(), {most, -most, 0.0f}), 3);
  CHECK(wide[0] > most * 0.99f && std::isfinite(wide[0]) && wide[1] == -most &&
        std::fabs(wide[2]) < most / 14.9f);
  std::mt19937_64 random(check::seed());
  for (int trial = 0; trial < 20000; trial++) {  // some of them would be Inf but for the shrunken scale
    const float least = -std::ldexp(static_cast<float>(1 + random() % (1 << 24)), 104);
    const auto decoded = decode(codec(), encode(codec(), {least, most}), 2);
    CHECK_THAT(decoded[0] == least && std::isfinite(decoded[1]) && decoded[1] > most * 0.999f,
               std::to_string(least));
  }
  std::vector<float> close(64, 1e6f);
  for (size_t i = 0; i < 64; i++) close[i] += 0.0625f * static_cast<float>(i % 16);
  CHECK(same_bits(decode(codec(), encode(codec(), close), 64), close));
  CHECK(same_bits(decode(codec(), encode(codec(), {-0.0f, -0.0f, 0.0f}), 3), {0.0f, 0.0f, 0.0f}));
  CHECK(same_bits(decode(codec(), encode(codec(), std::vector<float>(64, -3.25f)), 64),
                  std::vector<float>(64, -3.25f)));
}

TEST("a block with NaN or Inf is NaN everywhere, and only that block") {
  for (const float bad : {NAN, -NAN, INFINITY, -INFINITY, exact::from_bits(0xff800001)}) {
    std::vector<float> source(131, 2.0f);
    source[64 + 17] = bad;
    const auto decoded = decode(codec(), encode(codec(), source), 131);
    for (size_t i = 0; i < 131; i++)
      CHECK(exact::bits(decoded[i]) == (i >= 64 && i < 128 ? exact::kNan : exact::bits(2.0f)));
  }
}

TEST("every code with any offset and scale decodes to their fma, on every backend") {
  std::mt19937_64 random(check::seed());
  const uint32_t special[] = {0,          0x80000000, 1,          0x7f7fffff, 0x7f800000,
                              0xff800000, 0x7fc00001, 0xffffffff, 0x3f800000};
  for (int trial = 0; trial < 400; trial++) {
    const uint32_t offset = trial % 2 ? special[random() % 9] : static_cast<uint32_t>(random());
    const uint32_t scale = trial % 3 ? special[random() % 9] : static_cast<uint32_t>(random());
    std::vector<uint8_t> wire(codec().bytes(64));
    for (size_t i = 0; i < 32; i++) wire[i] = static_cast<uint8_t>(2 * i % 16 | (2 * i + 1) % 16 << 4);
    std::memcpy(wire.data() + 32, &offset, 4);
    std::memcpy(wire.data() + 36, &scale, 4);
    for (const auto backend : backend::available())
      with_backend(backend, [&] {
        const auto decoded = decode(codec(), wire, 64);
        for (size_t i = 0; i < 64; i++) {
          const float value =
              std::fma(static_cast<float>(i % 16), exact::from_bits(scale), exact::from_bits(offset));
          CHECK(exact::bits(decoded[i]) == (std::isnan(value) ? exact::kNan : exact::bits(value)));
        }
      });
  }
}

TEST("a block that is no power of two is refused, by name and with what is allowed") {
  for (const std::string block : {"17", "48", "255"}) {
    const Codec* opened;
    const Status status = codec_open("int4_affine:block=" + block, &opened);
    CHECK(status.code() == GM_INVALID_ARGUMENT &&
          status.message().find("16, 32, .. 256") != std::string::npos);
  }
}
