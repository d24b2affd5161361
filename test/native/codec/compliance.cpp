// What every case of codecs.def must do, on every backend this machine has.
#include <algorithm>
#include <numeric>

#include "support.h"

using namespace codec_test;

namespace {

std::vector<const Codec*> all_codecs() {
  std::vector<const Codec*> codecs;
  for (const std::string& spec : codec_cases()) {
    codecs.push_back(codec_find(spec));
    CHECK_THAT(codecs.back() != nullptr, spec);
  }
  return codecs;
}

std::string label(const Codec& codec, backend::Backend backend, size_t length) {
  return codec.spec + " on " + backend::name(backend) + ", " + std::to_string(length) + " elements";
}

void append(std::vector<uint8_t>* all, const std::vector<uint8_t>& bytes) {
  all->insert(all->end(), bytes.begin(), bytes.end());
}
void append(std::vector<uint8_t>* all, const std::vector<float>& floats) {
  const auto* bytes = reinterpret_cast<const uint8_t*>(floats.data());
  all->insert(all->end(), bytes, bytes + floats.size() * 4);
}

// Everything a codec computes from three inputs.
std::vector<uint8_t> everything(const Codec& codec, const std::vector<std::vector<float>>& sources) {
  const CodecLoops& loops = codec_loops(codec);
  const size_t elements = sources[0].size();
  std::vector<std::vector<uint8_t>> wires;
  for (uint32_t rank = 0; rank < sources.size(); rank++) wires.push_back(encode(codec, sources[rank], rank));
  std::vector<uint8_t> all;
  for (const auto& wire : wires) append(&all, wire);
  append(&all, decode(codec, wires[0], elements));
  std::vector<float> added = sources[1];
  loops.decode_add(codec.options, key_of(0), wires[0].data(), elements, added.data());
  append(&all, added);
  std::vector<uint8_t> hop(codec.bytes(elements));
  loops.decode_add_encode(codec.options, key_of(0), key_of(1), wires[0].data(), sources[1].data(), elements,
                          hop.data());
  CHECK_THAT(hop == encode(codec, added, 1), codec.spec + ": a hop is decode_add, then encode");
  append(&all, mean(codec, wires, elements));
  return all;
}

std::vector<std::vector<uint8_t>> random_contributions(const Codec& codec, size_t count, size_t elements,
                                                       std::mt19937_64& random) {
  std::vector<std::vector<uint8_t>> wires;
  for (uint32_t rank = 0; rank < count; rank++) {
    // Magnitudes apart from each other, so that scales differ.
    auto source = values(Kind::normal, elements, random);
    for (float& x : source) x = std::ldexp(x, static_cast<int>(rank) * 5 - 10);
    wires.push_back(encode(codec, source, rank));
  }
  return wires;
}

}  // namespace

TEST("a row is found by its id and by its name, and an unknown one is not") {
  for (const CodecRow& row : codec_rows()) {
    const Codec* codec = codec_find(row.id);
    CHECK(codec != nullptr && codec->id == row.id && codec_find(row.name) == codec);
    CHECK(codec->bytes(0) == 0 && codec->spec == row.name);
  }
  CHECK(codec_find(kCodecsMax) == nullptr && codec_find("int9_block") == nullptr &&
        codec_find("") == nullptr);
}

TEST("a specification is the same codec however it is written, and another one is another") {
  for (const Codec* codec : all_codecs()) {
    CHECK(codec_find(codec->spec) == codec && codec_find(codec->id) == codec);
    for (const Codec* other : all_codecs())
      CHECK((codec == other) == (codec->fingerprint == other->fingerprint));
    // Every option written out, in the opposite order.
    std::string whole;
    for (const CodecOption& option : codec_options()) {
      if (option.row != std::string(codec->name)) continue;
      const uint32_t value = codec->options.*(option.member);
      std::string text = std::to_string(value);
      if (option.choices != nullptr) {
        std::string rest = option.choices;
        for (uint32_t i = 0; i < value; i++) rest = rest.substr(rest.find(' ') + 1);
        text = rest.substr(0, rest.find(' '));
      }
      whole = std::string(option.name) + "=" + text + (whole.empty() ? "" : "," + whole);
    }
    CHECK_THAT(codec_find(std::string(codec->name) + ":" + whole) == codec, codec->spec + " by " + whole);
  }
}

