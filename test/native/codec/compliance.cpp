// What every row of codecs.def must do, on every backend this machine has.
#include <algorithm>

#include "support.h"

using namespace codec_test;

namespace {

const uint32_t kIds[] = {
#define GM_CODEC(name, id, ...) id,
#include "codec/codecs.def"
#undef GM_CODEC
};

std::string label(const Codec& codec, backend::Backend backend, size_t length) {
  return std::string(codec.name) + " on " + backend::name(backend) + ", " + std::to_string(length) +
         " elements";
}

// Everything a codec computes from one input: wire, decoded, added, and the mean with two other inputs.
std::vector<uint8_t> everything(const Codec& codec, const std::vector<std::vector<float>>& sources) {
  const CodecLoops& loops = codec_loops(codec);
  const size_t elements = sources[0].size();
  std::vector<std::vector<uint8_t>> wires;
  for (const auto& source : sources) wires.push_back(encode(codec, source));
  std::vector<float> decoded = decode(codec, wires[0], elements), added = sources[1];
  loops.decode_add(wires[0].data(), elements, added.data());
  std::vector<uint8_t> all = mean(codec, wires, elements);
  for (const auto& wire : wires) all.insert(all.end(), wire.begin(), wire.end());
  for (const auto* floats : {&decoded, &added}) {
    const auto* bytes = reinterpret_cast<const uint8_t*>(floats->data());
    all.insert(all.end(), bytes, bytes + elements * 4);
  }
  return all;
}

}  // namespace

TEST("a row is found by its id and by its name, and an unknown one is not") {
  for (const uint32_t id : kIds) {
    const Codec* codec = codec_find(id);
    CHECK(codec != nullptr && codec->id == id && codec_find(codec->name) == codec);
    CHECK(codec->bytes(0) == 0 && *codec->doc != '\0');
  }
  CHECK(codec_find(kCodecs) == nullptr && codec_find("int9_block") == nullptr && codec_find("") == nullptr);
}

TEST("all backends give the same bytes") {
  std::mt19937_64 random(check::seed());
  for (const uint32_t id : kIds) {
    const Codec& codec = *codec_find(id);
    auto all_lengths = lengths(codec);
    all_lengths.push_back(1 << 20);
    for (const size_t length : all_lengths) {
      for (int kind = 0; kind < kKinds; kind++) {
        if (length > 100000 && kind > 1) continue;
        std::vector<std::vector<float>> sources;
        for (int i = 0; i < 3; i++) sources.push_back(values(static_cast<Kind>(kind), length, random));
        std::vector<uint8_t> reference;
        with_backend(backend::Backend::scalar, [&] { reference = everything(codec, sources); });
        for (const auto backend : backend::available())
          with_backend(backend, [&] {
            CHECK_THAT(everything(codec, sources) == reference,
                       label(codec, backend, length) + ", kind " + std::to_string(kind));
          });
      }
    }
  }
}

TEST("all backends read a stranger's bytes alike, and write nothing outside") {
  std::mt19937_64 random(check::seed());
  for (const uint32_t id : kIds) {
    const Codec& codec = *codec_find(id);
    for (const size_t length : lengths(codec)) {
      std::vector<std::vector<uint8_t>> wires;
      for (int i = 0; i < 3; i++) wires.push_back(random_wire(codec, length, random));
      std::vector<uint8_t> reference[3];
      for (const auto backend : backend::available())
        with_backend(backend, [&] {
          // Exactly as long as the codec says: AddressSanitizer sees a byte read past the end.
          std::vector<const uint8_t*> pointers;
          for (const auto& wire : wires) pointers.push_back(wire.data());
          // Floats are aligned to 4, wires to nothing.
          Guarded target(length * 4, 4), added(length * 4, 4), coded(codec.bytes(length), 3);
          const CodecLoops& loops = codec_loops(codec);
          loops.decode(pointers[0], length, reinterpret_cast<float*>(target.data()));
          std::memcpy(added.data(), target.data(), length * 4);
          loops.decode_add(pointers[1], length, reinterpret_cast<float*>(added.data()));
          loops.mean(pointers.data(), 3, length, coded.data());
          CHECK_THAT(target.intact() && added.intact() && coded.intact(), label(codec, backend, length));
          const std::vector<uint8_t> results[3] = {target.contents(), added.contents(), coded.contents()};
          for (int i = 0; i < 3; i++) {
            if (backend == backend::Backend::scalar) reference[i] = results[i];
            CHECK_THAT(results[i] == reference[i],
                       label(codec, backend, length) + ", result " + std::to_string(i));
          }
        });
    }
  }
}

