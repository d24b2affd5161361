// The C ABI of codecs: wire sizes, encode, decode, mean.
#include "codec/codec.h"

#include <vector>

#include "abi/abi.h"
#include "numeric/backend.h"

using namespace gradmesh;

namespace {

// Bounds that keep sizes far from overflow, and int8_block's fast path inside its proof.
constexpr uint64_t kElementsMax = uint64_t{1} << 48;
constexpr uint64_t kContributionsMax = 65536;

Status find(uint32_t id, const Codec** codec) {
  *codec = codec_find(id);
  if (*codec != nullptr) return Status::ok();
  return {GM_INVALID_ARGUMENT,
          "codec is " + std::to_string(id) + "; the ids are 0 to " + std::to_string(kCodecs - 1)};
}

Status check_elements(uint64_t elements) {
  if (elements <= kElementsMax) return Status::ok();
  return {GM_INVALID_ARGUMENT, "elements is " + std::to_string(elements) + "; at most " +
                                   std::to_string(kElementsMax) + " are allowed"};
}

Status check_wire(const Codec& codec, const std::string& field, size_t length, uint64_t elements) {
  const uint64_t expected = codec.bytes(elements);
  if (length == expected) return Status::ok();
  return {GM_INVALID_ARGUMENT, field + " has " + std::to_string(length) + " bytes; " +
                                   std::to_string(elements) + " elements of codec " + codec.name +
                                   " take exactly " + std::to_string(expected)};
}

Status check_apart(const std::string& field, const void* target, size_t target_bytes, const void* source,
                   size_t source_bytes) {
  const auto a = reinterpret_cast<uintptr_t>(target), b = reinterpret_cast<uintptr_t>(source);
  if (target_bytes == 0 || source_bytes == 0 || a + target_bytes <= b || b + source_bytes <= a)
    return Status::ok();
  return {GM_INVALID_ARGUMENT, field + " overlaps the memory that is read; give memory of its own"};
}

// What encode and decode check alike.
Status prepare(uint32_t id, gm_f32s elements, gm_bytes wire, const Codec** codec) {
  GM_TRY(find(id, codec));
  GM_TRY(abi::check_given({{"source or target", elements}, {"wire", wire}}));
  GM_TRY(check_elements(elements.length));
  GM_TRY(check_wire(**codec, "wire", wire.length, elements.length));
  GM_TRY(check_apart("the target", wire.data, wire.length, elements.data, elements.length * sizeof(float)));
  return backend::check_float_mode();
}

}  // namespace

extern "C" {

int32_t gm_codec_bytes(uint32_t codec, uint64_t elements, uint64_t* result) {
  return abi::guard([&]() -> Status {
    const Codec* found;
    GM_TRY(find(codec, &found));
    GM_TRY(check_elements(elements));
    GM_TRY(abi::check_given({{"result", result}}));
    *result = found->bytes(elements);
    return Status::ok();
  });
}

int32_t gm_codec_encode(uint32_t codec, gm_f32s source, gm_bytes wire) {
  return abi::guard([&]() -> Status {
    const Codec* found;
    GM_TRY(prepare(codec, source, wire, &found));
    codec_loops(*found).encode(source.data, source.length, wire.data);
    return Status::ok();
  });
}

int32_t gm_codec_decode(uint32_t codec, gm_bytes wire, gm_f32s target) {
  return abi::guard([&]() -> Status {
    const Codec* found;
    GM_TRY(prepare(codec, target, wire, &found));
    codec_loops(*found).decode(wire.data, target.length, target.data);
    return Status::ok();
  });
}

int32_t gm_codec_mean(uint32_t codec, gm_buffers wires, uint64_t elements, gm_bytes wire) {
  return abi::guard([&]() -> Status {
    const Codec* found;
    GM_TRY(find(codec, &found));
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
      GM_TRY(check_apart("wire", wire.data, wire.length, each.data, each.length));
      pointers.push_back(each.data);
    }
    GM_TRY(backend::check_float_mode());
    codec_loops(*found).mean(pointers.data(), static_cast<uint32_t>(wires.length), elements, wire.data);
    return Status::ok();
  });
}

}  // extern "C"
