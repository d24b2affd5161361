// Times every codec on every backend, one thread, beside memcpy of the same bytes in turns; a JSON object a
// line. `npm run bench -- codec` builds, runs and prints it.
//
// bench_codec [--codec SPECIFICATION]... [--bytes BYTES]... [--backend NAME]... [--turns N] [--describe]
// BYTES are of the float32 elements; without --codec all of codec_cases(). --describe says what each codec
// is, and times nothing.
#include <cstdio>
#include <memory>
#include <string>
#include <string_view>

#include "base/crypto.h"
#include "base/prng.h"
#include "codec/codec.h"
#include "codec_zfp.h"
#include "numeric/backend.h"
#include "turns.h"

using namespace gradmesh;
using turns::Memory;

namespace {

constexpr uint32_t kRanks = 4;
constexpr size_t kShift = 64;         // elements between the inputs of one rank and the next
constexpr size_t kPeriod = 1u << 20;  // elements after which the input repeats
constexpr uint64_t kSeed = 7, kStep = 11;
constexpr float kDeviation = 0.02f;  // a normal's, as pseudo-gradients nearly are

void require(const Status& status) {
  if (status) return;
  std::fprintf(stderr, "%s\n", status.message().c_str());
  std::exit(1);
}

CodecKey key_of(uint32_t rank) { return {kSeed, kStep, 0, rank}; }

// The buffers of one codec at one size.
struct Work {
  const Codec& codec;
  const size_t elements, fp32, wire;  // the last two in bytes
  Memory source, target, result;
  std::unique_ptr<Memory> wires[kRanks];
  const uint8_t* pointers[kRanks];

  Work(const Codec& codec, size_t elements)
      : codec(codec),
        elements(elements),
        fp32(elements * 4),
        wire(codec.bytes(elements)),
        source(fp32 + kRanks * kShift * 4),
        target(fp32),
        result(wire) {
    const size_t length = elements + kRanks * kShift, first = std::min(length, kPeriod);
    fill_normal(kSeed, 0, 0, kDeviation, source.floats(), first);
    for (size_t i = first; i < length; i++) source.floats()[i] = source.floats()[i - first];
    for (uint32_t rank = 0; rank < kRanks; rank++) {
      wires[rank] = std::make_unique<Memory>(wire);
      pointers[rank] = wires[rank]->bytes();
      codec_loops(codec).encode(codec.options, key_of(rank), source.floats() + rank * kShift, elements,
                                wires[rank]->bytes());
    }
  }
};

struct Operation {
  const char* name;
  size_t (*moved)(const Work&);  // bytes read and bytes written
  void (*run)(const Work&);
  crypto::Bytes (*written)(const Work&);
};

crypto::Bytes target_of(const Work& work) { return {work.target.bytes(), work.fp32}; }
crypto::Bytes result_of(const Work& work) { return {work.result.bytes(), work.wire}; }

constexpr Operation kOperations[] = {
    {"encode", [](const Work& work) { return work.fp32 + work.wire; },
     [](const Work& work) {
       codec_loops(work.codec)
           .encode(work.codec.options, key_of(0), work.source.floats(), work.elements, work.result.bytes());
     },
     result_of},
    {"decode", [](const Work& work) { return work.wire + work.fp32; },
     [](const Work& work) {
       codec_loops(work.codec)
           .decode(work.codec.options, key_of(0), work.pointers[0], work.elements, work.target.floats());
     },
     target_of},
    {"decode_add", [](const Work& work) { return work.wire + 2 * work.fp32; },
     [](const Work& work) {
       codec_loops(work.codec)
           .decode_add(work.codec.options, key_of(0), work.pointers[0], work.elements, work.target.floats());
     },
     target_of},
    {"decode_add_encode", [](const Work& work) { return 2 * work.wire + work.fp32; },
     [](const Work& work) {
       codec_loops(work.codec)
           .decode_add_encode(work.codec.options, key_of(0), key_of(1), work.pointers[0],
                              work.source.floats(), work.elements, work.result.bytes());
     },
     result_of},
    {"mean of 4", [](const Work& work) { return (kRanks + 1) * work.wire; },
     [](const Work& work) {
       codec_loops(work.codec)
           .mean(work.codec.options, key_of(0), work.pointers, kRanks, work.elements, work.result.bytes());
     },
     result_of},
};

// Runs every operation once, before the clock counts. The digest of the results is the same on every backend.
std::string first_runs(const Work& work, std::vector<double>* seconds) {
  crypto::Sha256 hash;
  const bool hashes = static_cast<bool>(crypto::available());
  if (hashes) require(crypto::Sha256::create(&hash));
  for (const Operation& operation : kOperations) {
    seconds->push_back(turns::timed(1, [&] { operation.run(work); }));
    if (hashes) require(hash.update(operation.written(work)));
  }
  crypto::Digest digest;
  if (!hashes) return "";
  require(hash.finish(&digest));
  return crypto::hex(digest);
}

void measure(const Work& work, size_t size, const std::string& backend, const turns::Plan& plan,
             const Memory& from, const Memory& to) {
  require(backend::force(backend));
  std::vector<double> once;
  const std::string digest = first_runs(work, &once);
  const std::string head = R"("kind":"time","codec":")" + work.codec.spec + R"(","backend":")" + backend +
                           R"(","digest":")" + digest + '"';
  for (size_t i = 0; i < once.size(); i++) {
    const Operation& operation = kOperations[i];
    const auto run = [&] { operation.run(work); };
    const auto result = turns::beside_memcpy(plan, once[i], operation.moved(work), from, to, run);
    turns::print_json(head, operation.name, size, work.fp32, result);
  }
}

