// eden against its definition, its tables against the Lloyd-Max conditions, and its promises: errors, and no
// bias.
#include "codec/eden.h"

#include "support.h"

namespace {

using namespace codec_test;
using codecs::eden;

double gaussian(double x) { return std::exp(-x * x / 2) / std::sqrt(2 * std::acos(-1.0)); }
double upper_tail(double x) { return std::erfc(x / std::sqrt(2.0)) / 2; }

// The best quantizer of |z| with `levels` levels, by Lloyd's iteration: boundaries halfway, centroids the
// means.
std::vector<double> lloyd(size_t levels) {
  std::vector<double> centroids(levels);
  for (size_t i = 0; i < levels; i++)
    centroids[i] = 2.0 * (static_cast<double>(i) + 1) / static_cast<double>(levels);
  for (int turn = 0; turn < 5000; turn++) {
    std::vector<double> bounds(levels + 1, 0.0);
    for (size_t i = 1; i < levels; i++) bounds[i] = (centroids[i - 1] + centroids[i]) / 2;
    for (size_t i = 0; i < levels; i++) {
      const bool last = i + 1 == levels;
      const double mass = upper_tail(bounds[i]) - (last ? 0 : upper_tail(bounds[i + 1]));
      centroids[i] = (gaussian(bounds[i]) - (last ? 0 : gaussian(bounds[i + 1]))) / mass;
    }
  }
  return centroids;
}

// Gives the elements of one block the signs of words `from` on.
void flip(const CodecKey& key, uint64_t from, std::vector<float>* h) {
  for (size_t i = 0; i < h->size(); i++) {
    const uint64_t g = key.first + i;
    (*h)[i] = eden::negate_if((*h)[i], eden::signs(key, from + g / 32) >> g % 32 & 1u);
  }
}

// The wire of one block, straight from the header's text.
std::vector<uint8_t> reference(const CodecOptions& options, const CodecKey& key,
                               const std::vector<float>& x) {
  const size_t padded = eden::padded(options, x.size());
  std::vector<uint8_t> wire(eden::bytes(options, x.size()), 0);
  uint32_t largest = 0;
  for (const float each : x) largest = std::max(largest, exact::bits(each) & 0x7fffffffu);
  float scale = 0.0f;
  if (largest >= 0x7f800000u) {
    scale = exact::quiet_nan();
  } else if (largest > 0) {
    const uint32_t exponent = eden::exponent(static_cast<int32_t>(largest));
    std::vector<float> h(padded, 0.0f), c(padded);
    for (size_t i = 0; i < x.size(); i++) h[i] = exact::mul(x[i], eden::inverse_power(exponent));
    const float norm = tree::dot(h.data(), h.data(), padded);
    flip(key, 0, &h);
    eden::rotate(h.data(), padded);
    flip(key, eden::kSecond, &h);
    eden::rotate(h.data(), padded);
    for (size_t i = 0; i < padded; i++) {
      const uint32_t code = eden::code(options.bits, exact::mul(h[i], eden::inverse_norm(padded, norm)));
      for (uint32_t b = 0; b < options.bits; b++) {
        const size_t bit = i * options.bits + b;
        wire[bit / 8] = static_cast<uint8_t>(wire[bit / 8] | (code >> b & 1u) << bit % 8);
      }
      c[i] = eden::centroid(options.bits, code);
    }
    scale = eden::block_scale(options, padded, norm, tree::dot(h.data(), c.data(), padded),
                              tree::dot(c.data(), c.data(), padded), exponent);
  }
  std::memcpy(wire.data() + wire.size() - 4, &scale, 4);
  return wire;
}

std::vector<float> decoded_reference(const CodecOptions& options, const CodecKey& key,
                                     const std::vector<uint8_t>& wire, size_t count) {
  const size_t padded = eden::padded(options, count);
  std::vector<float> h(padded);
  float scale;
  std::memcpy(&scale, wire.data() + wire.size() - 4, 4);
  if (not_finite(scale)) return std::vector<float>(count, exact::quiet_nan());
  for (size_t i = 0; i < padded; i++) {
    uint32_t code = 0;
    for (uint32_t b = 0; b < options.bits; b++) {
      const size_t bit = i * options.bits + b;
      code |= (wire[bit / 8] >> bit % 8 & 1u) << b;
    }
    h[i] = eden::centroid(options.bits, code);
  }
  eden::rotate(h.data(), padded);
  flip(key, eden::kSecond, &h);
  eden::rotate(h.data(), padded);
  for (float& each : h) each = exact::mul(each, scale);
  flip(key, 0, &h);
  for (float& each : h) each = clamp_finite(each);
  h.resize(count);
  return h;
}

const Codec& opened(const std::string& spec) {
  const Codec* codec = nullptr;
  CHECK_THAT(static_cast<bool>(codec_open(spec, &codec)), spec);
  return *codec;
}

// Squared error of decode(encode(x)) over the squared norm.
double error(const Codec& codec, const std::vector<float>& x) {
  const auto y = decode(codec, encode(codec, x), x.size());
  double error = 0, norm = 0;
  for (size_t i = 0; i < x.size(); i++) {
    error += std::pow(double{y[i]} - x[i], 2);
    norm += std::pow(double{x[i]}, 2);
  }
  return error / norm;
}

}  // namespace

