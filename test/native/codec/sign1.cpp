// sign1 against its definition: signs, the order of the sum, overflow, NaN, and the bound of its error.
#include "codec/sign1.h"

#include <algorithm>

#include "support.h"

using namespace codec_test;

namespace {

const Codec& open(const std::string& spec) {
  const Codec* codec = codec_find(spec);
  CHECK_THAT(codec != nullptr, spec);
  return *codec;
}

// The written order, once more: 16 lanes, then halves.
float sum_in_order(const float* x, size_t count) {
  float lanes[16] = {};
  for (size_t i = 0; i < count; i++) lanes[i % 16] += std::fabs(x[i]);
  for (size_t width = 8; width > 0; width /= 2)
    for (size_t i = 0; i < width; i++) lanes[i] += lanes[i + width];
  return lanes[0];
}

std::vector<float> decoded_by_hand(const std::vector<float>& x, size_t block) {
  std::vector<float> result(x.size());
  for (size_t at = 0; at < x.size(); at += block) {
    const size_t count = std::min(block, x.size() - at);
    const float scale = sum_in_order(x.data() + at, count) / static_cast<float>(count);
    for (size_t i = at; i < at + count; i++) result[i] = std::signbit(x[i]) ? -scale : scale;
  }
  return result;
}

template <class Body>
void on_every_backend(Body body) {
  for (const auto backend : backend::available()) with_backend(backend, body);
}

}  // namespace

TEST("sign1 decodes to the sign times the mean, summed in the written order") {
  std::mt19937_64 random(check::seed());
  for (const char* spec : {"sign1", "sign1:block=64", "sign1:block=4096"})
    for (const size_t length : {1, 7, 8, 9, 15, 16, 17, 63, 64, 255, 256, 300, 9001})
      for (const Kind kind : {Kind::normal, Kind::tiny, Kind::ties, Kind::zeros}) {
        const Codec& codec = open(spec);
        const auto x = values(kind, length, random);
        const auto expected = decoded_by_hand(x, codec.options.block);
        on_every_backend([&] {
          const auto wire = encode(codec, x);
          CHECK_THAT(same_bits(decode(codec, wire, length), expected),
                     codec.spec + ", " + std::to_string(length));
          for (size_t i = 0; i < length; i++) CHECK((wire[i / 8] >> i % 8 & 1) == std::signbit(x[i]));
          for (size_t i = length; i % 8 != 0; i++) CHECK((wire[i / 8] >> i % 8 & 1) == 0);
        });
      }
}

TEST("sign1: finite values stay finite, however large") {
  const float most = std::numeric_limits<float>::max();
  for (const char* spec : {"sign1", "sign1:block=4096"})
    for (const size_t length : {2, 100, 4096, 5000})
      for (const float x : {most, most / 3, most / 4000}) {
        std::vector<float> source(length, x);
        source[length / 2] = -x;
        on_every_backend([&] {
          for (const float back : decode(open(spec), encode(open(spec), source), length))
            CHECK_THAT(std::fabs(std::fabs(double{back}) / double{x} - 1) < 1e-5, std::to_string(double{x}));
        });
      }
}

// No sum is above that of the largest floats, as rounding is monotone: so the scale of any finite block is
// finite.
TEST("sign1: the mean of the largest floats is finite, for every number of them") {
  const std::vector<float> most(4096, std::numeric_limits<float>::max());
  for (size_t count = 1; count <= most.size(); count++) {
    const float sum = codecs::sign1::magnitude_sum(most.data(), count, codecs::sign1::kShrink);
    CHECK_THAT(std::isfinite(codecs::sign1::mean_of_shrunk(sum, count)), std::to_string(count));
  }
}

TEST("sign1: a block with NaN or Inf is NaN, the others are not") {
  std::mt19937_64 random(check::seed());
  for (const uint32_t bad : {0x7fffffffu, 0xff800001u, 0x7f800000u, 0xff800000u})
    for (const size_t at : {256, 300, 511}) {
      auto source = values(Kind::normal, 700, random);
      source[at] = exact::from_bits(bad);
      on_every_backend([&] {
        const auto back = decode(open("sign1"), encode(open("sign1"), source), 700);
        for (size_t i = 0; i < 700; i++)
          CHECK(i / 256 == 1 ? exact::bits(back[i]) == exact::kNan : std::isfinite(back[i]));
      });
    }
}

TEST("sign1 reads a stranger's scale: a sign turns it, a NaN is the one NaN") {
  for (const uint32_t scale :
       {0x40000000u, 0xc0000000u, 0x00000000u, 0x7f800000u, 0x7fffffffu, 0xff800001u}) {
    std::vector<uint8_t> wire = {0x02, 0, 0, 0, 0};
    std::memcpy(wire.data() + 1, &scale, 4);
    on_every_backend([&] {
      const auto back = decode(open("sign1"), wire, 2);
      const bool nan = (scale & 0x7fffffffu) > 0x7f800000u;
      CHECK(exact::bits(back[0]) == (nan ? exact::kNan : scale));
      CHECK(exact::bits(back[1]) == (nan ? exact::kNan : scale ^ 0x80000000u));
    });
  }
}

TEST("sign1: the error of a block is what its documentation says") {
  std::mt19937_64 random(check::seed());
  for (const Kind kind : {Kind::normal, Kind::ties}) {
    const auto x = values(kind, 256 * 50, random);
    const auto back = decode(open("sign1"), encode(open("sign1"), x), x.size());
    for (size_t at = 0; at < x.size(); at += 256) {
      double error = 0, squares = 0, magnitudes = 0;
      for (size_t i = at; i < at + 256; i++) {
        error += std::pow(double{x[i]} - double{back[i]}, 2);
        squares += std::pow(double{x[i]}, 2);
        magnitudes += std::fabs(double{x[i]});
      }
      CHECK(std::fabs(error - (squares - magnitudes * magnitudes / 256)) <= 1e-6 * squares);
      CHECK(error <= squares * (1 - 1.0 / 256));
    }
  }
}

// Results beyond 4 MiB are written past the caches, by code of their own.
TEST("sign1: a large result is the same as its parts, at any alignment") {
  std::mt19937_64 random(check::seed());
  const size_t length = (size_t{1} << 20) + 256 * 3 + 37;
  const auto x = values(Kind::normal, length, random);
  const auto expected = decoded_by_hand(x, 256);
  on_every_backend([&] {
    const auto wire = encode(open("sign1"), x);
    for (const size_t skew : {0, 1, 4}) {
      std::vector<float> target(length + 8, 7.0f);
      codec_loops(open("sign1"))
          .decode(open("sign1").options, key_of(0), wire.data(), length, target.data() + skew);
      CHECK(std::memcmp(target.data() + skew, expected.data(), length * 4) == 0);
      CHECK(target[skew + length] == 7.0f && (skew == 0 || target[skew - 1] == 7.0f));
    }
  });
}

TEST("sign1 refuses a block that is no power of two") {
  const Codec* codec;
  CHECK(codec_open("sign1:block=96", &codec).message().find("\"block\" is not a power of two") !=
        std::string::npos);
}
