// dct_topk against its definition, the transform against the DCT's formula in long double, and its promises.
#include "codec/dct_topk.h"

#include <algorithm>
#include <memory>
#include <numeric>

#include "support.h"

namespace {

using namespace codec_test;
using codecs::dct_topk;

constexpr float kCosines[] = {
#include "codec/dct_cosines.inc"
};
const long double kPi = std::acos(-1.0L);

const Codec& opened(const std::string& spec) {
  const Codec* codec = nullptr;
  CHECK_THAT(static_cast<bool>(codec_open(spec, &codec)), spec);
  return *codec;
}

std::vector<float> matrices_of(uint32_t side) {
  std::vector<float> matrices(dct::kMatricesMost);
  dct::fill_matrices(kCosines, side, matrices.data());
  return matrices;
}

// One tile of the header's text: padded elements [lines][width] -> kept indices and values.
struct Kept {
  std::vector<uint32_t> index;
  std::vector<float> value;
};
Kept reference(const CodecOptions& options, std::vector<float> x, uint32_t lines, uint32_t kept) {
  const uint32_t width = dct_topk::shape(options).width;
  uint32_t largest = 0;
  for (const float each : x) largest = std::max(largest, exact::bits(each) & 0x7fffffffu);
  Kept result;
  if (largest >= 0x7f800000u) {
    for (uint32_t i = 0; i < kept; i++) result.index.push_back(i);
    result.value.assign(kept, exact::quiet_nan());
    return result;
  }
  const auto down = matrices_of(lines), along = matrices_of(width);
  float work[2 * dct::kSideMost];
  for (float& each : x) each = exact::mul(each, dct_topk::down(largest));
  for (uint32_t j = 0; j < width; j++) dct::forward(down.data(), lines, x.data() + j, width, work);
  for (uint32_t i = 0; i < lines; i++) dct::forward(along.data(), width, x.data() + i * width, 1, work);
  std::vector<uint32_t> order(x.size());
  std::iota(order.begin(), order.end(), 0u);
  const auto coefficient = [&](uint32_t index) { return x[index % lines * width + index / lines]; };
  std::stable_sort(order.begin(), order.end(), [&](uint32_t a, uint32_t b) {
    return (exact::bits(coefficient(a)) & 0x7fffffffu) > (exact::bits(coefficient(b)) & 0x7fffffffu);
  });
  result.index.assign(order.begin(), order.begin() + kept);
  std::sort(result.index.begin(), result.index.end());
  for (const uint32_t index : result.index)
    result.value.push_back(dct_topk::value(coefficient(index), dct_topk::factor(lines, width, largest)));
  return result;
}

std::vector<float> tile_of(const CodecOptions& options, const dct_topk::Tile& tile,
                           const std::vector<float>& x) {
  const uint32_t width = dct_topk::shape(options).width;
  std::vector<float> result(size_t{tile.lines} * width, 0.0f);
  for (uint32_t i = 0; i < tile.lines; i++)
    for (uint32_t j = 0; j < width; j++) {
      const size_t at = tile.element + size_t{i} * options.columns + j;
      if (at < x.size()) result[i * width + j] = x[at];
    }
  return result;
}

std::vector<uint8_t> reference_wire(const CodecOptions& options, const std::vector<float>& x) {
  const auto l = dct_topk::layout(options, x.size());
  std::vector<uint8_t> wire(l.bytes, 0);
  for (size_t number = 0; number < l.tiles; number++) {
    const auto tile = dct_topk::tile(options, l, number);
    const Kept kept = reference(options, tile_of(options, tile, x), tile.lines, tile.kept);
    kept::encode(options.values, kept.value.data(), tile.kept, wire.data() + tile.values,
                 wire.data() + tile.scale);
    for (size_t i = 0; i < tile.kept; i++)
      for (uint32_t b = 0; b < l.shape.index_bits; b++) {
        const size_t bit = i * l.shape.index_bits + b;
        wire[tile.indices + bit / 8] |= static_cast<uint8_t>((kept.index[i] >> b & 1u) << bit % 8);
      }
  }
  return wire;
}

std::vector<float> reference_decoded(const CodecOptions& options, const std::vector<uint8_t>& wire,
                                     size_t elements) {
  const auto l = dct_topk::layout(options, elements);
  const uint32_t width = l.shape.width;
  std::vector<float> y(elements);
  for (size_t number = 0; number < l.tiles; number++) {
    const auto tile = dct_topk::tile(options, l, number);
    std::vector<float> t(size_t{tile.lines} * width, 0.0f), value(tile.kept);
    kept::decode_all(options.values, wire.data() + tile.values, tile.kept, wire.data() + tile.scale,
                     reinterpret_cast<uint32_t*>(value.data()));
    uint32_t largest = 0;
    for (const float each : value) largest = std::max(largest, exact::bits(each) & 0x7fffffffu);
    for (size_t i = 0; i < tile.kept && largest < 0x7f800000u; i++) {
      const uint32_t index = codecs::topk::index_of(wire.data() + tile.indices, i, l.shape.index_bits);
      const uint32_t u = index % tile.lines, v = index / tile.lines;
      for (uint32_t j = 0; j < width && v < width; j++)
        t[u * width + j] = exact::fma(dct::basis(kCosines, width, v, j),
                                      exact::mul(value[i], dct_topk::down(largest)), t[u * width + j]);
    }
    const auto down = matrices_of(tile.lines);
    float work[2 * dct::kSideMost];
    for (uint32_t j = 0; j < width; j++) dct::inverse(down.data(), tile.lines, t.data() + j, width, work);
    for (uint32_t i = 0; i < tile.lines; i++)
      for (uint32_t j = 0; j < width; j++) {
        const size_t at = tile.element + size_t{i} * options.columns + j;
        if (at >= elements) continue;
        y[at] = largest >= 0x7f800000u
                    ? exact::quiet_nan()
                    : dct_topk::value(t[i * width + j], dct_topk::factor(tile.lines, width, largest));
      }
  }
  return y;
}

double squared(const std::vector<float>& x) {
  double sum = 0;
  for (const float each : x) sum += double{each} * each;
  return sum;
}
std::vector<float> difference(std::vector<float> x, const std::vector<float>& y) {
  for (size_t i = 0; i < x.size(); i++) x[i] -= y[i];
  return x;
}

constexpr const char* kSpecs[] = {"dct_topk:k=5",
                                  "dct_topk:columns=128,k=64,values=int8",
                                  "dct_topk:rows=12,columns=50,k=9,values=sign",
                                  "dct_topk:rows=20,columns=64,k=19,values=int2",
                                  "dct_topk:rows=7,columns=61,k=427",
                                  "dct_topk:rows=1,columns=96,k=3,values=int8",
                                  "dct_topk:rows=33,columns=1,k=2"};

}  // namespace

