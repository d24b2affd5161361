// int8_block, int4_block and int2_block against their written definition: layout, scales, both roundings, the
// meaning of special values, the error bound, and that stochastic rounding is unbiased.
#include "codec/int_block.h"

#include <algorithm>
#include <map>

#include "support.h"

using namespace codec_test;

namespace {

struct Case {
  int bits, block;
  bool pow2, stochastic;
  const Codec* codec;
  int most() const { return (1 << (bits - 1)) - 1; }
};

std::vector<Case> all_cases() {
  std::vector<Case> cases;
  for (const int bits : {8, 4, 2})
    for (const int block : {16, 64, 256, 4096})
      for (const bool pow2 : {true, false})
        for (const bool stochastic : {false, true}) {
          const std::string spec = "int" + std::to_string(bits) + "_block:block=" + std::to_string(block) +
                                   (pow2 ? ",scale=pow2" : ",scale=fp32") +
                                   (stochastic ? ",rounding=stochastic" : ",rounding=nearest");
          cases.push_back({bits, block, pow2, stochastic, codec_find(spec)});
          CHECK_THAT(cases.back().codec != nullptr, spec);
        }
  return cases;
}
Case case_of(int bits, int block, bool pow2, bool stochastic) {
  for (const Case& each : all_cases())
    if (each.bits == bits && each.block == block && each.pow2 == pow2 && each.stochastic == stochastic)
      return each;
  return {};
}

struct Decoded {
  std::vector<int> q;
  std::vector<uint32_t> scales;
  bool operator==(const Decoded& other) const { return q == other.q && scales == other.scales; }
};
// The layout, bit by bit.
Decoded take_apart(const Case& c, const std::vector<uint8_t>& wire, size_t elements) {
  Decoded result;
  for (size_t i = 0; i < elements; i++) {
    int q = 0;
    for (int bit = 0; bit < c.bits; bit++) {
      const size_t place = i * static_cast<size_t>(c.bits) + static_cast<size_t>(bit);
      q |= (wire[place / 8] >> place % 8 & 1) << bit;
    }
    result.q.push_back(q >> (c.bits - 1) ? q - (1 << c.bits) : q);
  }
  size_t at = (elements * static_cast<size_t>(c.bits) + 7) / 8;
  for (; at < wire.size(); at += c.pow2 ? 1 : 4) {
    uint32_t word = 0;
    for (size_t i = 0; i < (c.pow2 ? 1u : 4u); i++) word |= static_cast<uint32_t>(wire[at + i]) << 8 * i;
    result.scales.push_back(word);
  }
  return result;
}

uint32_t half_word(const CodecKey& key, uint64_t element) {
  const prng::Words words =
      prng::block(key.seed, codec_stream(Draw::rounding, key.step, key.rank), element / 8);
  const uint32_t word = words.word[element % 8 / 2];
  return element % 2 == 0 ? word & 0xffff : word >> 16;
}

// The definition in doubles, which hold every y and y * 2^16 exactly.
void encode_reference(const Case& c, const CodecKey& key, const float* x, size_t count, size_t at,
                      Decoded* out) {
  double largest = 0;
  bool broken = false;
  for (size_t i = 0; i < count; i++) {
    broken |= !std::isfinite(x[i]);
    largest = std::max(largest, std::fabs(double{x[i]}));
  }
  if (broken || largest == 0) {
    out->q.insert(out->q.end(), count, 0);
    return out->scales.push_back(!broken ? 0 : c.pow2 ? 255 : exact::kNan);
  }
  int e = -126;
  while (e < 129 - c.bits && largest > std::ldexp(double(c.most()), e)) e++;
  volatile float scale = static_cast<float>(largest);
  scale = scale / static_cast<float>(c.most());
  scale = std::clamp(float{scale}, 0x1p-126f, std::ldexp(1.0f, std::min(129 - c.bits, 126)));
  volatile float inverse = 1.0f;
  inverse = inverse / scale;
  out->scales.push_back(c.pow2 ? static_cast<uint32_t>(e + 127) : exact::bits(scale));
  for (size_t i = 0; i < count; i++) {
    volatile float product = x[i];
    product = product * inverse;
    const double y = c.pow2 ? std::ldexp(double{x[i]}, -e) : double{product};
    const double q =
        c.stochastic ? std::floor((std::nearbyint(y * 65536) + half_word(key, key.first + at + i)) / 65536)
                     : std::nearbyint(y);
    out->q.push_back(std::clamp(static_cast<int>(q), -c.most(), c.most()));
  }
}

Decoded reference(const Case& c, const CodecKey& key, const std::vector<float>& source) {
  Decoded result;
  const size_t block = static_cast<size_t>(c.block);
  for (size_t at = 0; at < source.size(); at += block)
    encode_reference(c, key, source.data() + at, std::min(block, source.size() - at), at, &result);
  return result;
}

std::vector<uint8_t> encode_at(const Case& c, const CodecKey& key, const std::vector<float>& source) {
  std::vector<uint8_t> wire(c.codec->bytes(source.size()));
  codec_loops(*c.codec).encode(c.codec->options, key, source.data(), source.size(), wire.data());
  return wire;
}

// Values gathered around one magnitude of any size, so that more than one element is more than zero.
std::vector<float> gathered(size_t count, std::mt19937_64& random) {
  auto source = values(Kind::raw, count, random);
  const auto exponent = static_cast<uint32_t>(random() % 255);
  for (float& x : source) {
    const auto lower = std::min<uint32_t>(exponent, static_cast<uint32_t>(random() % 9));
    x = exact::from_bits((exact::bits(x) & 0x807fffffu) | (exponent - lower) << 23);
  }
  return source;
}

}  // namespace

