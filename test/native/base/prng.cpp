// Philox against the vectors of the Random123 distribution and against those that TypeScript is checked with
// too.
#include "base/prng.h"

#include <algorithm>
#include <cinttypes>
#include <cmath>

#include "check.h"
#include "vectors.h"

namespace {

uint32_t bits_of(float x) {
  uint32_t bits;
  std::memcpy(&bits, &x, 4);
  return bits;
}

}  // namespace

TEST("philox4x32-10 gives the known answers of Random123") {
  const auto lines = vectors::lines("random.json", "counter");
  CHECK(lines.size() == 3);
  for (const std::string& line : lines) {
    prng::Words counter, words;
    uint32_t key[2];
    uint32_t *c = counter.word, *w = words.word;
    const int read =
        std::sscanf(line.c_str(),
                    " { \"counter\": [%" SCNu32 ", %" SCNu32 ", %" SCNu32 ", %" SCNu32 "], \"key\": [%" SCNu32
                    ", %" SCNu32 "], \"words\": [%" SCNu32 ", %" SCNu32 ", %" SCNu32 ", %" SCNu32 "]",
                    c, c + 1, c + 2, c + 3, key, key + 1, w, w + 1, w + 2, w + 3);
    const prng::Words got = prng::philox(counter, key[0], key[1]);
    CHECK_THAT(read == 10 && std::memcmp(&got, &words, sizeof got) == 0, line);
  }
}

TEST("words, uniforms and normals are those of test/vectors/random.json") {
  const auto lines = vectors::lines("random.json", "seed");
  CHECK(lines.size() >= 10);
  for (const std::string& line : lines) {
    uint64_t seed, stream, element;
    double deviation;
    uint32_t bits, uniform, normal;
    const int read = std::sscanf(line.c_str(),
                                 " { \"seed\": %" SCNu64 ", \"stream\": %" SCNu64 ", \"element\": %" SCNu64
                                 ", \"deviation\": %lf, \"bits\": %" SCNu32 ", \"uniform_bits\": %" SCNu32
                                 ", \"normal_bits\": %" SCNu32,
                                 &seed, &stream, &element, &deviation, &bits, &uniform, &normal);
    CHECK_THAT(read == 7 && prng::bits(seed, stream, element) == bits, line);
    CHECK_THAT(bits_of(prng::uniform(seed, stream, element)) == uniform, line);
    CHECK_THAT(bits_of(prng::normal(seed, stream, element, static_cast<float>(deviation))) == normal, line);
  }
}

TEST("filling in pieces equals filling at once") {
  std::vector<float> whole(1000), pieces(1000);
  for (const bool normal : {false, true}) {
    const auto fill = [&](uint64_t first, float* target, size_t elements) {
      if (normal) {
        gradmesh::fill_normal(7, 9, 1000000 + first, 0.5f, target, elements);
      } else {
        gradmesh::fill_uniform(7, 9, 1000000 + first, target, elements);
      }
    };
    fill(0, whole.data(), 1000);
    for (size_t at = 0; at < 1000;) {
      const size_t length = std::min<size_t>(1 + at % 17, 1000 - at);
      fill(at, pieces.data() + at, length);
      at += length;
    }
    CHECK(whole == pieces);
  }
}

TEST("a uniform's extremes are 0 and 1 - 2^-24, and seeds, streams and elements all matter") {
  CHECK(prng::uniform_of(0xff) == 0.0f && prng::uniform_of(0xffffffff) == 1.0f - 0x1p-24f);
  CHECK(prng::bits(1, 2, 3) != prng::bits(2, 2, 3) && prng::bits(1, 2, 3) != prng::bits(1, 3, 3));
  CHECK(prng::bits(1, 2, 3) != prng::bits(1, 2, 4) &&
        prng::bits(1, 2, 3) != prng::bits(1ull << 32 | 1, 2, 3));
  CHECK(prng::bits(1, 2, 3) != prng::bits(1, 1ull << 32 | 2, 3) &&
        prng::bits(1, 2, 3) != prng::bits(1, 2, 1ull << 34 | 3));
}

TEST("normals have the moments they should have") {
  std::vector<float> values(200000);
  gradmesh::fill_normal(3, 4, 0, 2.0f, values.data(), values.size());
  double mean = 0, variance = 0;
  for (const float x : values) mean += x, variance += double{x} * double{x};
  mean /= static_cast<double>(values.size()), variance /= static_cast<double>(values.size());
  CHECK(std::fabs(mean) < 0.03 && std::fabs(variance - 4) < 0.1);
}
