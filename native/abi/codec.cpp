// The C ABI of codecs: wire sizes, encode, decode, mean.
#include "codec/codec.h"

#include <cstdio>
#include <vector>

#include "abi/codecs.h"
#include "numeric/backend.h"

using namespace gradmesh;

namespace {

// Bounds that keep sizes far from overflow, and int8_block's fast path inside its proof.
constexpr uint64_t kElementsMax = uint64_t{1} << 48;
constexpr uint64_t kContributionsMax = 65536;

Status check_elements(uint64_t elements) {
  if (elements <= kElementsMax) return Status::ok();
  return {GM_INVALID_ARGUMENT, "elements is " + std::to_string(elements) + "; at most " +
                                   std::to_string(kElementsMax) + " are allowed"};
}

Status check_wire(const Codec& codec, const std::string& field, size_t length, uint64_t elements) {
  const uint64_t expected = codec.bytes(elements);
  if (length == expected) return Status::ok();
  return {GM_INVALID_ARGUMENT, field + " has " + std::to_string(length) + " bytes; " +
                                   std::to_string(elements) + " elements of codec " + codec.spec +
                                   " take exactly " + std::to_string(expected)};
}

const char* yes_no(bool value) { return value ? "true" : "false"; }

std::string describe(const Codec& codec) {
  char fingerprint[17];
  std::snprintf(fingerprint, sizeof fingerprint, "%016llx",
                static_cast<unsigned long long>(codec.fingerprint));
  const CodecTraits& traits = codec.traits;
  std::string json = "{\"id\":" + std::to_string(codec.id) + ",\"spec\":\"" + codec.spec + "\",\"name\":\"" +
                     codec.name + "\",\"fingerprint\":\"" + fingerprint +
                     "\",\"blockElements\":" + std::to_string(traits.block_elements);
  json += std::string(",\"identity\":") + yes_no(traits.identity) + ",\"linear\":" + yes_no(traits.linear);
  json += std::string(",\"unbiased\":") + yes_no(traits.unbiased);
  json += std::string(",\"contractive\":") + yes_no(traits.contractive);
  return json + ",\"exactSum\":" + yes_no(traits.exact_sum) + "}";
}

}  // namespace

namespace gradmesh::abi {

Status find_codec(uint32_t id, const Codec** codec) {
  *codec = codec_find(id);
  if (*codec != nullptr) return Status::ok();
  return {GM_INVALID_ARGUMENT, "codec is " + std::to_string(id) + ", which codec_open has not given"};
}

Status check_apart(const std::string& field, const void* target, size_t target_bytes, const void* source,
                   size_t source_bytes) {
  const auto a = reinterpret_cast<uintptr_t>(target), b = reinterpret_cast<uintptr_t>(source);
  if (target_bytes == 0 || source_bytes == 0 || a + target_bytes <= b || b + source_bytes <= a)
    return Status::ok();
  return {GM_INVALID_ARGUMENT, field + " overlaps the memory that is read; give memory of its own"};
}

Status make_key(const Codec& codec, uint64_t seed, uint64_t step, uint32_t rank, uint64_t first,
                CodecKey* key) {
  if (step > kStepMax)
    return {GM_INVALID_ARGUMENT,
            "step is " + std::to_string(step) + "; allowed: up to " + std::to_string(kStepMax)};
  if (rank > kMeanRank)
    return {GM_INVALID_ARGUMENT, "rank is " + std::to_string(rank) + "; allowed: up to " +
                                     std::to_string(kMeanRank) + ", the mean's"};
  const uint32_t block = codec.traits.block_elements;
  GM_TRY(check_elements(first));
  if (first % block != 0)
    return {GM_INVALID_ARGUMENT, "first is " + std::to_string(first) + "; codec " + codec.spec +
                                     " takes multiples of its block, " + std::to_string(block)};
  *key = {seed, step, first, rank};
  return Status::ok();
}

Status prepare_coding(uint32_t id, gm_f32s elements, gm_bytes wire, const Codec** codec) {
  GM_TRY(find_codec(id, codec));
  GM_TRY(check_given({{"source or target", elements}, {"wire", wire}}));
  GM_TRY(check_elements(elements.length));
  GM_TRY(check_wire(**codec, "wire", wire.length, elements.length));
  GM_TRY(check_apart("the target", wire.data, wire.length, elements.data, elements.length * sizeof(float)));
  return backend::check_float_mode();
}

}  // namespace gradmesh::abi