TEST("encode gives the definition's scales and integers, for values of every magnitude, on every backend") {
  std::mt19937_64 random(check::seed());
  for (const Case& c : all_cases())
    for (int trial = 0; trial < 60; trial++) {
      const size_t block = static_cast<size_t>(c.block);
      const size_t count = trial % 3 == 0   ? 1 + random() % 40
                           : trial % 3 == 1 ? 2 * block
                                            : 1 + random() % (3 * block);
      auto source = gathered(count, random);
      if (trial % 8 == 7) source = values(static_cast<Kind>(trial / 8 % kKinds), count, random);
      // Also where the index of the Philox block passes 2^32.
      const CodecKey key = {random(), random() % 9, (uint64_t{1} << 35) - 4096 * (random() % 2), 2};
      const Decoded expected = reference(c, key, source);
      for (const auto backend : backend::available())
        with_backend(backend, [&] {
          const auto wire = encode_at(c, key, source);
          CHECK_THAT(take_apart(c, wire, count) == expected, c.codec->spec + " on " + backend::name(backend));
        });
    }
}

TEST("a power of two is the smallest that fits, at the very edge") {
  for (const int bits : {8, 4, 2}) {
    const Case c = case_of(bits, 64, true, false);
    for (int e = -126; e <= 128 - bits; e++) {
      const float edge = std::ldexp(static_cast<float>(c.most()), e), above = std::nextafterf(edge, INFINITY);
      const auto of = [&](float x) { return take_apart(c, encode(*c.codec, {x}), 1); };
      CHECK((of(edge) == Decoded{{c.most()}, {static_cast<uint32_t>(e + 127)}}));
      CHECK((of(-above) == Decoded{{-(c.most() + 1) / 2}, {static_cast<uint32_t>(e + 128)}}));
    }
  }
}

TEST("finite values stay finite, also the largest; denormals become zero or one step of 2^-126") {
  const float most = std::numeric_limits<float>::max(), step = std::ldexp(1.0f, -126),
              half = std::ldexp(1.0f, -127);
  for (const Case& c : all_cases()) {
    for (const float x : decode(*c.codec, encode(*c.codec, {most, -most, most / 3}), 3))
      CHECK(std::isfinite(x));
    const auto largest = decode(*c.codec, encode(*c.codec, {most, -most}), 2);
    CHECK_THAT(largest[0] > most / 4.01f && largest[1] == -largest[0], c.codec->spec);
    if (c.stochastic) continue;
    const auto small =
        decode(*c.codec, encode(*c.codec, {1e-45f, half, std::nextafterf(half, 1.0f), -step}), 4);
    CHECK_THAT(same_bits(small, {0.0f, 0.0f, step, -step}), c.codec->spec);
  }
}

