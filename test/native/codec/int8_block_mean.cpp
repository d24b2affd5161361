// int8_block's mean against its definition in big integers that share no code with it, bit for bit.
#include "codec/int8_block_mean.h"

#include <algorithm>
#include <numeric>

#include "support.h"

using namespace codec_test;

namespace {

const Codec& codec() { return *codec_find("int8_block"); }

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

// The quotient of magnitude / unit nearest, ties to even, by trying all of them.
int nearest(const Natural& magnitude, uint64_t ranks, int byte) {
  int best = 0;
  Natural best_distance = magnitude, multiple;
  const Natural unit(ranks, byte);
  for (int q = 1; q <= 127; q++) {
    multiple = multiple.plus(unit);
    const Natural distance = magnitude.distance(multiple);
    const int order = distance.compare(best_distance);
    if (order > 0) break;
    if (order < 0 || q % 2 == 0) best = q, best_distance = distance;
  }
  return best;
}

std::vector<uint8_t> reference_block(const std::vector<std::vector<uint8_t>>& wires, size_t scale_at,
                                     size_t q_at, size_t count) {
  std::vector<uint8_t> result(1 + count);
  std::vector<Sum> sums(count);
  Natural largest;
  for (const auto& wire : wires) {
    const int byte = wire[scale_at];
    for (size_t i = 0; i < count; i++) {
      const auto q = static_cast<int8_t>(wire[q_at + i]);
      if (byte == 255 ||
          std::isinf(static_cast<float>(std::ldexp(double{static_cast<double>(q)}, byte - 127)))) {
        result[0] = 255;
        return result;
      }
      auto& part = q < 0 ? sums[i].negative : sums[i].positive;
      part = part.plus(Natural(static_cast<uint64_t>(std::abs(q)), byte));
    }
  }
  for (const Sum& sum : sums)
    if (sum.magnitude().compare(largest) > 0) largest = sum.magnitude();
  if (largest.compare(Natural()) == 0) return result;
  int byte = 1;
  while (largest.compare(Natural(127 * wires.size(), byte)) > 0) byte++;
  result[0] = static_cast<uint8_t>(byte);
  for (size_t i = 0; i < count; i++) {
    const int q = nearest(sums[i].magnitude(), wires.size(), byte);
    result[1 + i] = static_cast<uint8_t>(sums[i].below_zero() ? -q : q);
  }
  return result;
}

std::vector<uint8_t> reference(const std::vector<std::vector<uint8_t>>& wires, size_t elements) {
  const size_t blocks = (elements + 255) / 256;
  std::vector<uint8_t> result(codec().bytes(elements));
  for (size_t b = 0; b < blocks; b++) {
    const size_t count = std::min<size_t>(256, elements - b * 256);
    const auto block = reference_block(wires, b, blocks + b * 256, count);
    result[b] = block[0];
    std::copy(block.begin() + 1, block.end(), result.begin() + static_cast<long>(blocks + b * 256));
  }
  return result;
}

// How scale bytes are drawn: near each other (the fast path), far apart, at the edges, anyhow.
enum class Scales { near, far, edges, raw };

std::vector<uint8_t> draw_wire(size_t elements, Scales scales, uint64_t base, std::mt19937_64& random) {
  static const uint8_t edge_bytes[] = {0, 0, 1, 1, 2, 20, 21, 22, 120, 240, 246, 247, 248, 249};
  static const uint8_t edge_q[] = {0, 0, 1, 255, 127, 128, 129, 64, 192};
  auto wire = random_wire(codec(), elements, random);
  const size_t blocks = (elements + 255) / 256;
  for (size_t b = 0; b < blocks; b++) {
    if (scales == Scales::near) wire[b] = static_cast<uint8_t>(base + random() % 22);
    if (scales == Scales::far) wire[b] = static_cast<uint8_t>(random() % 248);
    if (scales == Scales::edges) wire[b] = edge_bytes[random() % std::size(edge_bytes)];
  }
  if (scales == Scales::edges || random() % 2)
    for (size_t i = blocks; i < wire.size(); i++) wire[i] = edge_q[random() % std::size(edge_q)];
  if (random() % 8 == 0) std::fill(wire.begin() + static_cast<long>(blocks), wire.end(), 0);
  return wire;
}

}  // namespace

TEST("the mean is the definition's, bit for bit, for 1 to 16 ranks and hostile wires, on every backend") {
  std::mt19937_64 random(check::seed());
  int paths[3] = {};
  for (uint32_t ranks = 1; ranks <= 16; ranks++) {
    for (int trial = 0; trial < 24; trial++) {
      const size_t elements = trial % 3 == 0 ? 1 + random() % 300 : 1 + random() % 40;
      const auto scales = static_cast<Scales>(trial % 4);
      const uint64_t base = 1 + random() % 226;
      std::vector<std::vector<uint8_t>> wires;
      for (uint32_t rank = 0; rank < ranks; rank++)
        wires.push_back(draw_wire(elements, scales, base, random));
      if (trial == 22)
        for (auto& wire : wires)
          std::fill(wire.begin() + static_cast<long>((elements + 255) / 256), wire.end(), 0);
      const auto expected = reference(wires, elements);
      paths[expected[0] == 255 ? 0 : expected[0] == 0 ? 1 : 2]++;
      for (const auto backend : backend::available())
        with_backend(backend, [&] {
          CHECK_THAT(mean(codec(), wires, elements) == expected,
                     std::to_string(ranks) + " ranks, trial " + std::to_string(trial));
        });
    }
  }
  CHECK(paths[0] > 10 && paths[1] > 3 &&
        paths[2] > 100);  // NaN blocks, zero blocks and real means all occurred
}

