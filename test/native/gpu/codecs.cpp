// Every codec's twin against the CPU, by bytes, over the rows of codecs.def and their variants: any length,
// any bits of floats, any wire.
#include <algorithm>

#include "../codec/support.h"
#include "../vectors.h"
#include "codec/device_coder.h"
#include "codec/golden.h"
#include "device.h"

using namespace gradmesh;
using namespace codec_test;

namespace {

// Emulated, a case of so many elements takes a fraction of a second.
constexpr size_t kSmallMost = 2048;

// The first place where bytes differ, for a person.
template <class T>
std::string difference(const std::vector<T>& device, const std::vector<T>& cpu) {
  for (size_t i = 0; i < cpu.size(); i++)
    if (std::memcmp(&device[i], &cpu[i], sizeof(T)) != 0) {
      uint32_t found = 0, expected = 0;
      std::memcpy(&found, &device[i], sizeof(T));
      std::memcpy(&expected, &cpu[i], sizeof(T));
      char text[96];
      std::snprintf(text, sizeof text, "[%zu] is 0x%x, the CPU's 0x%x", i, found, expected);
      return text;
    }
  return "";
}

// What a ring's next hop is keyed by: another choice of elements, other random numbers.
constexpr CodecKey kNext = {12, 5, 0, 1};

// One codec on the device and on the CPU.
struct Twins {
  const Codec& codec;
  DeviceCoder coder;
  std::string where;

  void check_status(const Status& status, const char* what) {
    CHECK_THAT(static_cast<bool>(status), where + ": " + what + ": " + status.message());
  }
  template <class T>
  void check_same(const std::vector<T>& device, const std::vector<T>& cpu, const char* what) {
    const std::string text = difference(device, cpu);
    CHECK_THAT(text.empty(), where + ": " + what + text);
  }

