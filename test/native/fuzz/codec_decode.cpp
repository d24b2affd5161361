// Fuzzes the codecs: any wire bytes, of any length, decode on every backend to the same bytes, and nothing
// outside of the buffers is read or written; any text is a codec or a refusal. LLVM's libFuzzer calls
// LLVMFuzzerTestOneInput, or driver.cpp where there is none.
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#include "codec/codec.h"
#include "codec_input.h"
#include "numeric/backend.h"

using namespace gradmesh;
using fuzz::Exact;
using fuzz::Input;

namespace {

// Two blocks and more, and some turns of the widest loop; not more, so that many inputs are tried.
constexpr size_t kElementsLeast = 700, kElementsMost = 10007;
constexpr uint32_t kRanksMost = 5;

// What an input says: a codec's call, with the bytes of its wires or source at the end.
struct Call {
  const Codec* codec;
  CodecKey key;
  size_t elements, skew;
  uint32_t ranks;
  bool near_valid;  // the wires are coded from the bytes as floats, then damaged, instead of being the bytes
};

Call read_call(Input& input, const Codec* codec) {
  Call call{};
  call.codec = codec;
  const uint32_t flags = input.take<uint8_t>();
  call.near_valid = (flags & 1) != 0;
  call.skew = flags >> 1 & 3;
  call.ranks = 1 + (flags >> 3) % kRanksMost;
  const size_t block = call.codec->traits.block_elements;
  const size_t most = std::clamp(2 * block + 67, kElementsLeast, kElementsMost);
  call.elements = input.take<uint16_t>() % (most + 1);
  const uint64_t first = input.take<uint16_t>();
  call.key = {input.take<uint64_t>(), input.take<uint32_t>(), first * block, input.take<uint8_t>() & 7u};
  return call;
}

struct Results {
  std::vector<Exact> all;
  Exact& add(size_t bytes, size_t skew = 0) {
    all.emplace_back(bytes, skew);
    return all.back();
  }
};

CodecKey of_rank(CodecKey key, uint32_t rank) {
  key.rank = rank;
  return key;
}

// Where the codec sums exactly, contributions that arrive in the other order give the bytes of mean().
void sum_in_reverse(const Call& call, const CodecLoops& loops, const std::vector<const uint8_t*>& wires,
                    const Exact& mean) {
  const CodecOptions& options = call.codec->options;
  const size_t bytes = loops.sum_bytes(options, call.elements);
  uint8_t* sum = static_cast<uint8_t*>(std::aligned_alloc(64, (bytes + 64) / 64 * 64));
  std::memset(sum, 0, bytes);
  for (uint32_t rank = call.ranks; rank-- > 0;)
    loops.accumulate(options, of_rank(call.key, rank), wires[rank], call.elements, sum);
  Exact finished(mean.size());
  loops.finish(options, call.key, sum, call.ranks, call.elements, finished.data());
  std::free(sum);
  if (finished == mean) return;
  std::fprintf(stderr, "%s: finish() differs from mean()\n", call.codec->spec.c_str());
  std::abort();
}

// Runs every function of the codec on the active backend.
void run(const Call& call, const Input& bytes, Results* results) {
  const Codec& codec = *call.codec;
  const CodecLoops& loops = codec_loops(codec);
  const CodecOptions& options = codec.options;
  const size_t elements = call.elements, wire_bytes = codec.bytes(elements);
  results->all.reserve(16);
  Exact source(elements * 4);
  source.fill(bytes, 0);
  Exact& coded = results->add(wire_bytes, call.skew);
  loops.encode(options, call.key, source.floats(), elements, coded.data());

  std::vector<Exact> wires;
  std::vector<const uint8_t*> pointers;
  for (uint32_t rank = 0; rank < call.ranks; rank++) {
    Exact& wire = wires.emplace_back(wire_bytes, call.skew);
    wire.fill(bytes, rank);
    if (call.near_valid) {
      Exact damage(wire_bytes);
      damage.fill(bytes, 7 * rank + 1);
      loops.encode(options, of_rank(call.key, rank), source.floats(), elements, wire.data());
      // One byte in 61 is changed, each in its own way.
      for (size_t i = rank; i < wire_bytes; i += 61) wire.data()[i] ^= damage.data()[i];
    }
  }
  for (const Exact& wire : wires) pointers.push_back(wire.data());

  loops.decode(options, call.key, pointers[0], elements, results->add(elements * 4).floats());
  Exact& sum = results->add(elements * 4);
  if (elements > 0) std::memcpy(sum.data(), source.data(), elements * 4);
  loops.decode_add(options, call.key, pointers[0], elements, sum.floats());
  Exact& hop = results->add(wire_bytes);
  loops.decode_add_encode(options, call.key, of_rank(call.key, 1), pointers[0], source.floats(), elements,
                          hop.data());
  Exact recoded(wire_bytes);
  loops.encode(options, of_rank(call.key, 1), sum.floats(), elements, recoded.data());
  if (!(hop == recoded)) {
    std::fprintf(stderr, "%s: decode_add_encode differs from decode_add and encode\n", codec.spec.c_str());
    std::abort();
  }
  Exact& mean = results->add(wire_bytes);
  loops.mean(options, call.key, pointers.data(), call.ranks, elements, mean.data());
  if (codec.traits.exact_sum) sum_in_reverse(call, loops, pointers, mean);
}

void fuzz_call(Input input, const Codec* codec) {
  const Call call = read_call(input, codec);
  const Input bytes = input;
  Results first;
  const char* first_name = nullptr;
  for (const backend::Backend each : backend::available()) {
    if (!backend::force(backend::name(each))) std::abort();
    Results results;
    run(call, bytes, &results);
    if (first_name == nullptr) {
      first = std::move(results);
      first_name = backend::name(each);
      continue;
    }
    for (size_t i = 0; i < first.all.size(); i++) {
      if (first.all[i] == results.all[i]) continue;
      static const char* const names[] = {"encode", "decode", "decode_add", "decode_add_encode", "mean"};
      std::fprintf(stderr, "%s: %s of %zu elements: %s and %s made different bytes\n", codec->spec.c_str(),
                   names[i], call.elements, first_name, backend::name(each));
      std::abort();
    }
  }
}

// Words of which specifications are made, and some that are none.
const std::vector<std::string>& words() {
  static const std::vector<std::string> all = [] {
    std::vector<std::string> list = {":",  ",",    "=",          "0",          "1",  "2",
                                     "64", "4096", "4294967295", "4294967296", "-1", "=="};
    for (const CodecRow& row : codec_rows()) list.emplace_back(row.name);
    for (const CodecOption& option : codec_options()) {
      list.emplace_back(option.name);
      list.push_back(std::to_string(option.least));
      list.push_back(std::to_string(option.most));
      if (option.choices == nullptr) continue;
      std::string choice;
      for (const char* at = option.choices;; at++) {
        if (*at != ' ' && *at != '\0') {
          choice += *at;
          continue;
        }
        list.push_back(choice);
        choice.clear();
        if (*at == '\0') break;
      }
    }
    return list;
  }();
  return all;
}

// Bytes below 128 stand for themselves, others for words. What opens is called too, and opens again by its
// own name.
void fuzz_text(Input input) {
  const size_t length = input.take<uint8_t>() % 24;
  std::string text;
  for (size_t i = 0; i < length; i++) {
    const uint8_t byte = input.take<uint8_t>();
    text += byte < 128 ? std::string(1, static_cast<char>(byte)) : words()[(byte - 128u) % words().size()];
  }
  const Codec *codec, *again;
  const Status status = codec_open(text, &codec);
  if (!status) {
    if (!status.message().empty()) return;
    std::fprintf(stderr, "a refusal says nothing\n");
    std::abort();
  }
  if (!codec_open(codec->spec, &again) || again != codec) std::abort();
  fuzz_call(input, codec);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  Input input(data, size);
  const size_t which = input.take<uint8_t>();
  const auto& cases = codec_cases();
  if (which % 8 == 7) {
    fuzz_text(input);
  } else {
    fuzz_call(input, codec_find(cases[(which / 8 * 7 + which % 8) % cases.size()]));
  }
  return 0;
}