TEST("encode writes exactly bytes(n), wherever the wire lies") {
  std::mt19937_64 random(check::seed());
  for (const uint32_t id : kIds) {
    const Codec& codec = *codec_find(id);
    for (const size_t length : lengths(codec)) {
      const auto source = values(Kind::special, length, random);
      for (size_t skew = 0; skew < 8; skew++) {
        Guarded wire(codec.bytes(length), skew);
        codec_loops(codec).encode(source.data(), length, wire.data());
        CHECK_THAT(wire.intact() && wire.contents() == encode(codec, source), codec.name);
      }
    }
  }
}

TEST("coding is a projection: what was decoded codes to the same bytes, and the mean of equals is itself") {
  std::mt19937_64 random(check::seed());
  for (const uint32_t id : kIds) {
    const Codec& codec = *codec_find(id);
    for (const size_t length : lengths(codec)) {
      const auto wire = encode(codec, values(Kind::normal, length, random));
      const auto decoded = decode(codec, wire, length);
      CHECK_THAT(encode(codec, decoded) == wire, codec.name);
      CHECK_THAT(same_bits(decode(codec, mean(codec, {wire}, length), length), decoded), codec.name);
      CHECK_THAT(same_bits(decode(codec, mean(codec, {wire, wire}, length), length), decoded), codec.name);
    }
  }
}

TEST("decode_add is one addition to what decode gives") {
  std::mt19937_64 random(check::seed());
  for (const uint32_t id : kIds) {
    const Codec& codec = *codec_find(id);
    const auto wire = encode(codec, values(Kind::normal, 1000, random));
    const auto decoded = decode(codec, wire, 1000);
    auto target = values(Kind::normal, 1000, random), expected = target;
    for (size_t i = 0; i < 1000; i++) expected[i] = exact::add(expected[i], decoded[i]);
    codec_loops(codec).decode_add(wire.data(), 1000, target.data());
    CHECK_THAT(same_bits(target, expected), codec.name);
  }
}

TEST("a row keeps the promises of its columns: linear, contractive, exact_sum") {
  std::mt19937_64 random(check::seed());
  for (const uint32_t id : kIds) {
    const Codec& codec = *codec_find(id);
    const auto source = values(Kind::normal, 5000, random);
    const auto decoded = decode(codec, encode(codec, source), source.size());
    if (codec.linear) CHECK_THAT(same_bits(decoded, source), codec.name);
    double error = 0, norm = 0;
    for (size_t i = 0; i < source.size(); i++) {
      error += std::pow(double{source[i]} - double{decoded[i]}, 2);
      norm += std::pow(double{source[i]}, 2);
    }
    if (codec.contractive) CHECK_THAT(error < 0.01 * norm, codec.name);
    if (codec.exact_sum) {
      std::vector<std::vector<uint8_t>> wires;
      for (int i = 0; i < 5; i++) wires.push_back(encode(codec, values(Kind::normal, 1000, random)));
      const auto forward = mean(codec, wires, 1000);
      std::vector<int> order = {0, 1, 2, 3, 4};
      do {
        std::vector<std::vector<uint8_t>> arrived;
        for (const int rank : order) arrived.push_back(wires[static_cast<size_t>(rank)]);
        CHECK_THAT(mean(codec, arrived, 1000) == forward, codec.name);
      } while (std::next_permutation(order.begin(), order.end()));
    }
  }
}

TEST("NaN and Inf in the input are NaN or Inf in the output") {
  const float bad[] = {exact::from_bits(0x7fc00000), exact::from_bits(0xff800001), INFINITY, -INFINITY};
  for (const uint32_t id : kIds) {
    const Codec& codec = *codec_find(id);
    for (const float x : bad) {
      std::vector<float> source(600, 1.0f);
      source[300] = x;
      const auto wire = encode(codec, source), clean = encode(codec, std::vector<float>(600, 1.0f));
      CHECK_THAT(!std::isfinite(decode(codec, wire, 600)[300]), codec.name);
      CHECK_THAT(!std::isfinite(decode(codec, mean(codec, {clean, wire, clean}, 600), 600)[300]), codec.name);
      CHECK_THAT(std::isfinite(decode(codec, wire, 600)[0]), codec.name);
    }
  }
}