TEST("a wrong specification is refused by name, with what is allowed") {
  const auto message = [](const std::string& spec) {
    const Codec* codec;
    const Status status = codec_open(spec, &codec);
    CHECK_THAT(status.code() == GM_INVALID_ARGUMENT, spec);
    return status.message();
  };
  CHECK(message("int9").find("allowed: \"fp32\"") != std::string::npos);
  CHECK(message("fp32:block=3").find("it has none") != std::string::npos);
  for (const CodecOption& option : codec_options()) {
    const std::string row = option.row, name = option.name;
    CHECK(message(row + ":" + name).find("without a value") != std::string::npos);
    CHECK(message(row + ":" + name + "=none").find("allowed: ") != std::string::npos);
    CHECK(message(row + ":" + name + "=").find("\"" + name + "\" is \"\"") != std::string::npos);
    CHECK(message(row + ":" + name + "=4294967296").find("allowed: ") != std::string::npos);
    CHECK(message(row + ":depth=1").find("\"" + name + "\"") != std::string::npos);
    if (option.choices == nullptr) {
      const std::string good = name + "=" + std::to_string(option.initial);
      CHECK(message(row + ":" + good + "," + good).find("given twice") != std::string::npos);
      if (option.most < ~0u) message(row + ":" + name + "=" + std::to_string(option.most + 1));
      if (option.least > 0) message(row + ":" + name + "=" + std::to_string(option.least - 1));
    }
  }
}

TEST("all backends give the same bytes") {
  std::mt19937_64 random(check::seed());
  for (const Codec* codec : all_codecs()) {
    auto all_lengths = lengths(*codec);
    all_lengths.push_back(200003);
    for (const size_t length : all_lengths) {
      for (int kind = 0; kind < kKinds; kind++) {
        if (length > 100000 && kind > 1) continue;
        std::vector<std::vector<float>> sources;
        for (int i = 0; i < 3; i++) sources.push_back(values(static_cast<Kind>(kind), length, random));
        std::vector<uint8_t> reference;
        with_backend(backend::Backend::scalar, [&] { reference = everything(*codec, sources); });
        for (const auto backend : backend::available())
          with_backend(backend, [&] {
            CHECK_THAT(everything(*codec, sources) == reference,
                       label(*codec, backend, length) + ", kind " + std::to_string(kind));
          });
      }
    }
  }
}

TEST("all backends read a stranger's bytes alike, and write nothing outside") {
  std::mt19937_64 random(check::seed());
  for (const Codec* codec : all_codecs()) {
    for (const size_t length : lengths(*codec)) {
      std::vector<std::vector<uint8_t>> wires;
      for (int i = 0; i < 3; i++) wires.push_back(random_wire(*codec, length, random));
      std::vector<uint8_t> reference[3];
      for (const auto backend : backend::available())
        with_backend(backend, [&] {
          // Exactly as long as the codec says: AddressSanitizer sees a byte read past the end.
          std::vector<const uint8_t*> pointers;
          for (const auto& wire : wires) pointers.push_back(wire.data());
          // Floats are aligned to 4, wires to nothing.
          Guarded target(length * 4, 4), added(length * 4, 4), coded(codec->bytes(length), 3);
          const CodecLoops& loops = codec_loops(*codec);
          const CodecOptions& options = codec->options;
          loops.decode(options, key_of(0), pointers[0], length, reinterpret_cast<float*>(target.data()));
          if (length > 0) std::memcpy(added.data(), target.data(), length * 4);
          loops.decode_add(options, key_of(1), pointers[1], length, reinterpret_cast<float*>(added.data()));
          loops.mean(options, key_of(kMeanRank), pointers.data(), 3, length, coded.data());
          CHECK_THAT(target.intact() && added.intact() && coded.intact(), label(*codec, backend, length));
          if (codec->traits.exact_sum)
            CHECK_THAT(accumulated(*codec, wires, {2, 0, 1}, length) == coded.contents(),
                       label(*codec, backend, length) + ": accumulated");
          const std::vector<uint8_t> results[3] = {target.contents(), added.contents(), coded.contents()};
          for (int i = 0; i < 3; i++) {
            if (backend == backend::Backend::scalar) reference[i] = results[i];
            CHECK_THAT(results[i] == reference[i],
                       label(*codec, backend, length) + ", result " + std::to_string(i));
          }
        });
    }
  }
}

