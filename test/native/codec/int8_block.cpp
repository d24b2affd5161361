// int8_block against its written definition: scales, rounding, the meaning of special values, the error
// bound.
#include "codec/int8_block.h"

#include <algorithm>

#include "support.h"

using namespace codec_test;

namespace {

const Codec& codec() { return *codec_find("int8_block"); }

struct Block {
  int byte;
  std::vector<int> q;
};
Block block_of(const std::vector<float>& source) {
  const auto wire = encode(codec(), source);
  Block block{wire[0], {}};
  for (size_t i = 0; i < source.size(); i++) block.q.push_back(static_cast<int8_t>(wire[1 + i]));
  return block;
}

// The definition in doubles, which hold every x * 2^-e exactly.
Block reference(const std::vector<float>& source) {
  double largest = 0;
  for (const float x : source) {
    if (!std::isfinite(x)) return {255, std::vector<int>(source.size())};
    largest = std::max(largest, std::fabs(double{x}));
  }
  if (largest == 0) return {0, std::vector<int>(source.size())};
  int e = -126;
  while (e < 121 && largest > std::ldexp(127.0, e)) e++;
  Block block{e + 127, {}};
  for (const float x : source)
    block.q.push_back(std::clamp(static_cast<int>(std::nearbyint(std::ldexp(double{x}, -e))), -127, 127));
  return block;
}

}  // namespace

TEST("encode gives the definition's scale and integers, for values of every magnitude") {
  std::mt19937_64 random(check::seed());
  for (int trial = 0; trial < 20000; trial++) {
    auto source = values(Kind::raw, 1 + random() % 8, random);
    // Finite ones, gathered around one magnitude, so that more than one element is more than zero.
    const auto exponent = static_cast<uint32_t>(random() % 255);
    for (float& x : source) {
      const auto lower = std::min<uint32_t>(exponent, static_cast<uint32_t>(random() % 9));
      x = exact::from_bits((exact::bits(x) & 0x807fffffu) | (exponent - lower) << 23);
    }
    const Block got = block_of(source), expected = reference(source);
    CHECK_THAT(got.byte == expected.byte && got.q == expected.q, "byte " + std::to_string(got.byte));
  }
}

TEST("the scale is the smallest that fits, at the very edge") {
  for (int e = -126; e <= 120; e++) {
    const float edge = std::ldexp(127.0f, e);
    CHECK(block_of({edge}).byte == e + 127 && block_of({edge}).q[0] == 127);
    const float above = std::nextafterf(edge, INFINITY);
    CHECK(block_of({above}).byte == e + 128 && block_of({-above}).q[0] == -64);
  }
}

TEST("finite values stay finite, also the largest") {
  const float most = std::numeric_limits<float>::max();
  const Block block = block_of({most, -most, 0.0f});
  CHECK((block.byte == 248 && block.q == std::vector<int>{127, -127, 0}));
  const auto wire = encode(codec(), {most, -most});
  const float decoded = std::ldexp(127.0f, 121);
  CHECK(same_bits(decode(codec(), wire, 2), {decoded, -decoded}));
  CHECK(mean(codec(), {wire, wire, wire}, 2) == wire);
}

TEST("ties go to even, and 0.49999997 of a step is zero") {
  const Block block =
      block_of({127.0f, 0.5f, 1.5f, 2.5f, -0.5f, -1.5f, -2.5f, 0.49999997f, -0.49999997f, 126.5f});
  CHECK((block.byte == 127 && block.q == std::vector<int>{127, 0, 2, 2, 0, -2, -2, 0, 0, 126}));
}

TEST("the error is at most half a step, never more than the value") {
  std::mt19937_64 random(check::seed());
  for (int trial = 0; trial < 2000; trial++) {
    auto source = values(trial % 2 ? Kind::normal : Kind::raw, 256, random);
    float largest = 0;
    for (float& x : source) {
      if (!std::isfinite(x)) x = 1.0f;
      largest = std::max(largest, std::fabs(x));
    }
    const auto decoded = decode(codec(), encode(codec(), source), 256);
    for (size_t i = 0; i < 256; i++) {
      const double error = std::fabs(double{source[i]} - double{decoded[i]});
      CHECK(error <= double{largest} / 127 && error <= std::fabs(double{source[i]}));
    }
  }
}