TEST("the table of cosines is cos(pi m / (2 N)) to nearest") {
  size_t at = 0;
  for (int side = 33; side <= 64; side++)
    for (int m = 0; m < side; m++, at++)
      CHECK(kCosines[at] == static_cast<float>(std::cos(kPi * m / (2 * side))));
  CHECK(at == dct::kCosines && at == sizeof kCosines / sizeof *kCosines);
  CHECK(dct::kCosQuarter == static_cast<float>(std::cos(kPi / 4)));
  for (uint32_t side = 1; side <= 64; side++)
    for (uint32_t m = 0; m < 300; m++)
      CHECK(std::abs(dct::cosine(kCosines, side, m) - std::cos(kPi * m / (2 * side))) < 3.1e-8L);
}

TEST("forward is the DCT of every side from 1 to 64, and inverse takes it back") {
  std::mt19937_64 random(check::seed());
  for (uint32_t side = 1; side <= 64; side++) {
    const auto matrices = matrices_of(side);
    const auto x = values(Kind::normal, side, random);
    auto y = x;
    float work[2 * dct::kSideMost];
    dct::forward(matrices.data(), side, y.data(), 1, work);
    for (uint32_t k = 0; k < side; k++) {
      long double sum = 0;
      for (uint32_t n = 0; n < side; n++) sum += x[n] * std::cos(kPi * (2 * n + 1) * k / (2 * side));
      if (k == 0) sum *= std::sqrt(0.5L);
      CHECK_THAT(std::abs(y[k] - sum) < 2e-7L, "side " + std::to_string(side));
    }
    dct::inverse(matrices.data(), side, y.data(), 1, work);
    for (uint32_t n = 0; n < side; n++) CHECK(std::abs(y[n] * 2 / static_cast<float>(side) - x[n]) < 1e-7f);
  }
  CHECK(dct::scale(64, 64) == 0x1p-5f);
  CHECK(dct::side_of(768) == 64 && dct::side_of(100) == 50 && dct::side_of(50257) == 29 &&
        dct::side_of(127) == 1);
}