  std::vector<uint8_t> check_encode(const std::vector<float>& source, uint32_t rank) {
    const auto expected = encode(codec, source, rank);
    std::vector<uint8_t> wire(expected.size());
    check_status(coder.encode(key_of(rank), source.data(), source.size(), wire.data()), "encode");
    check_same(wire, expected, "encode");
    return expected;
  }
  void check_decode(const std::vector<uint8_t>& wire, const std::vector<float>& target) {
    const size_t elements = target.size();
    std::vector<float> decoded(elements), sum = target, expected = target;
    check_status(coder.decode(key_of(0), wire.data(), elements, decoded.data()), "decode");
    check_same(decoded, decode(codec, wire, elements), "decode");
    check_status(coder.decode_add(key_of(0), wire.data(), elements, sum.data()), "decode_add");
    codec_loops(codec).decode_add(codec.options, key_of(0), wire.data(), elements, expected.data());
    check_same(sum, expected, "decode_add");
    std::vector<uint8_t> hop(wire.size()), expected_hop(wire.size());
    check_status(coder.decode_add_encode(key_of(0), kNext, wire.data(), target.data(), elements, hop.data()),
                 "decode_add_encode");
    codec_loops(codec).decode_add_encode(codec.options, key_of(0), kNext, wire.data(), target.data(),
                                         elements, expected_hop.data());
    check_same(hop, expected_hop, "decode_add_encode");
  }
  void check_mean(const std::vector<std::vector<uint8_t>>& wires, size_t elements) {
    const auto ranks = static_cast<uint32_t>(wires.size());
    std::vector<const uint8_t*> pointers;
    for (const auto& wire : wires) pointers.push_back(wire.data());
    const auto expected = mean(codec, wires, elements);
    std::vector<uint8_t> wire(expected.size());
    check_status(coder.mean(key_of(kMeanRank), pointers.data(), ranks, elements, wire.data()), "mean");
    check_same(wire, expected, ("mean of " + std::to_string(ranks)).c_str());
    if (!coder.accumulates()) return;
    // In another order than the CPU's.
    std::vector<uint8_t> sum(codec_loops(codec).sum_bytes(codec.options, elements)),
        finished(expected.size());
    for (uint32_t rank = ranks; rank-- > 0;)
      check_status(coder.accumulate(key_of(rank), wires[rank].data(), elements, sum.data()), "accumulate");
    check_status(coder.finish(key_of(kMeanRank), sum.data(), ranks, elements, finished.data()), "finish");
    check_same(finished, expected, "accumulate and finish");
  }
};

Status open(const std::string& spec, Twins* twins) {
  twins->where = spec;
  return DeviceCoder::create(gpu_test::suite().device, twins->codec, &twins->coder);
}

// The cases of every row that has a twin; the first test complains about those that have none.
template <class Body>
void each_twin(Body body) {
  for (const std::string& spec : codec_cases()) {
    Twins twins{*codec_find(spec), {}, spec};
    if (open(spec, &twins)) body(spec, twins);
  }
}

std::vector<size_t> device_lengths(const Codec& codec) {
  std::vector<size_t> all = lengths(codec);
  const size_t block = codec.traits.block_elements;
  all.insert(all.end(), {17, 63, 64, 65, 3 * block + 7});
  if (gpu_test::suite().large) {
    all.insert(all.end(), {1 << 20, (1 << 20) + 13, 5 * block * 1031 + 1});
  } else {
    const size_t most = std::max(kSmallMost, block + 1);
    all.erase(std::remove_if(all.begin(), all.end(), [&](size_t each) { return each > most; }), all.end());
  }
  std::sort(all.begin(), all.end());
  all.erase(std::unique(all.begin(), all.end()), all.end());
  return all;
}

// A large case is no likelier to find a bug of values than a small one: one kind will do.
int kinds_of(size_t elements) { return elements > 100'000 ? 1 : kKinds; }

}  // namespace

TEST("codecs: every row and variant has a twin") {
  for (const std::string& spec : codec_cases()) {
    Twins twins{*codec_find(spec), {}, spec};
    const Status status = open(spec, &twins);
    CHECK_THAT(static_cast<bool>(status), status.message());
  }
}

TEST("codecs: encode, and what decodes its wire, give the CPU's bytes") {
  std::mt19937_64 random(check::seed());
  each_twin([&](const std::string& spec, Twins& twins) {
    for (const size_t elements : device_lengths(twins.codec))
      for (int kind = 0; kind < kinds_of(elements); kind++) {
        twins.where = spec + ", " + std::to_string(elements) + " elements, kind " + std::to_string(kind);
        const auto source = values(static_cast<Kind>(kind), elements, random);
        const auto wire = twins.check_encode(source, 0);
        twins.check_decode(wire, values(static_cast<Kind>(kind), elements, random));
      }
  });
}

TEST("codecs: a stranger's wire decodes to the CPU's bytes") {
  std::mt19937_64 random(check::seed() + 1);
  each_twin([&](const std::string& spec, Twins& twins) {
    for (const size_t elements : device_lengths(twins.codec)) {
      twins.where = spec + ", a random wire of " + std::to_string(elements) + " elements";
      twins.check_decode(random_wire(twins.codec, elements, random), values(Kind::raw, elements, random));
    }
  });
}

TEST("codecs: the mean of contributions is the CPU's, of honest ones and of strangers'") {
  std::mt19937_64 random(check::seed() + 2);
  each_twin([&](const std::string& spec, Twins& twins) {
    const size_t block = twins.codec.traits.block_elements;
    std::vector<size_t> all = {0, 1, block, block + 1};
    if (gpu_test::suite().large) all.push_back(1'000'003);
    for (const size_t elements : all)
      for (const uint32_t ranks : {1u, 2u, 3u, 17u})
        for (const Kind kind : {Kind::normal, Kind::special, Kind::raw}) {
          if (elements > 100'000 && (ranks != 3 || kind != Kind::normal)) continue;
          if (!gpu_test::suite().large && ranks > 3 && elements > 300) continue;
          twins.where = spec + ", " + std::to_string(elements) + " elements, kind " +
                        std::to_string(static_cast<int>(kind));
          std::vector<std::vector<uint8_t>> wires;
          for (uint32_t rank = 0; rank < ranks; rank++)
            wires.push_back(kind == Kind::raw ? random_wire(twins.codec, elements, random)
                                              : encode(twins.codec, values(kind, elements, random), rank));
          twins.check_mean(wires, elements);
        }
  });
}

TEST("codecs: the device gives the golden digests of codec.json") {
  const size_t most = gpu_test::suite().large ? size_t{1} << 24 : kSmallMost;
  size_t replayed = 0;
  for (const std::string& line : vectors::lines("codec.json", "codec")) {
    char codec[128], digest[65];
    unsigned long long elements, seed;
    const int read = std::sscanf(line.c_str(),
                                 " { \"codec\": \"%127[a-z0-9_:=,]\", \"elements\": %llu, \"seed\": %llu, "
                                 "\"digest\": \"%64[0-9a-f]\"",
                                 codec, &elements, &seed, digest);
    CHECK_THAT(read == 4, line);
    if (read != 4 || elements > most) continue;
    std::string found;
    const Status status = golden_codec(codec, elements, seed, gpu_test::suite().device, &found);
    if (status.code() == GM_UNSUPPORTED) continue;
    CHECK_THAT(static_cast<bool>(status), line + ": " + status.message());
    CHECK_THAT(!status || found == digest, line + ": the device gives " + found);
    replayed++;
  }
  size_t twins = 0;
  each_twin([&](const std::string&, Twins&) { twins++; });
  CHECK(replayed >= twins);
}

// A race that loses seldom shows only in repetition.
TEST("codecs: the same work gives the same bytes every time") {
  std::mt19937_64 random(check::seed() + 3);
  each_twin([&](const std::string& spec, Twins& twins) {
    const size_t elements = gpu_test::suite().large ? 3'000'017 : twins.codec.traits.block_elements + 301;
    const auto source = values(Kind::normal, elements, random);
    for (int round = 0; round < (gpu_test::suite().large ? 10 : 2); round++) {
      twins.where = spec + ", round " + std::to_string(round);
      twins.check_encode(source, 0);
    }
  });
}