extern "C" {

int32_t gm_codec_open(gm_text spec, uint32_t* result) {
  return abi::guard([&]() -> Status {
    GM_TRY(abi::check_given({{"spec", spec}, {"result", result}}));
    const Codec* codec;
    GM_TRY(codec_open(abi::view(spec), &codec));
    *result = codec->id;
    return Status::ok();
  });
}

int32_t gm_codec_describe(uint32_t codec, gm_text_out* result) {
  return abi::guard([&]() -> Status {
    const Codec* found;
    GM_TRY(abi::find_codec(codec, &found));
    GM_TRY(abi::check_given({{"result", result}}));
    return abi::copy_text(describe(*found), result);
  });
}

int32_t gm_codec_bytes(uint32_t codec, uint64_t elements, uint64_t* result) {
  return abi::guard([&]() -> Status {
    const Codec* found;
    GM_TRY(abi::find_codec(codec, &found));
    GM_TRY(check_elements(elements));
    GM_TRY(abi::check_given({{"result", result}}));
    *result = found->bytes(elements);
    return Status::ok();
  });
}

int32_t gm_codec_parts(uint32_t codec, uint64_t elements, gm_text_out* result) {
  return abi::guard([&]() -> Status {
    const Codec* found;
    GM_TRY(abi::find_codec(codec, &found));
    GM_TRY(check_elements(elements));
    GM_TRY(abi::check_given({{"result", result}}));
    const CodecParts parts = found->parts(elements);
    return abi::copy_text("{\"payload\":" + std::to_string(parts.payload) +
                              ",\"scales\":" + std::to_string(parts.scales) +
                              ",\"indices\":" + std::to_string(parts.indices) + "}",
                          result);
  });
}

int32_t gm_codec_encode(uint32_t codec, uint64_t seed, uint64_t step, uint32_t rank, uint64_t first,
                        gm_f32s source, gm_bytes wire) {
  return abi::guard([&]() -> Status {
    const Codec* found;
    CodecKey key;
    GM_TRY(abi::prepare_coding(codec, source, wire, &found));
    GM_TRY(abi::make_key(*found, seed, step, rank, first, &key));
    codec_loops(*found).encode(found->options, key, source.data, source.length, wire.data);
    return Status::ok();
  });
}

int32_t gm_codec_decode(uint32_t codec, uint64_t seed, uint64_t step, uint32_t rank, uint64_t first,
                        gm_bytes wire, gm_f32s target) {
  return abi::guard([&]() -> Status {
    const Codec* found;
    CodecKey key;
    GM_TRY(abi::prepare_coding(codec, target, wire, &found));
    GM_TRY(abi::make_key(*found, seed, step, rank, first, &key));
    codec_loops(*found).decode(found->options, key, wire.data, target.length, target.data);
    return Status::ok();
  });
}

int32_t gm_codec_mean(uint32_t codec, uint64_t seed, uint64_t step, uint64_t first, gm_buffers wires,
                      uint64_t elements, gm_bytes wire) {
  return abi::guard([&]() -> Status {
    const Codec* found;
    GM_TRY(abi::find_codec(codec, &found));
    CodecKey key;
    GM_TRY(abi::make_key(*found, seed, step, kMeanRank, first, &key));
    GM_TRY(check_elements(elements));
    if (wires.length < 1 || wires.length > kContributionsMax)
      return {GM_INVALID_ARGUMENT, "wires holds " + std::to_string(wires.length) +
                                       " contributions; allowed are 1 to " +
                                       std::to_string(kContributionsMax)};
    GM_TRY(abi::check_given({{"wire", wire}}));
    GM_TRY(abi::check_buffers("wires", wires));
    GM_TRY(check_wire(*found, "wire", wire.length, elements));
    std::vector<const uint8_t*> pointers;
    for (size_t i = 0; i < wires.length; i++) {
      const gm_bytes& each = wires.items[i];
      GM_TRY(check_wire(*found, "wires[" + std::to_string(i) + "]", each.length, elements));
      GM_TRY(abi::check_apart("wire", wire.data, wire.length, each.data, each.length));
      pointers.push_back(each.data);
    }
    GM_TRY(backend::check_float_mode());
    codec_loops(*found).mean(found->options, key, pointers.data(), static_cast<uint32_t>(wires.length),
                             elements, wire.data);
    return Status::ok();
  });
}

}  // extern "C"
