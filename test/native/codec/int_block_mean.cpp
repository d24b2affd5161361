// The mean of int8_block, int4_block and int2_block against its definition, bit for bit: at once, and by
// accumulators.
#include "codec/int_block_mean.h"

#include "int_block_reference.h"

using namespace int_block_reference;

TEST(
    "the mean is the definition's, bit for bit, for 1 to 16 ranks and hostile wires, on every backend, "
    "either way") {
  std::mt19937_64 random(check::seed());
  for (const Case& c : all_cases()) {
    int paths[3] = {};
    for (uint32_t ranks = 1; ranks <= 16; ranks++) {
      for (int trial = 0; trial < 8; trial++) {
        const size_t elements = trial % 4 == 0 ? 1 + random() % 600 : 1 + random() % 40;
        const uint64_t base = 1 + random() % 226;
        std::vector<std::vector<uint8_t>> wires;
        for (uint32_t rank = 0; rank < ranks; rank++)
          wires.push_back(draw_wire(c, elements, static_cast<Scales>(trial % 4), base, random));
        if (trial == 6 && ranks % 2 == 0)
          for (auto& wire : wires)
            std::fill(wire.begin(), wire.begin() + static_cast<long>(c.q_bytes(elements)), 0);
        if (trial == 7 && ranks % 2 == 0) wires[ranks / 2][c.q_bytes(elements)] = 255;
        const auto expected = reference(c, wires, elements);
        const int byte = expected[c.q_bytes(elements)];
        paths[byte == 255 ? 0 : byte == 0 ? 1 : 2]++;
        for (const auto backend : backend::available())
          with_backend(backend, [&] {
            const std::string label = c.codec->spec + " on " + backend::name(backend) + ", " +
                                      std::to_string(ranks) + " ranks, trial " + std::to_string(trial);
            CHECK_THAT(mean(*c.codec, wires, elements) == expected, label);
            CHECK_THAT(accumulated(*c.codec, wires, in_order(ranks), elements) == expected,
                       label + ", accumulated");
          });
      }
    }
    CHECK_THAT(paths[0] > 3 && paths[1] > 3 && paths[2] > 40,
               c.codec->spec);  // all three kinds of means occurred
  }
}

TEST("the largest sums at every spread of scales, on both sides of the fast path's limit") {
  for (const Case& c : all_cases()) {
    if (c.block != 16) continue;
    const auto packed = [&](std::vector<int> q, int byte) {
      std::vector<uint8_t> wire(c.codec->bytes(4));
      for (size_t i = 0; i < 4; i++) {
        const size_t place = i * static_cast<size_t>(c.bits);
        wire[place / 8] = static_cast<uint8_t>(wire[place / 8] | (q[i] & ((1 << c.bits) - 1)) << place % 8);
      }
      wire.back() = static_cast<uint8_t>(byte);
      return wire;
    };
    for (uint32_t ranks = 1; ranks <= 16; ranks++)
      for (int spread = 0; spread <= 34; spread++) {
        // One contribution far below the others, which all send the extremes.
        std::vector<std::vector<uint8_t>> wires(
            ranks, packed({-c.most() - 1, c.most(), -c.most(), 1}, 100 + spread));
        wires[ranks / 2] = packed({1, -c.most() - 1, c.most(), -1}, 100);
        const auto expected = reference(c, wires, 4);
        for (const auto backend : backend::available())
          with_backend(backend, [&] {
            const std::string label =
                c.codec->spec + ", " + std::to_string(ranks) + " ranks, spread " + std::to_string(spread);
            CHECK_THAT(mean(*c.codec, wires, 4) == expected, label);
            CHECK_THAT(accumulated(*c.codec, wires, in_order(ranks), 4) == expected, label + ", accumulated");
          });
      }
  }
}

TEST("every order of arrival gives the same bytes, at once or one by one") {
  std::mt19937_64 random(check::seed());
  for (const Case& c : all_cases())
    for (int trial = 0; trial < 4; trial++) {
      const size_t elements = 1 + random() % 600;
      const uint32_t ranks = trial < 2 ? 5 : 16;
      std::vector<std::vector<uint8_t>> wires;
      for (uint32_t rank = 0; rank < ranks; rank++)
        wires.push_back(draw_wire(c, elements, static_cast<Scales>(trial % 4), 100, random));
      const auto first = mean(*c.codec, wires, elements);
      std::vector<size_t> order = in_order(ranks);
      for (int repeat = 0; repeat < 30; repeat++) {
        std::vector<std::vector<uint8_t>> arrived;
        for (const size_t rank : order) arrived.push_back(wires[rank]);
        CHECK(mean(*c.codec, arrived, elements) == first &&
              accumulated(*c.codec, wires, order, elements) == first);
        std::shuffle(order.begin(), order.end(), random);
      }
    }
}

