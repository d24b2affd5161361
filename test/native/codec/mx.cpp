// The Microscaling codecs against wires worked out by hand from the specification's tables, and against its
// conversion in doubles: every code with every scale, every rounding boundary at every kind of scale.
#include "codec/mx.h"

#include <algorithm>
#include <functional>

#include "support.h"

using namespace codec_test;

namespace {

constexpr size_t kBlock = 32;

// A format as section 5.3's tables give it, in doubles: sign, exponent field, mantissa field.
struct Format {
  const char* name;
  int bits, exponent_bits, mantissa_bits, bias, most_exponent;
  uint32_t most;  // the code of the largest number

  double magnitude(uint32_t code) const {
    if (exponent_bits == 0) return code / 64.0;  // mxint8: units of 2^-6
    const int field = static_cast<int>(code >> mantissa_bits);
    const double fraction = static_cast<double>(code & ((1u << mantissa_bits) - 1)) / (1 << mantissa_bits);
    return field == 0 ? std::ldexp(fraction, 1 - bias) : std::ldexp(1.0 + fraction, field - bias);
  }
  // What a code of a wire is worth.
  double number(uint32_t code) const {
    if (exponent_bits == 0) return static_cast<int8_t>(code) / 64.0;
    const uint32_t sign = 1u << (bits - 1), bare = code & (sign - 1);
    double value = magnitude(bare);
    if (bits == 8 && mantissa_bits == 3 && bare == 0x7f) value = NAN;
    if (mantissa_bits == 2 && bare >= 0x7c) value = bare == 0x7c ? INFINITY : NAN;
    return code & sign ? -value : value;
  }
  // The nearest number's code: all of them tried.
  uint32_t nearest(double x) const {
    const double target = std::fabs(x);
    uint32_t best = 0;
    for (uint32_t code = 1; code <= most; code++) {
      const double closer = std::fabs(magnitude(code) - target) - std::fabs(magnitude(best) - target);
      if (closer < 0 || (closer == 0 && code % 2 == 0)) best = code;
    }
    if (!std::signbit(x)) return best;
    return exponent_bits == 0 ? (0x100 - best) & 0xff : best | 1u << (bits - 1);
  }
};
constexpr Format kFormats[] = {{"mxfp8_e4m3", 8, 4, 3, 7, 8, 0x7e},
                               {"mxfp8_e5m2", 8, 5, 2, 15, 15, 0x7b},
                               {"mxfp4", 4, 2, 1, 1, 2, 0x7},
                               {"mxint8", 8, 0, 6, 0, 0, 127}};

uint32_t code_of(const Format& format, const std::vector<uint8_t>& wire, size_t i) {
  return format.bits == 8 ? wire[i] : wire[i / 2] >> i % 2 * 4 & 15u;
}

// Section 6.3 in doubles: the wire of finite elements.
std::vector<uint8_t> reference(const Format& format, const std::vector<float>& source) {
  std::vector<uint8_t> wire((source.size() * static_cast<size_t>(format.bits) + 7) / 8), scales;
  for (size_t at = 0; at < source.size(); at += kBlock) {
    const size_t end = std::min(source.size(), at + kBlock);
    double largest = 0;
    for (size_t i = at; i < end; i++) largest = std::max(largest, std::fabs(double{source[i]}));
    int exponent = -127;
    if (largest > 0) exponent = std::max(-127, std::ilogb(largest) - format.most_exponent);
    scales.push_back(static_cast<uint8_t>(exponent + 127));
    for (size_t i = at; i < end; i++) {
      const uint32_t code = format.nearest(std::ldexp(double{source[i]}, -exponent));
      if (format.bits == 8)
        wire[i] = static_cast<uint8_t>(code);
      else
        wire[i / 2] = static_cast<uint8_t>(wire[i / 2] | code << i % 2 * 4);
    }
  }
  wire.insert(wire.end(), scales.begin(), scales.end());
  return wire;
}

void on_every_backend(const std::function<void(const std::string&)>& body) {
  for (const auto backend : backend::available())
    with_backend(backend, [&] { body(backend::name(backend)); });
}

}  // namespace