void measure_codec(const Codec& codec, size_t bytes, const std::vector<std::string>& backends,
                   const turns::Plan& plan) {
  require(backend::force("auto"));
  // Whole blocks: a tail is no codec's main work.
  const size_t block = codec.traits.block_elements;
  const Work work(codec, std::max(bytes / 4 / block, size_t{1}) * block);
  size_t most = 0;
  for (const Operation& operation : kOperations) most = std::max(most, operation.moved(work));
  const Memory from(most / 2), to(most / 2);
  for (const std::string& backend : backends) measure(work, bytes, backend, plan, from, to);
}

void describe(const Codec& codec) {
  const CodecTraits& traits = codec.traits;
  const size_t block = traits.block_elements;
  const size_t elements = (std::max(size_t{1} << 22, block) + block - 1) / block * block;
  const auto word = [](bool is) { return is ? "true" : "false"; };
  std::printf(R"({"kind":"codec","codec":"%s","bits":%.10g,"block":%u,)", codec.spec.c_str(),
              8.0 * static_cast<double>(codec.bytes(elements)) / static_cast<double>(elements),
              traits.block_elements);
  std::printf(R"("linear":%s,"unbiased":%s,"contractive":%s,"exactSum":%s})", word(traits.linear),
              word(traits.unbiased), word(traits.contractive), word(traits.exact_sum));
  std::puts("");
  std::fflush(stdout);
}

struct Wanted {
  std::vector<std::string> specs, backends;
  std::vector<size_t> bytes;
  turns::Plan plan;
  bool only_describe = false;
};

Wanted wanted_of(int count, char** arguments) {
  Wanted wanted;
  for (int i = 1; i < count; i++) {
    const std::string_view name = arguments[i];
    if (name == "--describe") {
      wanted.only_describe = true;
      continue;
    }
    if (++i == count) require({GM_INVALID_ARGUMENT, std::string(name) + " is given without a value"});
    if (name == "--codec")
      wanted.specs.push_back(arguments[i]);
    else if (name == "--backend")
      wanted.backends.push_back(arguments[i]);
    else if (name == "--bytes")
      wanted.bytes.push_back(std::strtoull(arguments[i], nullptr, 10));
    else if (name == "--turns")
      wanted.plan.most = std::max(std::atoi(arguments[i]), 1);
    else
      require({GM_INVALID_ARGUMENT, "there is no option " + std::string(name)});
  }
  if (wanted.specs.empty()) wanted.specs = codec_cases();
  if (wanted.backends.empty())
    for (const auto each : backend::available()) wanted.backends.push_back(backend::name(each));
  if (wanted.bytes.empty()) wanted.bytes = {size_t{256} << 10, size_t{256} << 20};
  // A single turn is a look whether all works: nothing is repeated for precision.
  if (wanted.plan.most == 1) wanted.plan.least_s = 0;
  return wanted;
}

}  // namespace

int main(int count, char** arguments) {
  const Wanted wanted = wanted_of(count, arguments);
  require(backend::check_float_mode());
  std::vector<const Codec*> codecs;
  for (const std::string& spec : wanted.specs) {
    codecs.push_back(nullptr);
    require(codec_open(spec, &codecs.back()));
    describe(*codecs.back());
  }
  if (wanted.only_describe) return 0;
  for (const size_t bytes : wanted.bytes) {
    for (const Codec* codec : codecs) measure_codec(*codec, bytes, wanted.backends, wanted.plan);
    measure_zfp(bytes, wanted.plan);
  }
}