TEST("a block with NaN or Inf is NaN everywhere, and only that block; zeros are zeros") {
  for (const Case& c : all_cases())
    for (const float bad : {NAN, -NAN, INFINITY, -INFINITY, exact::from_bits(0x7f800001)}) {
      const size_t block = static_cast<size_t>(c.block), count = 2 * block + 3;
      std::vector<float> source(count, 0.0f);
      source[block + 5] = bad;
      const auto decoded = decode(*c.codec, encode(*c.codec, source), count);
      for (size_t i = 0; i < count; i++)
        CHECK(exact::bits(decoded[i]) == (i >= block && i < 2 * block ? exact::kNan : 0u));
    }
}

TEST("to nearest, an error is at most half a scale and never more than the value") {
  std::mt19937_64 random(check::seed());
  std::map<std::string, double> worst;
  for (const Case& c : all_cases())
    for (int trial = 0; trial < 40; trial++) {
      const size_t count = static_cast<size_t>(c.block);
      auto source = trial % 2 ? values(Kind::normal, count, random) : gathered(count, random);
      // Values around every tie, and ordinary scales.
      if (trial % 4 == 1)
        for (float& x : source)
          x = std::nextafterf(std::round(x * 200) * 0.5f, static_cast<float>(random() % 3) - 1);
      double largest = 0;
      for (const float x : source) largest = std::max(largest, std::fabs(double{x}));
      if (largest < 1e-35 || largest > 1e37) continue;
      const auto wire = encode(*c.codec, source);
      const auto decoded = decode(*c.codec, wire, count);
      const uint32_t word = take_apart(c, wire, count).scales[0];
      const double scale =
          c.pow2 ? std::ldexp(1.0, static_cast<int>(word) - 127) : double{exact::from_bits(word)};
      CHECK(scale <= largest / c.most() * (c.pow2 ? 2 : 1 + 1e-7));
      for (size_t i = 0; i < count; i++) {
        const double error = std::fabs(double{source[i]} - double{decoded[i]});
        worst[c.codec->name + std::string(c.stochastic ? " stochastic" : "")] =
            std::max(worst[c.codec->name + std::string(c.stochastic ? " stochastic" : "")], error / scale);
        if (c.stochastic)
          CHECK_THAT(error <= scale * (1 + 1e-5), c.codec->spec);
        else
          CHECK_THAT(error <= scale * (0.5 + 3e-5) && error <= std::fabs(double{source[i]}), c.codec->spec);
      }
    }
  for (const auto& [name, error] : worst) CHECK_THAT(error > 0.4, name);  // the bounds are near
}

TEST("the half-words of an element add up to what it is: every r, all 2^16 of them") {
  using Block = codecs::IntBlock<8>;
  for (const int32_t r :
       {0, 1, -1, 32768, -32768, 65535, 65536, -65537, 127 * 65536, -127 * 65536, 4242421, -3000001}) {
    int64_t sum = 0;
    for (uint32_t h = 0; h < 65536; h++) sum += Block::drawn(r, h);
    CHECK_THAT(sum == r, std::to_string(r));
  }
  for (const float y :
       {0.0f, 0.5f, -0.5f, 127.0f, -126.999f, 0x1p-17f, 0x1.8p-16f, -0x1p-40f, 63.123456f, -1.5f})
    CHECK(Block::fixed_point(y) == static_cast<int32_t>(std::nearbyint(double{y} * 65536)));
}

