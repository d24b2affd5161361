// lowrank against its definition, and the algebra that it promises.
#include "codec/lowrank.h"

#include "codec/lowrank_steps.h"
#include "support.h"

namespace {

using namespace codec_test;
using codecs::lowrank;

const Codec& opened(const std::string& spec) {
  const Codec* codec = nullptr;
  CHECK_THAT(static_cast<bool>(codec_open(spec, &codec)), spec);
  return *codec;
}

std::vector<float> start_of(const CodecOptions& o, const CodecKey& key) {
  std::vector<float> q(lowrank::q_floats(o));
  for (size_t i = 0; i < q.size(); i++) q[i] = lowrank::start(key, i);
  if (lowrank::shared(o)) lowrank::orthogonalize(q.data(), o.columns, o.rank);
  return q;
}

// The wire of whole matrices, straight from the header's text.
std::vector<float> reference(const CodecOptions& o, const CodecKey& key, const std::vector<float>& x) {
  const auto q0 = start_of(o, key);
  std::vector<float> wire;
  for (size_t at = 0; at < x.size(); at += lowrank::matrix_elements(o)) {
    std::vector<float> p(lowrank::p_floats(o)), q(lowrank::q_floats(o));
    lowrank::left(x.data() + at, o.rows, o.columns, q0.data(), o.rank, p.data());
    if (!lowrank::shared(o)) {
      lowrank::orthogonalize(p.data(), o.rows, o.rank);
      lowrank::right(x.data() + at, o.rows, o.columns, p.data(), o.rank, q.data());
    }
    wire.insert(wire.end(), p.begin(), p.end());
    if (!lowrank::shared(o)) wire.insert(wire.end(), q.begin(), q.end());
  }
  return wire;
}
std::vector<float> reference_decoded(const CodecOptions& o, const CodecKey& key,
                                     const std::vector<float>& wire) {
  const auto q0 = start_of(o, key);
  std::vector<float> x;
  for (size_t at = 0; at < wire.size(); at += lowrank::wire_floats(o)) {
    std::vector<float> m(lowrank::matrix_elements(o));
    const float* q = lowrank::shared(o) ? q0.data() : wire.data() + at + lowrank::p_floats(o);
    lowrank::expand(wire.data() + at, q, o.rows, o.columns, o.rank, m.data());
    x.insert(x.end(), m.begin(), m.end());
  }
  return x;
}

std::vector<uint8_t> bytes_of(const std::vector<float>& floats) {
  const auto* bytes = reinterpret_cast<const uint8_t*>(floats.data());
  return {bytes, bytes + 4 * floats.size()};
}
std::vector<float> floats_of(const std::vector<uint8_t>& bytes) {
  std::vector<float> floats(bytes.size() / 4);
  std::memcpy(floats.data(), bytes.data(), bytes.size());
  return floats;
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
// A random rows x columns matrix of this rank.
std::vector<float> of_rank(size_t rows, size_t columns, size_t rank, std::mt19937_64& random) {
  const auto p = values(Kind::normal, rows * rank, random), q = values(Kind::normal, columns * rank, random);
  std::vector<float> m(rows * columns);
  lowrank::expand(p.data(), q.data(), rows, columns, rank, m.data());
  return m;
}

}  // namespace

TEST("lowrank's loops give the definition's bytes, on every backend") {
  std::mt19937_64 random(check::seed());
  for (const char* shape :
       {"rows=64,columns=64,rank=4", "rows=37,columns=100,rank=7", "rows=5,columns=3,rank=3",
        "rows=130,columns=17,rank=1", "rows=1,columns=33,rank=1"})
    for (const char* basis : {"power", "shared"}) {
      const Codec& codec = opened(std::string("lowrank:") + shape + ",basis=" + basis);
      const size_t count = 2 * lowrank::matrix_elements(codec.options);
      for (int kind = 0; kind < kKinds; kind++) {
        const auto x = values(static_cast<Kind>(kind), count, random);
        const CodecKey key = {random(), random() % 1000, 0, 3};
        const auto expected = bytes_of(reference(codec.options, key, x));
        const auto foreign = random_wire(codec, count, random);
        const auto back = reference_decoded(codec.options, key, floats_of(expected));
        const auto strange = reference_decoded(codec.options, key, floats_of(foreign));
        for (const auto backend : backend::available())
          with_backend(backend, [&] {
            const std::string where =
                codec.spec + " kind " + std::to_string(kind) + " " + backend::name(backend);
            Guarded wire(codec.bytes(count), 3);
            std::vector<float> y(count), z(count);
            codec_loops(codec).encode(codec.options, key, x.data(), count, wire.data());
            CHECK_THAT(wire.contents() == expected && wire.intact(), where);
            codec_loops(codec).decode(codec.options, key, wire.data(), count, y.data());
            codec_loops(codec).decode(codec.options, key, foreign.data(), count, z.data());
            CHECK_THAT(same_bits(y, back) && same_bits(z, strange), where);
          });
      }
    }
}

TEST("the steps apart give the definition's bits, on every backend") {
  std::mt19937_64 random(check::seed());
  constexpr size_t kRows = 45, kColumns = 70, kRank = 5;
  const auto m = values(Kind::normal, kRows * kColumns, random),
             q0 = values(Kind::normal, kColumns * kRank, random);
  std::vector<float> p(kRows * kRank), q(kColumns * kRank), y(m.size());
  lowrank::left(m.data(), kRows, kColumns, q0.data(), kRank, p.data());
  lowrank::orthogonalize(p.data(), kRows, kRank);
  lowrank::right(m.data(), kRows, kColumns, p.data(), kRank, q.data());
  lowrank::expand(p.data(), q.data(), kRows, kColumns, kRank, y.data());
  for (const auto backend : backend::available())
    with_backend(backend, [&] {
      std::vector<float> p2(p.size()), q2(q.size()), y2(y.size());
      const LowrankSteps& steps = lowrank_steps();
      steps.left(m.data(), kRows, kColumns, q0.data(), kRank, p2.data());
      steps.orthogonalize(p2.data(), kRows, kRank);
      steps.right(m.data(), kRows, kColumns, p2.data(), kRank, q2.data());
      steps.expand(p2.data(), q2.data(), kRows, kColumns, kRank, y2.data());
      CHECK(same_bits(p, p2) && same_bits(q, q2) && same_bits(y, y2));
    });
}

TEST("a matrix of rank r comes back from r columns, and a projection never grows") {
  std::mt19937_64 random(check::seed());
  for (const size_t rank : {1u, 3u, 8u}) {
    const auto m = of_rank(96, 80, rank, random);
    for (const size_t columns : {size_t{1}, rank, size_t{12}}) {
      const Codec& codec = opened("lowrank:rows=96,columns=80,rank=" + std::to_string(columns));
      const double left = squared(difference(m, decode(codec, encode(codec, m), m.size()))) / squared(m);
      CHECK_THAT(columns >= rank ? left < 1e-6 : left < 1, codec.spec + ": " + std::to_string(left));
    }
  }
  const auto noise = values(Kind::normal, 64 * 64 * 4, random);
  for (const char* spec :
       {"lowrank", "lowrank:basis=shared", "lowrank:rank=64", "lowrank:rank=64,basis=shared"}) {
    const double left =
        squared(difference(noise, decode(opened(spec), encode(opened(spec), noise), noise.size()))) /
        squared(noise);
    CHECK_THAT(opened(spec).options.rank == 64 ? left < 1e-6 : left < 0.97,
               std::string(spec) + std::to_string(left));
  }
}

TEST("orthogonalize makes vectors orthonormal, and +0 of those that depend on earlier ones") {
  std::mt19937_64 random(check::seed());
  constexpr size_t kLength = 300, kRank = 8;
  for (const float magnitude : {1.0f, 1e-36f, 1e37f}) {
    auto f = values(Kind::normal, kLength * kRank, random);
    for (size_t i = 0; i < kLength; i++) {
      f[i] = 0.0f;
      f[3 * kLength + i] = 2 * f[1 * kLength + i] - f[2 * kLength + i];      // dependent
      f[5 * kLength + i] = f[4 * kLength + i] + 0.01f * f[5 * kLength + i];  // nearly
    }
    for (float& each : f) each *= magnitude;
    lowrank::orthogonalize(f.data(), kLength, kRank);
    for (size_t a = 0; a < kRank; a++)
      for (size_t b = 0; b <= a; b++) {
        double dot = 0;
        for (size_t i = 0; i < kLength; i++) dot += double{f[a * kLength + i]} * f[b * kLength + i];
        const double expected = a == b && a != 0 && a != 3 ? 1 : 0;
        CHECK_THAT(std::abs(dot - expected) < 1e-6, std::to_string(a) + std::to_string(b));
      }
  }
}

TEST("lowrank with a shared basis is linear: the sum of wires decodes to the sum, whoever coded them") {
  std::mt19937_64 random(check::seed());
  const Codec& codec = opened("lowrank:rows=40,columns=50,rank=6,basis=shared");
  CHECK(codec.traits.linear && codec.traits.contractive && codec.traits.block_elements == 2000);
  const auto a = values(Kind::normal, 4100, random), b = values(Kind::normal, 4100, random);
  auto sum = a;
  for (size_t i = 0; i < sum.size(); i++) sum[i] += b[i];
  auto wire = floats_of(encode(codec, a, 0));
  const auto other = floats_of(encode(codec, b, 1));
  for (size_t i = 0; i < wire.size(); i++) wire[i] += other[i];
  const auto together = decode(codec, bytes_of(wire), sum.size()),
             apart = decode(codec, encode(codec, sum, 2), sum.size());
  CHECK(squared(difference(together, apart)) < 1e-12 * squared(apart));
  // And so the mean is the words' mean; what makes no whole matrix is exact.
  const auto halved = floats_of(mean(codec, {encode(codec, a, 0), encode(codec, b, 1)}, a.size()));
  for (size_t i = 0; i < halved.size(); i++) CHECK(halved[i] == wire[i] / 2);
  for (size_t i = 4000; i < 4100; i++) CHECK(together[i] == sum[i]);
}

TEST("the mean and the hop of lowrank are those of decoded matrices") {
  std::mt19937_64 random(check::seed());
  const Codec& codec = opened("lowrank:rows=30,columns=20,rank=3");
  const size_t count = 1300;
  std::vector<std::vector<uint8_t>> wires;
  std::vector<float> sum(count, 0.0f);
  for (uint32_t rank = 0; rank < 3; rank++) {
    wires.push_back(encode(codec, values(Kind::normal, count, random), rank));
    const auto y = decode(codec, wires.back(), count, rank);
    for (size_t i = 0; i < count; i++) sum[i] = rank == 0 ? y[i] : sum[i] + y[i];
  }
  for (float& each : sum) each /= 3.0f;
  const auto source = values(Kind::normal, count, random);
  auto added = source;
  const auto first = decode(codec, wires[0], count, 0);
  for (size_t i = 0; i < count; i++) added[i] += first[i];
  for (const auto backend : backend::available())
    with_backend(backend, [&] {
      CHECK(mean(codec, wires, count) == encode(codec, sum, kMeanRank));
      std::vector<uint8_t> hop(codec.bytes(count));
      codec_loops(codec).decode_add_encode(codec.options, key_of(0), key_of(1), wires[0].data(),
                                           source.data(), count, hop.data());
      CHECK(hop == encode(codec, added, 1));
    });
}

TEST("lowrank shows what is not finite: in its matrix, or with a shared basis in its row") {
  std::vector<float> x(3 * 4096, 1.0f);
  x[4096 + 64 * 7 + 5] = INFINITY;
  const auto power = decode(opened("lowrank"), encode(opened("lowrank"), x), x.size());
  const Codec& shared = opened("lowrank:basis=shared");
  const auto rows = decode(shared, encode(shared, x), x.size());
  for (size_t i = 0; i < x.size(); i++) {
    CHECK((exact::bits(power[i]) == exact::kNan) == (i / 4096 == 1));
    CHECK(std::isfinite(rows[i]) == (i / 64 != 64 + 7));
  }
}

TEST("lowrank refuses ranks that a matrix does not have") {
  const Codec* codec;
  CHECK(codec_open("lowrank:rows=3,columns=9,rank=4", &codec).message().find("rank") != std::string::npos);
  CHECK(codec_open("lowrank:rows=64,columns=32768,rank=4", &codec).code() == GM_INVALID_ARGUMENT);
  CHECK(codec_open("lowrank:rows=9,columns=9,rank=9", &codec).code() == GM_OK);
}