TEST("denormals become zero or one step of 2^-126") {
  const float step = std::ldexp(1.0f, -126);
  const float denormal = 1e-45f, half = std::ldexp(1.0f, -127), above = std::nextafterf(half, 1.0f);
  const auto decoded = decode(codec(), encode(codec(), {denormal, half, above, -above}), 4);
  CHECK(same_bits(decoded, {0.0f, 0.0f, step, -step}));
  CHECK(block_of({denormal}).byte == 1);
}

TEST("byte 0 is an all-zero block, byte 255 a block with NaN or Inf, and only its own block") {
  CHECK(block_of({0.0f, -0.0f}).byte == 0);
  for (const float bad : {NAN, -NAN, INFINITY, -INFINITY}) {
    std::vector<float> source(513, 2.0f);
    source[256 + 17] = bad;
    const auto wire = encode(codec(), source);
    CHECK(wire[0] != 255 && wire[1] == 255 && wire[2] != 255);
    const auto decoded = decode(codec(), wire, 513);
    for (size_t i = 0; i < 513; i++) {
      const bool in_block = i >= 256 && i < 512;
      CHECK(in_block ? exact::bits(decoded[i]) == exact::kNan : decoded[i] == 2.0f);
    }
  }
}

TEST("a maximum over magnitude bits sees a NaN in any place, where maxss depends on operand order") {
  for (const float bad : {exact::from_bits(0x7fc00000), exact::from_bits(0xff800001)}) {
    const int32_t a = codecs::int8_block::magnitude(bad),
                  b = codecs::int8_block::magnitude(std::numeric_limits<float>::max());
    CHECK(std::max(a, b) == std::max(b, a) &&
          codecs::int8_block::scale_byte(std::max(a, b)) == codecs::int8_block::kNanByte);
  }
}

TEST("every byte with every integer decodes to what is written") {
  for (const auto backend : backend::available())
    with_backend(backend, [&] {
      for (int byte = 0; byte < 256; byte++) {
        std::vector<uint8_t> wire(257);
        wire[0] = static_cast<uint8_t>(byte);
        for (int i = 0; i < 256; i++) wire[static_cast<size_t>(1 + i)] = static_cast<uint8_t>(i);
        const auto decoded = decode(codec(), wire, 256);
        for (int i = 0; i < 256; i++) {
          const auto q = static_cast<int8_t>(i);
          const auto value = static_cast<float>(std::ldexp(double{static_cast<double>(q)}, byte - 127));
          const uint32_t expected = byte == 255 ? exact::kNan : exact::bits(value);
          CHECK_THAT(exact::bits(decoded[static_cast<size_t>(i)]) == expected,
                     std::to_string(byte) + " " + std::to_string(q));
        }
      }
    });
}

TEST("adding a NaN block, or Inf and -Inf, gives the one NaN on every backend") {
  std::vector<uint8_t> nan_wire(11, 1), inf_wire(11, 2);
  nan_wire[0] = 255, inf_wire[0] = 254;  // 2 * 2^127
  for (const auto backend : backend::available())
    with_backend(backend, [&] {
      std::vector<float> target = {1.0f, exact::from_bits(0xffc12345), INFINITY, -INFINITY, 0, 0, 0, 0, 0, 0},
                         other = target;
      codec_loops(codec()).decode_add(nan_wire.data(), 10, target.data());
      for (const float x : target) CHECK(exact::bits(x) == exact::kNan);
      codec_loops(codec()).decode_add(inf_wire.data(), 10, other.data());
      CHECK(other[0] == INFINITY && exact::bits(other[1]) == exact::kNan && other[2] == INFINITY);
      CHECK(exact::bits(other[3]) == exact::kNan);
    });
}