TEST("mxfp4 by hand: every number, every tie, the clamp; low nibble first, then the scale") {
  // The largest is 6 = 1.5 * 2^2, emax is 2: X = 1.
  const std::vector<float> source = {0.0f,  0.5f,  1.0f,  1.5f,  2.0f, 3.0f, 4.0f, 6.0f,  -0.5f, -6.0f,
                                     0.25f, 0.75f, 1.25f, 1.75f, 2.5f, 3.5f, 5.0f, 0.26f, 0.74f};
  const std::vector<uint8_t> want = {0x10, 0x32, 0x54, 0x76, 0xf9, 0x20, 0x42, 0x64, 0x16, 0x01, 127};
  // 7.9 is below 8 = 2^3: X stays 1, and 6 is the largest there is.
  on_every_backend([&](const std::string& name) {
    const Codec& codec = *codec_find("mxfp4");
    CHECK_THAT(encode(codec, source) == want, name);
    CHECK_THAT((encode(codec, {7.9f, -5.01f, 8.0f}) == std::vector<uint8_t>{0xd6, 0x06, 128}), name);
    CHECK_THAT((encode(codec, {7.9f, -5.01f}) == std::vector<uint8_t>{0xf7, 127}), name);
  });
}

TEST("mxfp8 and mxint8 by hand") {
  on_every_backend([](const std::string& name) {
    const auto coded = [](const char* codec, const std::vector<float>& source) {
      return encode(*codec_find(codec), source);
    };
    using Bytes = std::vector<uint8_t>;
    // E4M3: emax 8, so of a largest in [1, 2) X = 2^-8: byte 119. 1 is 256 = 2^(15 - 7): S.1111.000.
    CHECK_THAT(
        (coded("mxfp8_e4m3", {1.0f, -1.0f, 0.5f, 1.75f, 1.99f, 0x1p-17f, 0x1p-18f, 0x1.8p-17f, 1.0625f}) ==
         Bytes{0x78, 0xf8, 0x70, 0x7e, 0x7e, 0x01, 0x00, 0x02, 0x78, 119}),
        name);
    // E5M2: emax 15, byte 112. 1 is 2^15 = 2^(30 - 15): S.11110.00. The smallest is 2^-16 X = 2^-31.
    CHECK_THAT((coded("mxfp8_e5m2", {1.0f, -1.75f, 1.99f, 1.125f, 0x1p-31f, 0x1p-32f, -0x1.8p-32f}) ==
                Bytes{0x78, 0xfb, 0x7b, 0x78, 0x01, 0x00, 0x81, 112}),
               name);
    // INT8: units of 2^-6 X, X = 1. -128 is not used.
    CHECK_THAT((coded("mxint8", {1.0f, -1.0f, 1.99f, -1.999f, 0x1p-7f, 0x1.8p-6f, -0x1p-6f, 1.984375f}) ==
                Bytes{64, 0xc0, 127, 0x81, 0, 2, 0xff, 127, 127}),
               name);
  });
}

TEST("every code with every scale decodes to code times 2^(byte - 127)") {
  for (const Format& format : kFormats) {
    const Codec& codec = *codec_find(format.name);
    const size_t codes = size_t{1} << format.bits, elements = std::max(codes, kBlock);
    on_every_backend([&](const std::string& name) {
      for (int byte = 0; byte < 256; byte++) {
        std::vector<uint8_t> wire(codec.bytes(elements), static_cast<uint8_t>(byte));
        for (size_t i = 0; i < elements; i++)
          if (format.bits == 8)
            wire[i] = static_cast<uint8_t>(i);
          else if (i % 2 == 0)
            wire[i / 2] = static_cast<uint8_t>(i % 16 | (i + 1) % 16 << 4);
        const auto decoded = decode(codec, wire, elements);
        for (size_t i = 0; i < elements; i++) {
          const double want = std::ldexp(format.number(static_cast<uint32_t>(i % codes)), byte - 127);
          const auto bits =
              byte == 255 || std::isnan(want) ? 0x7fc00000u : exact::bits(static_cast<float>(want));
          CHECK_THAT(exact::bits(decoded[i]) == bits, std::string(format.name) + " on " + name + ": " +
                                                          std::to_string(i) + ", scale " +
                                                          std::to_string(byte));
        }
      }
    });
  }
}

