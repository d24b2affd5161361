// e3m0 and nf4 against all their values tried one by one, and their tables against the papers'.
#include <algorithm>

#include "codec/e3m0.h"
#include "codec/nf4.h"
#include "support.h"

using namespace codec_test;

namespace {

uint32_t nibble(const std::vector<uint8_t>& wire, size_t i) { return wire[i / 2] >> i % 2 * 4 & 15u; }

// QLoRA, appendix E.
constexpr double kNormalFloat[16] = {-1.0,
                                     -0.6961928009986877,
                                     -0.5250730514526367,
                                     -0.39491748809814453,
                                     -0.28444138169288635,
                                     -0.18477343022823334,
                                     -0.09105003625154495,
                                     0.0,
                                     0.07958029955625534,
                                     0.16093020141124725,
                                     0.24611230194568634,
                                     0.33791524171829224,
                                     0.44070982933044434,
                                     0.5626170039176941,
                                     0.7229568362236023,
                                     1.0};

// The e3m0 code of x with a scale of 2^exponent: all values tried, a tie to the even code.
uint32_t e3m0_nearest(double x, int exponent) {
  uint32_t best = 0;
  double least = std::fabs(x);
  for (uint32_t code = 1; code < 8; code++) {
    const double error = std::fabs(std::ldexp(1.0, exponent + static_cast<int>(code) - 7) - std::fabs(x));
    if (error < least || (error == least && code % 2 == 0)) best = code, least = error;
  }
  return best == 0 ? 0 : best | (x < 0 ? 8u : 0u);
}

}  // namespace

TEST("e3m0 by hand: halves of the scale down to 1/64, ties to the even code, the scale last") {
  const Codec& codec = *codec_find("e3m0:block=32");
  // The scale is 2: its byte is 128. Codes 7 .. 1 are 2, 1, 1/2, 1/4, 1/8, 1/16, 1/32.
  const std::vector<float> source = {2.0f,  -1.0f,     0.5f,    0.25f, -0.125f, 0.0625f, 0.03125f, 0.0f,
                                     -0.0f, 0.015625f, 0.0157f, 1.5f,  0.75f,   -0.375f, 2.9f,     0.09375f};
  const std::vector<uint8_t> want = {0xe7, 0x45, 0x2b, 0x01, 0x00, 0x61, 0xc6, 0x27, 128};
  // 1.5 * 2^e goes to 2^e, and what is above it to 2^(e + 1).
  for (const auto backend : backend::available())
    with_backend(backend, [&] {
      CHECK(encode(codec, source) == want);
      CHECK((encode(codec, {1.5f}) == std::vector<uint8_t>{0x07, 127}));
      CHECK((encode(codec, {-1.5000001f}) == std::vector<uint8_t>{0x0f, 128}));
      CHECK((encode(codec, {std::numeric_limits<float>::max()}) == std::vector<uint8_t>{0x07, 254}));
      CHECK((encode(codec, {0x1p-149f, 0x1p-133f}) == std::vector<uint8_t>{0x10, 0}));
    });
}

TEST("e3m0 is the nearest value for every magnitude, and its error what is documented") {
  std::mt19937_64 random(check::seed());
  for (const char* spec : {"e3m0", "e3m0:block=32", "e3m0:block=4096"}) {
    const Codec& codec = *codec_find(spec);
    const size_t block = codec.traits.block_elements;
    for (int round = 0; round < 40; round++) {
      std::vector<float> source(block + static_cast<size_t>(random() % 100));
      const uint32_t low = static_cast<uint32_t>(random() % 254);
      for (float& x : source) {
        const uint32_t draw = static_cast<uint32_t>(random());
        // Every other one is a tie between powers of two.
        x = exact::from_bits((draw & (round % 2 == 0 ? 0x80400000u : 0x807fffffu)) |
                             std::min<uint32_t>(254, low + draw % 11) << 23);
      }
      for (const auto backend : backend::available())
        with_backend(backend, [&] {
          const auto wire = encode(codec, source);
          const auto decoded = decode(codec, wire, source.size());
          for (size_t at = 0; at < source.size(); at += block) {
            const int byte = wire[(source.size() + 1) / 2 + at / block];
            const size_t end = std::min(source.size(), at + block);
            double largest = 0;
            for (size_t i = at; i < end; i++) largest = std::max(largest, std::fabs(double{source[i]}));
            // The nearest power of two, the lower one of two.
            int exponent = largest > 0 ? std::ilogb(largest) : -127;
            if (largest > std::ldexp(1.5, exponent)) exponent++;
            CHECK_THAT(byte == std::clamp(exponent, -127, 127) + 127, spec);
            for (size_t i = at; i < end; i++) {
              const double x = source[i], error = std::fabs(x - double{decoded[i]});
              CHECK_THAT(nibble(wire, i) == e3m0_nearest(x, byte - 127), spec);
              const double least = std::ldexp(1.0, byte - 127 - 7);
              CHECK_THAT(
                  error <= std::max(std::fabs(x) / (byte == 254 ? 2 : 3), least) && error <= std::fabs(x),
                  spec);
            }
          }
        });
    }
  }
}

