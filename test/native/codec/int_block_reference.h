// The mean of int8_block, int4_block and int2_block by its definition, in big integers that share no code
// with it, and wires to try it on.
#pragma once
#include <algorithm>
#include <numeric>

#include "support.h"

namespace int_block_reference {

using namespace codec_test;

struct Case {
  int bits;
  size_t block;
  bool stochastic;
  const Codec* codec;
  int most() const { return (1 << (bits - 1)) - 1; }
  size_t q_bytes(size_t elements) const { return (elements * static_cast<size_t>(bits) + 7) / 8; }
};
inline std::vector<Case> all_cases() {
  std::vector<Case> cases;
  for (const int bits : {8, 4, 2})
    for (const bool stochastic : {false, true})
      for (const size_t block : {16, 256, 1024})
        cases.push_back({bits, block, stochastic,
                         codec_find("int" + std::to_string(bits) + "_block:block=" + std::to_string(block) +
                                    (stochastic ? ",rounding=stochastic" : ""))});
  return cases;
}
inline const Case& case_of(int bits, size_t block, bool stochastic) {
  static const std::vector<Case> cases = all_cases();
  return *std::find_if(cases.begin(), cases.end(), [&](const Case& c) {
    return c.bits == bits && c.block == block && c.stochastic == stochastic;
  });
}
inline int integer(const Case& c, const uint8_t* q, size_t i) {
  const size_t place = i * static_cast<size_t>(c.bits);
  const int code = q[place / 8] >> place % 8 & ((1 << c.bits) - 1);
  return code > c.most() ? code - (1 << c.bits) : code;
}

// A non-negative integer of any size, as 16-bit digits, the least significant first. Slow and plain.
struct Natural {
  std::vector<uint32_t> digits;
  explicit Natural(uint64_t value = 0, int shift = 0) : digits(static_cast<size_t>(shift / 16)) {
    for (unsigned __int128 rest = static_cast<unsigned __int128>(value) << (shift % 16); rest != 0;
         rest >>= 16)
      digits.push_back(static_cast<uint32_t>(rest & 0xffff));
    trim();
  }
  void trim() {
    while (!digits.empty() && digits.back() == 0) digits.pop_back();
  }
  uint32_t digit(size_t i) const { return i < digits.size() ? digits[i] : 0; }
  int compare(const Natural& other) const {
    for (size_t i = std::max(digits.size(), other.digits.size()); i-- > 0;)
      if (digit(i) != other.digit(i)) return digit(i) < other.digit(i) ? -1 : 1;
    return 0;
  }
  Natural combine(const Natural& other, int sign) const {  // this + sign * other; the result is not negative
    Natural result;
    int64_t carry = 0;
    for (size_t i = 0; i <= std::max(digits.size(), other.digits.size()); i++) {
      carry += int64_t{digit(i)} + sign * int64_t{other.digit(i)};
      result.digits.push_back(static_cast<uint32_t>(carry & 0xffff));
      carry >>= 16;
    }
    result.trim();
    return result;
  }
  Natural plus(const Natural& other) const { return combine(other, 1); }
  Natural distance(const Natural& other) const {
    return compare(other) < 0 ? other.combine(*this, -1) : combine(other, -1);
  }
};

struct Sum {
  Natural positive, negative;  // in units of 2^-127
  Natural magnitude() const { return positive.distance(negative); }
  bool below_zero() const { return positive.compare(negative) < 0; }
};

// The quotient of magnitude / (ranks * 2^shift) nearest, ties to even, from its highest bit down.
inline int nearest(const Natural& magnitude, uint64_t ranks, int shift) {
  Natural rest = magnitude;
  int quotient = 0;
  for (int bit = 24; bit >= 0; bit--) {
    const Natural part(ranks, shift + bit);
    if (rest.compare(part) < 0) continue;
    rest = rest.combine(part, -1);
    quotient |= 1 << bit;
  }
  const int half = rest.plus(rest).compare(Natural(ranks, shift));
  return quotient + (half > 0 || (half == 0 && quotient % 2 == 1) ? 1 : 0);
}

// Stochastic rounding: (the quotient in units of 2^-16 + the element's half-word) / 2^16, downwards.
inline int rounded(const Case& c, const Sum& sum, uint64_t ranks, int byte, uint64_t element) {
  const Natural magnitude = sum.magnitude();
  if (!c.stochastic) return (sum.below_zero() ? -1 : 1) * nearest(magnitude, ranks, byte);
  // Everything is 2^16 times as large, so that no shift is negative.
  Natural scaled;
  scaled.digits.push_back(0);
  scaled.digits.insert(scaled.digits.end(), magnitude.digits.begin(), magnitude.digits.end());
  scaled.trim();
  const int r = (sum.below_zero() ? -1 : 1) * nearest(scaled, ranks, byte);
  const CodecKey key = key_of(kMeanRank);
  const prng::Words words =
      prng::block(key.seed, codec_stream(Draw::rounding, key.step, kMeanRank), element / 8);
  const int h = static_cast<int>(words.word[element % 8 / 2] >> element % 2 * 16 & 0xffff);
  return static_cast<int>(std::floor((r + h) / 65536.0));
}

struct Block {
  int byte = 0;
  std::vector<int> q;
};
inline Block reference_block(const Case& c, const std::vector<std::vector<uint8_t>>& wires, size_t scale_at,
                             size_t at, size_t count) {
  Block result;
  result.q.resize(count);
  std::vector<Sum> sums(count);
  Natural largest;
  for (const auto& wire : wires) {
    const int byte = wire[scale_at];
    for (size_t i = 0; i < count; i++) {
      const int q = integer(c, wire.data(), at + i);
      if (byte == 255 || std::isinf(static_cast<float>(std::ldexp(double(q), byte - 127)))) {
        result.byte = 255;
        return result;
      }
      auto& part = q < 0 ? sums[i].negative : sums[i].positive;
      part = part.plus(Natural(static_cast<uint64_t>(std::abs(q)), byte));
    }
  }
  for (const Sum& sum : sums)
    if (sum.magnitude().compare(largest) > 0) largest = sum.magnitude();
  if (largest.compare(Natural()) == 0) return result;
  result.byte = 1;
  while (largest.compare(Natural(static_cast<uint64_t>(c.most()) * wires.size(), result.byte)) > 0)
    result.byte++;
  for (size_t i = 0; i < count; i++) result.q[i] = rounded(c, sums[i], wires.size(), result.byte, at + i);
  return result;
}

inline std::vector<uint8_t> reference(const Case& c, const std::vector<std::vector<uint8_t>>& wires,
                                      size_t elements) {
  std::vector<uint8_t> result(c.codec->bytes(elements));
  for (size_t at = 0; at < elements; at += c.block) {
    const size_t scale_at = c.q_bytes(elements) + at / c.block;
    const Block block = reference_block(c, wires, scale_at, at, std::min(c.block, elements - at));
    result[scale_at] = static_cast<uint8_t>(block.byte);
    for (size_t i = 0; i < block.q.size(); i++) {
      const size_t place = (at + i) * static_cast<size_t>(c.bits);
      const int code = block.q[i] & ((1 << c.bits) - 1);
      result[place / 8] = static_cast<uint8_t>(result[place / 8] | code << place % 8);
    }
  }
  return result;
}

// How scale bytes are drawn: near each other (the fast path), far apart, at the edges, anyhow.
enum class Scales { near, far, edges, raw };

inline std::vector<uint8_t> draw_wire(const Case& c, size_t elements, Scales scales, uint64_t base,
                                      std::mt19937_64& random) {
  static const uint8_t edge_bytes[] = {0,  0,  1,  1,   2,   20,  21,  22,  31,
                                       32, 33, 64, 120, 240, 246, 247, 248, 249};
  static const uint8_t edge_q[] = {0, 0, 1, 255, 127, 128, 129, 64, 192};
  auto wire = random_wire(*c.codec, elements, random);
  const size_t q_bytes = c.q_bytes(elements);
  for (size_t i = q_bytes; i < wire.size(); i++) {
    if (scales == Scales::near) wire[i] = static_cast<uint8_t>(base + random() % 22);
    if (scales == Scales::far) wire[i] = static_cast<uint8_t>(random() % 248);
    if (scales == Scales::edges) wire[i] = edge_bytes[random() % std::size(edge_bytes)];
  }
  const auto end = wire.begin() + static_cast<long>(q_bytes);
  if (scales == Scales::edges || random() % 2)
    for (auto q = wire.begin(); q != end; ++q) *q = edge_q[random() % std::size(edge_q)];
  if (random() % 8 == 0) std::fill(wire.begin(), end, 0);
  return wire;
}

inline std::vector<size_t> in_order(size_t count) {
  std::vector<size_t> order(count);
  std::iota(order.begin(), order.end(), size_t{0});
  return order;
}

}  // namespace int_block_reference