TEST("dct_topk's loops give the definition's bytes: tiles, strips and tails, on every backend") {
  std::mt19937_64 random(check::seed());
  for (const char* spec : kSpecs) {
    const Codec& codec = opened(spec);
    const size_t strip = codec.traits.block_elements;
    for (const size_t count : {size_t{1}, strip - 1, strip, 2 * strip + strip / 3 + 1})
      for (int kind = 0; kind < kKinds; kind++) {
        auto x = values(static_cast<Kind>(kind), count, random);
        if (static_cast<Kind>(kind) == Kind::raw)  // else hardly a tile without NaN
          for (float& each : x) each = exact::from_bits(exact::bits(each) & 0xbfffffffu);
        const auto expected = reference_wire(codec.options, x);
        const auto foreign = random_wire(codec, count, random);
        const auto back = reference_decoded(codec.options, expected, count);
        const auto strange = reference_decoded(codec.options, foreign, count);
        for (const auto backend : backend::available())
          with_backend(backend, [&] {
            const std::string where = std::string(spec) + " count " + std::to_string(count) + " kind " +
                                      std::to_string(kind) + " " + backend::name(backend);
            CHECK_THAT(encode(codec, x) == expected, where);
            CHECK_THAT(same_bits(decode(codec, expected, count), back), where);
            CHECK_THAT(same_bits(decode(codec, foreign, count), strange), where);
          });
      }
  }
}

TEST("dct_topk with every coefficient is lossless but for rounding") {
  std::mt19937_64 random(check::seed());
  for (const char* spec :
       {"dct_topk:k=4096", "dct_topk:rows=50,columns=150,k=2500", "dct_topk:rows=64,columns=31,k=1984"}) {
    const Codec& codec = opened(spec);
    const auto x = values(Kind::normal, 3 * codec.traits.block_elements - 100, random);
    CHECK_THAT(squared(difference(x, decode(codec, encode(codec, x), x.size()))) < 1e-12 * squared(x), spec);
  }
}

TEST("dct_topk is contractive, by at least k of the tile's coefficients") {
  std::mt19937_64 random(check::seed());
  for (const std::string values_of : {"fp32", "int8", "sign"})
    for (const uint32_t k : {8u, 64u, 512u}) {
      const Codec& codec = opened("dct_topk:k=" + std::to_string(k) + ",values=" + values_of);
      const auto x = values(Kind::normal, 16 * 4096, random);
      const double left = squared(difference(x, decode(codec, encode(codec, x), x.size()))) / squared(x);
      CHECK_THAT(left < 1 - k / 4096.0 * (values_of == "sign" ? 0.9 : 1.0),
                 codec.spec + ": " + std::to_string(left));
    }
}

TEST("dct_topk keeps finite what is finite, and shows what is not") {
  const Codec& codec = opened("dct_topk:k=4");
  for (const float magnitude : {3.4e38f, 6e33f, 1e-44f}) {
    const std::vector<float> x(4096, magnitude);
    const auto y = decode(codec, encode(codec, x), x.size());
    for (const float each : y) CHECK(std::isfinite(each));
    if (magnitude == 6e33f)
      for (const float each : y) CHECK(std::abs(each / magnitude - 1) < 1e-5f);
  }
  for (const char* spec :
       {"dct_topk:k=4", "dct_topk:k=4,values=int8", "dct_topk:k=4,values=sign", "dct_topk:k=4,values=int2"}) {
    std::vector<float> x(3 * 4096, 1.0f);
    x[5000] = -INFINITY, x[2 * 4096] = exact::from_bits(0xff800001);
    const auto y = decode(opened(spec), encode(opened(spec), x), x.size());
    for (size_t i = 0; i < x.size(); i++) CHECK_THAT(std::isnan(y[i]) == (i >= 4096), spec);
  }
}

TEST("dct_topk refuses more coefficients than a tile has") {
  const Codec* codec;
  CHECK(codec_open("dct_topk:columns=2,k=129", &codec).code() == GM_INVALID_ARGUMENT);
  CHECK(codec_open("dct_topk:columns=2,k=129", &codec).message().find("k is more than the tile has") !=
        std::string::npos);
  CHECK(codec_open("dct_topk:columns=127", &codec).code() == GM_OK);  // tiles of 64 x 1, all 64 kept
}