TEST("stochastic rounding is unbiased: the mean over steps comes to the value") {
  std::mt19937_64 random(check::seed());
  constexpr int kSteps = 2000;
  for (const Case& c : all_cases()) {
    if (!c.stochastic || c.block > 256) continue;
    const size_t count = 512;
    const auto source = values(Kind::normal, count, random);
    std::vector<double> sum(count), scale(count);
    for (int step = 0; step < kSteps; step++) {
      const CodecKey key = {check::seed(), static_cast<uint64_t>(step), 0, 1};
      const auto parts = take_apart(c, encode_at(c, key, source), count);
      for (size_t i = 0; i < count; i++) {
        const uint32_t word = parts.scales[i / static_cast<size_t>(c.block)];
        scale[i] = c.pow2 ? std::ldexp(1.0, static_cast<int>(word) - 127) : double{exact::from_bits(word)};
        sum[i] += parts.q[i];
      }
    }
    // An element's variance is at most 1/4 of a scale squared; 6 standard errors fail once in 10^9.
    for (size_t i = 0; i < count; i++)
      CHECK_THAT(std::fabs(sum[i] / kSteps - double{source[i]} / scale[i]) <
                     6 * 0.5 / std::sqrt(double{kSteps}) + 1e-5,
                 c.codec->spec);
  }
}

TEST("draws differ between steps, ranks and seeds, and nearest rounding ignores them") {
  std::mt19937_64 random(check::seed());
  const auto source = values(Kind::normal, 512, random);
  for (const Case& c : all_cases()) {
    const auto first = encode_at(c, {1, 2, 0, 3}, source);
    for (const CodecKey& key :
         {CodecKey{2, 2, 0, 3}, CodecKey{1, 3, 0, 3}, CodecKey{1, 2, 4096, 3}, CodecKey{1, 2, 0, 4}})
      CHECK_THAT((encode_at(c, key, source) != first) == c.stochastic, c.codec->spec);
  }
}

TEST("every byte of integers with every scale decodes to what is written, on every backend") {
  const std::vector<uint32_t> floats = {0,          0x80000000, 1,          0x007fffff, 0x00800000,
                                        0x3f800000, 0xbf99999a, 0x7effffff, 0x7f7fffff, 0x7f800000,
                                        0xff800000, 0x7fc00001, 0xffffffff, 0x7f800001};
  for (const auto backend : backend::available())
    with_backend(backend, [&] {
      for (const Case& c : all_cases()) {
        if (c.stochastic || c.block != 4096) continue;
        const size_t count = 256 * 8 / static_cast<size_t>(c.bits);
        for (uint32_t k = 0; k < (c.pow2 ? 256 : floats.size()); k++) {
          std::vector<uint8_t> wire(c.codec->bytes(count));
          for (size_t i = 0; i < 256; i++) wire[i] = static_cast<uint8_t>(i);
          const uint32_t word = c.pow2 ? k : floats[k];
          for (size_t i = 256; i < wire.size(); i++) wire[i] = static_cast<uint8_t>(word >> 8 * (i - 256));
          const auto q = take_apart(c, wire, count).q;
          const auto decoded = decode(*c.codec, wire, count);
          for (size_t i = 0; i < count; i++) {
            const double scale =
                c.pow2 ? std::ldexp(1.0, static_cast<int>(word) - 127) : double{exact::from_bits(word)};
            const float value = static_cast<float>(q[i] * scale);
            const bool nan = std::isnan(value) || (c.pow2 && word == 255);
            CHECK_THAT(exact::bits(decoded[i]) == (nan ? exact::kNan : exact::bits(value)),
                       c.codec->spec + " " + std::to_string(word) + " " + std::to_string(q[i]));
          }
        }
      }
    });
}

TEST("a block that is no power of two is refused, by name and with what is allowed") {
  for (const std::string row : {"int8_block", "int4_block", "int2_block"})
    for (const std::string block : {"17", "48", "3000"}) {
      const Codec* codec;
      const Status status = codec_open(row + ":block=" + block, &codec);
      CHECK(status.code() == GM_INVALID_ARGUMENT && status.message().find("\"block\"") != std::string::npos &&
            status.message().find("16, 32, .. 4096") != std::string::npos);
    }
}

TEST("what a codec declares follows from its options") {
  for (const Case& c : all_cases()) {
    const CodecTraits& traits = c.codec->traits;
    CHECK(traits.unbiased == c.stochastic && traits.contractive == !c.stochastic &&
          traits.exact_sum == c.pow2 && traits.block_elements == static_cast<uint32_t>(c.block) &&
          !traits.linear && !traits.identity);
  }
}