TEST("every e3m0 code with every scale is a power of two, or zero") {
  const Codec& codec = *codec_find("e3m0:block=32");
  for (const auto backend : backend::available())
    with_backend(backend, [&] {
      for (int byte = 0; byte < 256; byte++) {
        std::vector<uint8_t> wire(17, static_cast<uint8_t>(byte));
        for (size_t i = 0; i < 16; i++) wire[i] = static_cast<uint8_t>(i | (15 - i) << 4);
        const auto decoded = decode(codec, wire, 32);
        for (size_t i = 0; i < 32; i++) {
          const uint32_t code = nibble(wire, i);
          const double want = (code & 7) == 0 ? 0.0
                                              : std::ldexp(code & 8 ? -1.0 : 1.0,
                                                           byte - 127 + static_cast<int>(code & 7) - 7);
          if (byte == 255)
            CHECK(exact::bits(decoded[i]) == 0x7fc00000u);
          else
            CHECK_THAT(double{decoded[i]} == want && std::signbit(decoded[i]) == (code > 7),
                       std::to_string(byte));
        }
      }
    });
}

TEST("nf4's values are the paper's, and its midpoints halfway, rounded down") {
  for (uint32_t code = 0; code < 16; code++) {
    CHECK_THAT(double{codecs::nf4::value(code)} == kNormalFloat[code], std::to_string(code));
    if (code == 15) continue;
    const double middle = (kNormalFloat[code] + kNormalFloat[code + 1]) / 2;  // exact: 25 bits
    const float below = codecs::nf4::midpoint(code);
    CHECK_THAT(below <= middle && std::nextafter(below, 2.0f) > middle, std::to_string(code));
  }
}

TEST("nf4 takes the nearest value, next to every midpoint too; the scale is the largest magnitude") {
  for (const char* spec : {"nf4", "nf4:block=32", "nf4:block=1024"}) {
    const Codec& codec = *codec_find(spec);
    const size_t block = codec.traits.block_elements;
    // 1 is the largest, so y is x.
    std::vector<float> source;
    const auto add = [&](float x) {
      if (source.size() % block == 0) source.push_back(source.size() / block % 2 == 0 ? 1.0f : -1.0f);
      source.push_back(x);
    };
    for (uint32_t code = 0; code < 15; code++) {
      const float middle = codecs::nf4::midpoint(code);
      for (const float x : {middle, std::nextafter(middle, -2.0f), std::nextafter(middle, 2.0f)}) add(x);
      add(codecs::nf4::value(code));
    }
    for (const auto backend : backend::available())
      with_backend(backend, [&] {
        const auto wire = encode(codec, source);
        const auto decoded = decode(codec, wire, source.size());
        for (size_t i = 0; i < source.size(); i++) {
          uint32_t want = 0;
          double least = 9;
          for (uint32_t code = 0; code < 16; code++) {
            const double error = std::fabs(kNormalFloat[code] - double{source[i]});
            if (error < least) want = code, least = error;  // of two equally near the lower one
          }
          CHECK_THAT(nibble(wire, i) == want, std::to_string(source[i]));
          CHECK_THAT(double{decoded[i]} == kNormalFloat[want], spec);
        }
      });
  }
}

TEST("nf4's error is within what is documented, for scales from denormals to the largest float") {
  std::mt19937_64 random(check::seed());
  const Codec& codec = *codec_find("nf4");
  for (int exponent = -149; exponent <= 127; exponent++) {
    std::vector<float> source(130);
    for (float& x : source)
      x = static_cast<float>(std::ldexp(
          static_cast<double>(static_cast<int64_t>(random() % 0x1ffffff) - 0xffffff), exponent - 24));
    source[0] = static_cast<float>(std::ldexp(1.0, exponent));
    const auto decoded = decode(codec, encode(codec, source), source.size());
    for (size_t at = 0; at < source.size(); at += 64) {
      double largest = 0, error = 0;
      for (size_t i = at; i < std::min(source.size(), at + 64); i++) {
        largest = std::max(largest, std::fabs(double{source[i]}));
        error = std::max(error, std::fabs(double{source[i]} - double{decoded[i]}));
      }
      // Denormal products round by half of 2^-149.
      CHECK_THAT(error <= 0.152 * largest + std::ldexp(1.0, -150), std::to_string(exponent));
    }
  }
}

TEST("nf4: NaN and Inf make their block NaN, zeros are zeros, and a stranger's scale may be any float") {
  const Codec& codec = *codec_find("nf4");
  for (const auto backend : backend::available())
    with_backend(backend, [&] {
      for (const float bad : {NAN, -INFINITY}) {
        std::vector<float> source(193, -1.0f);
        source[70] = bad;
        const auto wire = encode(codec, source);
        const auto decoded = decode(codec, wire, source.size());
        for (size_t i = 0; i < source.size(); i++)
          CHECK(exact::bits(decoded[i]) == (i / 64 == 1 ? 0x7fc00000u : 0xbf800000u));
        CHECK(wire[40] == 0x77);
      }
      CHECK((encode(codec, {0.0f, -0.0f, 0.0f}) == std::vector<uint8_t>{0x77, 0x07, 0, 0, 0, 0}));
      // -Inf: 0 times it is NaN, and the rest are Infs.
      const auto decoded = decode(codec, {0x70, 0x0f, 0x00, 0x00, 0x80, 0xff}, 3);
      CHECK(decoded[0] == INFINITY && exact::bits(decoded[1]) == 0x7fc00000u && decoded[2] == -INFINITY);
    });
}

TEST("e3m0 and nf4 refuse a block that is no power of two") {
  for (const char* spec : {"e3m0:block=96", "nf4:block=96"}) {
    const Codec* codec;
    const Status status = codec_open(spec, &codec);
    CHECK_THAT(!status && status.message().find("\"block\"") != std::string::npos &&
                   status.message().find("4096") != std::string::npos,
               spec);
  }
}