TEST("accumulators need only their headers zero at first, and touch no row that nobody reaches") {
  using Sum = codecs::IntBlockMean<4>::Sum;
  std::mt19937_64 random(check::seed());
  const Case& c = case_of(4, 256, false);
  const size_t elements = 1000;
  std::vector<std::vector<uint8_t>> wires;
  for (int rank = 0; rank < 3; rank++)
    wires.push_back(draw_wire(c, elements, Scales::near, 130, random));  // limbs 4, 5
  for (const auto backend : backend::available())
    with_backend(backend, [&] {
      const CodecLoops& loops = codec_loops(*c.codec);
      const size_t bytes = loops.sum_bytes(c.codec->options, elements),
                   headers = Sum::headers_bytes(elements, 256);
      std::vector<uint8_t> memory(bytes + 64, 0xcd), result(c.codec->bytes(elements));
      uint8_t* sum = memory.data() + (64 - reinterpret_cast<uintptr_t>(memory.data()) % 64);
      std::memset(sum, 0, headers);
      for (const auto& wire : wires)
        loops.accumulate(c.codec->options, key_of(0), wire.data(), elements, sum);
      loops.finish(c.codec->options, key_of(0), sum, 3, elements, result.data());
      CHECK(result == mean(*c.codec, wires, elements));
      const auto untouched = [&](size_t row) {
        const uint8_t* begin = sum + headers + row * Sum::row_bytes(elements);
        return std::all_of(begin, begin + Sum::row_bytes(elements),
                           [](uint8_t byte) { return byte == 0xcd; });
      };
      for (size_t row = 0; row < Sum::kLimbs; row++) CHECK(untouched(row) == (row != 4));
    });
}

TEST("65536 contributions of the largest terms sum exactly") {
  for (const Case& c : all_cases()) {
    if (c.block != 16) continue;
    std::mt19937_64 random(check::seed());
    for (const uint8_t byte :
         {uint8_t{1}, uint8_t{31}, uint8_t{63}, uint8_t{127}, static_cast<uint8_t>(255 - c.bits)}) {
      // Every element the same integer, the largest or the smallest: their mean is themselves.
      for (const uint8_t code : {uint8_t{0}, uint8_t{1}}) {
        const int q = code == 0 ? c.most() : -c.most();
        std::vector<uint8_t> wire(c.codec->bytes(16));
        for (size_t i = 0; i < 16; i++) {
          const size_t place = i * static_cast<size_t>(c.bits);
          wire[place / 8] = static_cast<uint8_t>(wire[place / 8] | (q & ((1 << c.bits) - 1)) << place % 8);
        }
        wire.back() = byte;
        const CodecLoops& loops = codec_loops(*c.codec);
        std::vector<uint8_t> memory(loops.sum_bytes(c.codec->options, 16) + 64), result(wire.size());
        uint8_t* sum = memory.data() + (64 - reinterpret_cast<uintptr_t>(memory.data()) % 64);
        std::vector<const uint8_t*> pointers(65536, wire.data());
        for (const uint8_t* each : pointers) loops.accumulate(c.codec->options, key_of(0), each, 16, sum);
        loops.finish(c.codec->options, key_of(0), sum, 65536, 16, result.data());
        CHECK_THAT(result == wire, c.codec->spec + " " + std::to_string(byte));
        loops.mean(c.codec->options, key_of(0), pointers.data(), 65536, 16, result.data());
        CHECK_THAT(result == wire, c.codec->spec + " " + std::to_string(byte) + ", mean");
      }
    }
  }
}