TEST("the largest sums at every spread of scales, on both sides of the fast path's limit") {
  for (uint32_t ranks = 1; ranks <= 16; ranks++) {
    for (int spread = 0; spread <= 26; spread++) {
      // One contribution far below the others, which all send the extremes.
      std::vector<std::vector<uint8_t>> wires(ranks, {static_cast<uint8_t>(100 + spread), 128, 127, 129, 1});
      wires[ranks / 2] = {100, 1, 128, 127, 255};
      const auto expected = reference(wires, 4);
      for (const auto backend : backend::available())
        with_backend(backend, [&] {
          CHECK_THAT(mean(codec(), wires, 4) == expected,
                     std::to_string(ranks) + " ranks, spread " + std::to_string(spread));
        });
    }
  }
}

TEST("every order of arrival gives the same bytes") {
  std::mt19937_64 random(check::seed());
  for (int trial = 0; trial < 12; trial++) {
    std::vector<std::vector<uint8_t>> wires;
    const size_t elements = 1 + random() % 600;
    const uint32_t ranks = trial < 6 ? 5 : 16;
    for (uint32_t rank = 0; rank < ranks; rank++)
      wires.push_back(draw_wire(elements, static_cast<Scales>(trial % 4), 100, random));
    const auto first = mean(codec(), wires, elements);
    std::vector<size_t> order(ranks);
    std::iota(order.begin(), order.end(), size_t{0});
    for (int repeat = 0; repeat < 120; repeat++) {  // all 120 orders of five; a sample of sixteen's
      std::vector<std::vector<uint8_t>> arrived;
      for (const size_t rank : order) arrived.push_back(wires[rank]);
      CHECK(mean(codec(), arrived, elements) == first);
      if (ranks == 5) {
        std::next_permutation(order.begin(), order.end());
      } else {
        std::shuffle(order.begin(), order.end(), random);
      }
    }
  }
}

TEST("means that are ties round to even, by the fast path and by the slow one") {
  // Two ranks send 127 and q: the first element fixes the scale, the second is a tie when the sum is odd.
  const auto tie = [](int a, int b, uint8_t byte) {
    const auto wire = [&](int q) { return std::vector<uint8_t>{byte, 127, static_cast<uint8_t>(q)}; };
    return static_cast<int8_t>(mean(codec(), {wire(a), wire(b)}, 2)[2]);
  };
  for (const int byte : {1, 100, 247, 248}) {
    for (int sum = -253; sum <= 253; sum++) {
      const int a = sum / 2, b = sum - a;
      CHECK(tie(a, b, static_cast<uint8_t>(byte)) == static_cast<int>(std::nearbyint(sum / 2.0)));
    }
  }
}

TEST("the division is exact where the quotient is closest to a tie") {
  using codecs::int8_block_mean;
  std::mt19937_64 random(check::seed());
  for (int trial = 0; trial < 300000; trial++) {
    const auto ranks = static_cast<int64_t>(1 + random() % 16);
    const int shift = static_cast<int>(random() % 21);
    const auto q = static_cast<int64_t>(random() % 127);
    // sum = (q + 1/2) * ranks * 2^shift, and its neighbours
    const int64_t sum = ((2 * q + 1) * (ranks << shift)) / 2 + static_cast<int64_t>(random() % 3) - 1;
    const int64_t divisor = ranks << shift, floor = sum / divisor, rest = 2 * (sum % divisor);
    const int64_t up = rest > divisor || (rest == divisor && floor % 2 == 1) ? 1 : 0;
    const double power = static_cast<double>(ranks) * int8_block_mean::power(shift);
    if (sum < 0) continue;
    CHECK(int8_block_mean::divide(static_cast<int32_t>(sum), power) == floor + up);
    CHECK(int8_block_mean::divide(static_cast<int32_t>(-sum), power) == -(floor + up));
  }
}

TEST("one NaN contribution makes the block NaN, whatever the others send, and leaves the next block alone") {
  std::mt19937_64 random(check::seed());
  std::vector<std::vector<uint8_t>> wires;
  for (int rank = 0; rank < 4; rank++) wires.push_back(draw_wire(512, Scales::near, 100, random));
  wires[2][0] = 255;
  const auto result = mean(codec(), wires, 512);
  CHECK(result[0] == 255 && result[1] != 255);
  CHECK(std::all_of(result.begin() + 2, result.begin() + 258, [](uint8_t q) { return q == 0; }));
}

TEST("averaging many ranks makes the error smaller, not larger") {
  std::mt19937_64 random(check::seed());
  const auto squared_error = [&](int ranks) {
    std::vector<std::vector<uint8_t>> wires;
    std::vector<double> truth(4096);
    for (int rank = 0; rank < ranks; rank++) {
      const auto source = values(Kind::normal, 4096, random);
      for (size_t i = 0; i < 4096; i++) truth[i] += double{source[i]} / ranks;
      wires.push_back(encode(codec(), source));
    }
    const auto decoded = decode(codec(), mean(codec(), wires, 4096), 4096);
    double error = 0;
    for (size_t i = 0; i < 4096; i++) error += std::pow(double{decoded[i]} - truth[i], 2);
    return error;
  };
  CHECK(squared_error(16) < squared_error(1));
}