TEST("encode writes exactly bytes(n), wherever the wire lies") {
  std::mt19937_64 random(check::seed());
  for (const Codec* codec : all_codecs()) {
    for (const size_t length : lengths(*codec)) {
      const auto source = values(Kind::special, length, random);
      for (size_t skew = 0; skew < 8; skew++) {
        Guarded wire(codec->bytes(length), skew);
        codec_loops(*codec).encode(codec->options, key_of(0), source.data(), length, wire.data());
        CHECK_THAT(wire.intact() && wire.contents() == encode(*codec, source), codec->spec);
      }
    }
  }
}

TEST("a tensor that is coded in parts, cut at blocks, decodes to what it decodes to whole") {
  std::mt19937_64 random(check::seed());
  for (const Codec* codec : all_codecs()) {
    const size_t block = codec->traits.block_elements, length = 5 * block + block / 2 + 1, cut = 2 * block;
    const auto source = values(Kind::normal, length, random);
    const auto whole = decode(*codec, encode(*codec, source), length);
    std::vector<float> parts(length);
    for (const auto& [begin, end] : {std::pair{size_t{0}, cut}, std::pair{cut, length}}) {
      std::vector<uint8_t> wire(codec->bytes(end - begin));
      CodecKey key = key_of(0);
      key.first = begin;
      const CodecLoops& loops = codec_loops(*codec);
      loops.encode(codec->options, key, source.data() + begin, end - begin, wire.data());
      loops.decode(codec->options, key, wire.data(), end - begin, parts.data() + begin);
    }
    CHECK_THAT(same_bits(parts, whole), codec->spec);
  }
}

TEST("decode_add is one addition to what decode gives") {
  std::mt19937_64 random(check::seed());
  for (const Codec* codec : all_codecs()) {
    const auto wire = encode(*codec, values(Kind::normal, 5000, random));
    const auto decoded = decode(*codec, wire, 5000);
    auto target = values(Kind::normal, 5000, random), expected = target;
    for (size_t i = 0; i < 5000; i++) expected[i] = exact::add(expected[i], decoded[i]);
    codec_loops(*codec).decode_add(codec->options, key_of(0), wire.data(), 5000, target.data());
    CHECK_THAT(same_bits(target, expected), codec->spec);
  }
}

TEST("a codec keeps the promises of its traits: identity, contractive, unbiased") {
  std::mt19937_64 random(check::seed());
  constexpr size_t kElements = 8192;
  for (const Codec* codec : all_codecs()) {
    const auto source = values(Kind::normal, kElements, random);
    const auto decoded = decode(*codec, encode(*codec, source), kElements);
    if (codec->traits.identity) CHECK_THAT(same_bits(decoded, source), codec->spec);
    CHECK_THAT(!codec->traits.identity || codec->bytes(kElements) == 4 * kElements, codec->spec);
    double error = 0, norm = 0;
    for (size_t i = 0; i < kElements; i++) {
      error += std::pow(double{source[i]} - double{decoded[i]}, 2);
      norm += std::pow(double{source[i]}, 2);
    }
    if (codec->traits.contractive) CHECK_THAT(error < norm, codec->spec + ": contractive");
    CHECK_THAT(codec->traits.identity || !(codec->traits.contractive && codec->traits.unbiased),
               codec->spec + ": feedback must know which it is");
    if (!codec->traits.unbiased) continue;
    // The mean over steps comes closer to the source as 1 / steps does.
    constexpr int kSteps = 64;
    std::vector<double> sum(kElements);
    double error_of_mean = 0;
    for (int step = 0; step < kSteps; step++) {
      CodecKey key = key_of(0);
      key.step = static_cast<uint64_t>(step);
      std::vector<uint8_t> wire(codec->bytes(kElements));
      std::vector<float> back(kElements);
      codec_loops(*codec).encode(codec->options, key, source.data(), kElements, wire.data());
      codec_loops(*codec).decode(codec->options, key, wire.data(), kElements, back.data());
      for (size_t i = 0; i < kElements; i++) sum[i] += double{back[i]};
    }
    for (size_t i = 0; i < kElements; i++) error_of_mean += std::pow(sum[i] / kSteps - double{source[i]}, 2);
    CHECK_THAT(error_of_mean <= error * 1.5 / kSteps, codec->spec + ": unbiased");
  }
}