TEST("means that are ties round to even, by the fast path and by the slow one") {
  // Two ranks send 127 and q: the first element fixes the scale, the second is a tie when the sum is odd.
  const Case& c = case_of(8, 256, false);
  const auto tie = [&](int a, int b, uint8_t byte) {
    const auto wire = [&](int q) { return std::vector<uint8_t>{127, static_cast<uint8_t>(q), byte}; };
    return static_cast<int8_t>(mean(*c.codec, {wire(a), wire(b)}, 2)[1]);
  };
  for (const int byte : {1, 100, 247, 248}) {
    for (int sum = -253; sum <= 253; sum++) {
      const int a = sum / 2, b = sum - a;
      CHECK(tie(a, b, static_cast<uint8_t>(byte)) == static_cast<int>(std::nearbyint(sum / 2.0)));
    }
  }
}

TEST("the division is exact where the quotient is closest to a tie, up to the largest sums it is for") {
  using namespace codecs;
  std::mt19937_64 random(check::seed());
  for (int trial = 0; trial < 600000; trial++) {
    const int extra = trial % 2 ? 16 : 0;
    const int64_t most = trial % 3 == 0 ? 127 : trial % 3 == 1 ? 7 : 1;
    const auto ranks = static_cast<int64_t>(1 + random() % (trial % 4 < 2 ? 16 : 65536));
    int shift = static_cast<int>(random() % 50);
    while (shift > 0 && most * ranks > fixed_sum::kSumMost >> shift) shift--;
    // sum = (q + 1/2) * ranks * 2^(shift - extra), and its neighbours
    const auto q = static_cast<__int128>(random() % static_cast<uint64_t>(most << extra));
    const auto sum = static_cast<int64_t>((((2 * q + 1) * ranks << shift) >> (1 + extra)) +
                                          static_cast<int64_t>(random() % 3) - 1);
    if (sum < 0 || sum > fixed_sum::kSumMost) continue;
    const __int128 scaled = static_cast<__int128>(sum) << extra, divisor = static_cast<__int128>(ranks)
                                                                           << shift;
    const __int128 floor = scaled / divisor, rest = 2 * (scaled % divisor);
    const auto expected =
        static_cast<int64_t>(floor + (rest > divisor || (rest == divisor && floor % 2 == 1) ? 1 : 0));
    const double by = fixed_sum::divisor(static_cast<uint32_t>(ranks), shift - extra);
    CHECK(fixed_sum::divide(static_cast<double>(sum), by) == expected);
    CHECK(fixed_sum::divide(static_cast<double>(-sum), by) == -expected);
  }
}

TEST("one NaN contribution makes the block NaN, whatever the others send, and leaves the next block alone") {
  std::mt19937_64 random(check::seed());
  for (const Case& c : all_cases()) {
    const size_t elements = 2 * c.block;
    std::vector<std::vector<uint8_t>> wires;
    for (int rank = 0; rank < 4; rank++) wires.push_back(draw_wire(c, elements, Scales::near, 100, random));
    wires[2][c.q_bytes(elements)] = 255;
    const auto result = mean(*c.codec, wires, elements);
    CHECK(result[c.q_bytes(elements)] == 255 && result[c.q_bytes(elements) + 1] != 255);
    CHECK(std::all_of(result.begin(), result.begin() + static_cast<long>(c.q_bytes(c.block)),
                      [](uint8_t q) { return q == 0; }));
    CHECK(accumulated(*c.codec, wires, {2, 0, 3, 1}, elements) == result);
  }
}

TEST("the mean of one contribution decodes to what it does, and many ranks make the error smaller") {
  std::mt19937_64 random(check::seed());
  for (const Case& c : all_cases()) {
    const auto squared_error = [&](uint32_t ranks) {
      std::vector<std::vector<uint8_t>> wires;
      std::vector<double> truth(4096);
      for (uint32_t rank = 0; rank < ranks; rank++) {
        const auto source = values(Kind::normal, 4096, random);
        for (size_t i = 0; i < 4096; i++) truth[i] += double{source[i]} / ranks;
        wires.push_back(encode(*c.codec, source, rank));
      }
      const auto result = mean(*c.codec, wires, 4096);
      const auto decoded = decode(*c.codec, result, 4096);
      if (ranks == 1) CHECK_THAT(same_bits(decoded, decode(*c.codec, wires[0], 4096)), c.codec->spec);
      double error = 0;
      for (size_t i = 0; i < 4096; i++) error += std::pow(double{decoded[i]} - truth[i], 2);
      return error;
    };
    CHECK_THAT(squared_error(16) < squared_error(1), c.codec->spec);
  }
}