TEST("eden's centroids and boundaries are those of Lloyd and Max") {
  for (uint32_t bits = 1; bits <= 4; bits++) {
    const auto centroids = lloyd(size_t{1} << (bits - 1));
    for (uint32_t i = 0; i < centroids.size(); i++) {
      CHECK(std::abs(eden::centroid_magnitude(bits, i) - centroids[i]) < 2e-7 * centroids[i]);
      if (i + 1 < centroids.size())
        CHECK(std::abs(eden::boundary(bits, i) - (centroids[i] + centroids[i + 1]) / 2) < 2e-7);
    }
  }
}

TEST("eden's loops give the definition's bytes: every block size, width and tail, on every backend") {
  std::mt19937_64 random(check::seed());
  for (uint32_t block = 64; block <= 4096; block *= 2)
    for (uint32_t bits = 1; bits <= 4; bits++) {
      const Codec& codec = opened("eden:block=" + std::to_string(block) + ",bits=" + std::to_string(bits) +
                                  (block % 256 == 0 ? "" : ",scale=least"));
      for (const size_t count : {size_t{1}, size_t{block / 2 + 3}, size_t{block - 1}, size_t{block}})
        for (int kind = 0; kind < kKinds; kind++) {
          auto x = values(static_cast<Kind>(kind), count, random);
          if (static_cast<Kind>(kind) == Kind::raw)  // else hardly a block without NaN
            for (float& each : x) each = exact::from_bits(exact::bits(each) & 0xbfffffffu);
          const CodecKey key = {random(), random() % 1000, block * (random() % 1000), 7};
          const auto expected = reference(codec.options, key, x);
          const auto back = decoded_reference(codec.options, key, expected, count);
          for (const auto backend : backend::available())
            with_backend(backend, [&] {
              std::vector<uint8_t> wire(codec.bytes(count));
              std::vector<float> y(count);
              codec_loops(codec).encode(codec.options, key, x.data(), count, wire.data());
              codec_loops(codec).decode(codec.options, key, wire.data(), count, y.data());
              CHECK_THAT(wire == expected && same_bits(y, back),
                         codec.spec + " count " + std::to_string(count) + " kind " + std::to_string(kind) +
                             " " + backend::name(backend));
            });
        }
    }
}

TEST("eden's error is that of the papers on normal, heavy-tailed and sparse tensors alike") {
  std::mt19937_64 random(check::seed());
  constexpr double kUnbiased[] = {0.5708, 0.1331, 0.0358, 0.00958},
                   kLeast[] = {0.3634, 0.1175, 0.03455, 0.009497};
  constexpr size_t kCount = 64 * 4096;
  std::vector<float> tensors[3];
  for (auto& tensor : tensors) tensor.resize(kCount);
  for (size_t i = 0; i < kCount; i++) {
    const float x = std::normal_distribution<float>(0.0f, 0.01f)(random);
    tensors[0][i] = x;
    tensors[1][i] = x * x * x;
    tensors[2][i] = random() % 20 == 0 ? x : 0.0f;
  }
  for (const auto& tensor : tensors)
    for (uint32_t bits = 1; bits <= 4; bits++) {
      const std::string spec = "eden:bits=" + std::to_string(bits);
      CHECK_THAT(std::abs(error(opened(spec), tensor) / kUnbiased[bits - 1] - 1) < 0.02, spec);
      CHECK_THAT(std::abs(error(opened(spec + ",scale=least"), tensor) / kLeast[bits - 1] - 1) < 0.02, spec);
    }
}