TEST("an exact sum is the same bytes in any order of arrival, at once or one by one") {
  std::mt19937_64 random(check::seed());
  for (const Codec* codec : all_codecs()) {
    if (!codec->traits.exact_sum) continue;
    const size_t length = 1000;
    const auto wires = random_contributions(*codec, 5, length, random);
    const auto forward = mean(*codec, wires, length);
    std::vector<size_t> order = {0, 1, 2, 3, 4};
    do {
      std::vector<std::vector<uint8_t>> arrived;
      for (const size_t rank : order) arrived.push_back(wires[rank]);
      CHECK_THAT(mean(*codec, arrived, length) == forward, codec->spec);
      CHECK_THAT(accumulated(*codec, wires, order, length) == forward, codec->spec + ": accumulated");
    } while (std::next_permutation(order.begin(), order.end()));
  }
}

TEST("wires of a linear codec are float words whose sum decodes to the sum") {
  std::mt19937_64 random(check::seed());
  for (const Codec* codec : all_codecs()) {
    if (!codec->traits.linear) continue;
    const size_t length = 2 * codec->traits.block_elements + 7;
    const auto a = values(Kind::normal, length, random), b = values(Kind::normal, length, random);
    std::vector<float> words_a(codec->bytes(length) / 4), words_b = words_a;
    CHECK_THAT(words_a.size() * 4 == codec->bytes(length), codec->spec);
    std::memcpy(words_a.data(), encode(*codec, a).data(), words_a.size() * 4);
    std::memcpy(words_b.data(), encode(*codec, b, 1).data(), words_b.size() * 4);
    for (size_t i = 0; i < words_a.size(); i++) words_a[i] += words_b[i];
    std::vector<uint8_t> wire(codec->bytes(length));
    std::memcpy(wire.data(), words_a.data(), wire.size());
    std::vector<float> both(length);
    for (size_t i = 0; i < length; i++) both[i] = a[i] + b[i];
    const auto got = decode(*codec, wire, length), expected = decode(*codec, encode(*codec, both), length);
    for (size_t i = 0; i < length; i++) CHECK_THAT(std::fabs(got[i] - expected[i]) < 1e-5f, codec->spec);
  }
}

TEST("NaN and Inf in the input are NaN or Inf in the output") {
  const float bad[] = {exact::from_bits(0x7fc00000), exact::from_bits(0xff800001), INFINITY, -INFINITY};
  for (const Codec* codec : all_codecs()) {
    // A codec that keeps few elements may leave out a broken one's neighbours, never itself or its block.
    const size_t block = codec->traits.block_elements, length = 3 * block + 2, at = block + block / 2;
    const auto broken = [&](const std::vector<float>& decoded, size_t begin, size_t end) {
      return std::any_of(decoded.begin() + static_cast<long>(begin), decoded.begin() + static_cast<long>(end),
                         [](float x) { return !std::isfinite(x); });
    };
    if (std::string(codec->name) == "random_mask") continue;  // sees what it keeps: random_mask.cpp
    for (const float x : bad) {
      std::vector<float> source(length, 1.0f);
      const auto clean = encode(*codec, source, 0);
      source[at] = x;
      const auto wire = encode(*codec, source, 1);
      const auto decoded = decode(*codec, wire, length, 1);
      const auto averaged = decode(
          *codec, mean(*codec, {clean, wire, encode(*codec, std::vector<float>(length, 1.0f), 2)}, length),
          length, kMeanRank);
      CHECK_THAT(broken(decoded, block, 2 * block) && !broken(decoded, 0, block), codec->spec);
      CHECK_THAT(broken(averaged, block, 2 * block) && !broken(averaged, 0, block), codec->spec + ": mean");
    }
  }
}