TEST("every rounding boundary and its neighbours code as section 6.3 says, at the edges of the scales too") {
  for (const Format& format : kFormats) {
    const Codec& codec = *codec_find(format.name);
    for (const int exponent :
         {-127, -126, -125, -50, 0, 40, 127 - format.most_exponent - 1, 127 - format.most_exponent}) {
      // Each block holds the largest number, which sets the scale, and 31 boundaries.
      std::vector<float> source;
      const auto add = [&](float x) {
        if (source.size() % kBlock == 0)
          source.push_back(static_cast<float>(std::ldexp(format.magnitude(format.most), exponent)));
        source.push_back(source.size() % 3 == 0 ? -x : x);
      };
      for (uint32_t code = 0; code < format.most; code++) {
        const auto middle = static_cast<float>(
            std::ldexp((format.magnitude(code) + format.magnitude(code + 1)) / 2, exponent));
        for (const float x : {middle, std::nextafter(middle, 0.0f), std::nextafter(middle, INFINITY)}) add(x);
      }
      add(static_cast<float>(std::ldexp(2.0, exponent + format.most_exponent) * (1 - 0x1p-24)));  // the clamp
      const auto want = reference(format, source);
      on_every_backend([&](const std::string& name) {
        CHECK_THAT(encode(codec, source) == want,
                   std::string(format.name) + " on " + name + ", scale 2^" + std::to_string(exponent));
      });
    }
  }
}

TEST("random blocks of every magnitude code as section 6.3 says; the error is within what is documented") {
  std::mt19937_64 random(check::seed());
  constexpr double kClamp[] = {1.0 / 8, 1.0 / 8, 1.0 / 4, 1.0 / 128};
  for (const Format& format : kFormats) {
    const Codec& codec = *codec_find(format.name);
    const double clamp = kClamp[&format - kFormats];
    for (int round = 0; round < 60; round++) {
      std::vector<float> source(round % 2 == 0 ? 203 : 160);
      const uint32_t low = static_cast<uint32_t>(random() % 255),
                     span = static_cast<uint32_t>(random() % 30) + 1;
      for (float& x : source)
        x = exact::from_bits((static_cast<uint32_t>(random()) & 0x807fffffu) |
                             std::min<uint32_t>(254, low + static_cast<uint32_t>(random() % span)) << 23);
      const auto want = reference(format, source);
      on_every_backend(
          [&](const std::string& name) { CHECK_THAT(encode(codec, source) == want, format.name + name); });
      const auto decoded = decode(codec, want, source.size());
      for (size_t i = 0; i < source.size(); i++) {
        const size_t scale_at = (source.size() * static_cast<size_t>(format.bits) + 7) / 8 + i / kBlock;
        const double x = source[i], scale = std::ldexp(1.0, want[scale_at] - 127);
        const double step = std::ldexp(1.0, -format.mantissa_bits - 1),
                     smallest = format.magnitude(1) * scale;
        const double error = std::fabs(x - double{decoded[i]});
        CHECK_THAT(error <= std::max({clamp * std::fabs(x),
                                      format.exponent_bits == 0 ? 0 : step * std::fabs(x), smallest / 2}) &&
                       error <= std::fabs(x),
                   format.name);
      }
    }
  }
}

TEST("zeros, NaN and Inf: what section 6.3 leaves open is what mx.h says") {
  for (const Format& format : kFormats) {
    const Codec& codec = *codec_find(format.name);
    on_every_backend([&](const std::string& name) {
      for (const float bad : {NAN, -NAN, INFINITY, -INFINITY}) {
        std::vector<float> source(70, 1.0f);
        source[40] = bad;
        const auto wire = encode(codec, source);
        const auto decoded = decode(codec, wire, source.size());
        CHECK_THAT(wire[wire.size() - 2] == 255 && code_of(format, wire, 33) == 0, format.name + name);
        for (size_t i = 0; i < source.size(); i++)
          CHECK_THAT(exact::bits(decoded[i]) == (i / 32 == 1 ? 0x7fc00000u : 0x3f800000u),
                     format.name + name);
      }
      std::vector<float> zeros(32, 0.0f);
      zeros[3] = -0.0f;
      const auto wire = encode(codec, zeros);
      CHECK_THAT(wire.back() == 0 && code_of(format, wire, 0) == 0, format.name + name);
      CHECK_THAT(code_of(format, wire, 3) == (format.exponent_bits == 0 ? 0u : 1u << (format.bits - 1)),
                 format.name + name);
    });
  }
}