// The mean over n steps has 1 / n of one step's squared error if the bias is 0. The bound is that, four times
// its expected spread (sqrt(2 / 256) of it at most), and a bias of 1e-5 of the squared norm. Two elements
// carry nearly all of the block: with one rotation instead of two the bias is a fourth of the squared norm.
TEST("eden is unbiased over the steps, also where two elements carry the block") {
  std::mt19937_64 random(check::seed());
  constexpr int kSteps = 2000;
  for (const char* spec : {"eden:bits=1,block=256", "eden:bits=2,block=1024", "eden:bits=1"}) {
    const Codec& codec = opened(spec);
    std::vector<float> x(codec.options.block), y(x.size());
    for (float& each : x) each = std::normal_distribution<float>(0.0f, 0.01f)(random);
    x[3] = 1.0f, x[7] = -0.5f;
    std::vector<double> sum(x.size());
    std::vector<uint8_t> wire(codec.bytes(x.size()));
    double norm = 0, error = 0, once = 0;
    for (uint64_t step = 0; step < kSteps; step++) {
      const CodecKey key = {5, step, 0, 0};
      codec_loops(codec).encode(codec.options, key, x.data(), x.size(), wire.data());
      codec_loops(codec).decode(codec.options, key, wire.data(), x.size(), y.data());
      double along = 0, length = 0;
      for (size_t i = 0; i < x.size(); i++) {
        sum[i] += y[i];
        once += std::pow(double{y[i]} - x[i], 2) / kSteps;
        along += double{y[i]} * x[i];
        length += double{x[i]} * x[i];
      }
      CHECK(std::abs(along / length - 1) < 1e-5);  // <y, x> = <x, x> in every step
    }
    for (size_t i = 0; i < x.size(); i++) {
      error += std::pow(sum[i] / kSteps - x[i], 2);
      norm += std::pow(double{x[i]}, 2);
    }
    CHECK_THAT(error / norm < 1.36 * once / norm / kSteps + 1e-5, std::string(spec) + ": " +
                                                                      std::to_string(error / norm) + " of " +
                                                                      std::to_string(once / norm / kSteps));
  }
}

TEST("eden keeps finite what is finite, and shows what is not") {
  const Codec& codec = opened("eden:bits=2");
  for (const float magnitude : {3.4e38f, 1e-44f, 1e-30f, 2e19f}) {
    std::vector<float> x(5000, magnitude);
    const auto y = decode(codec, encode(codec, x), x.size());
    for (const float each : y) CHECK(std::isfinite(each));
    if (magnitude > 1e-40f && magnitude < 1e38f) CHECK(error(codec, x) < 0.5);
  }
  std::vector<float> x(8192, 1.0f);
  x[5000] = -INFINITY;
  const auto y = decode(codec, encode(codec, x), x.size());
  for (size_t i = 0; i < x.size(); i++)
    CHECK(i < 4096 ? std::isfinite(y[i]) : exact::bits(y[i]) == exact::kNan);
}

TEST("eden refuses what it cannot do, by name") {
  const Codec* codec;
  for (const char* spec :
       {"eden:block=96", "eden:bits=5", "eden:bits=0", "eden:block=8192", "eden:scale=pow2"})
    CHECK_THAT(codec_open(spec, &codec).code() == GM_INVALID_ARGUMENT, spec);
  CHECK(codec_open("eden:block=96", &codec).message().find("block must be a power of two") !=
        std::string::npos);
  CHECK(opened("eden").traits.unbiased && !opened("eden").traits.contractive);
  CHECK(!opened("eden:scale=least").traits.unbiased && opened("eden:scale=least").traits.contractive);
}
