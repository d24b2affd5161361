// Golden cases of codecs. The inputs are part of the vectors' meaning: changing one changes every digest.
#include "codec/golden.h"

#include <vector>

#include "base/crypto.h"
#include "base/prng.h"
#include "codec/codec.h"
#include "codec/device_coder.h"
#include "numeric/backend.h"
#include "numeric/exact.h"

namespace gradmesh {
namespace {

constexpr uint32_t kContributions = 3;
constexpr uint64_t kStep = 7, kBlocksBefore = 16;

// An odd seed gives values of every kind, special ones included. Every 256 elements are of one kind, so that
// one extreme value does not hide the rest of a codec's block.
float odd_element(uint64_t seed, uint64_t stream, uint64_t i) {
  static constexpr uint32_t kSpecial[] = {0x00000000, 0x80000000, 0x00000001, 0x807fffff,
                                          0x00800000, 0x3effffff, 0x3f000000, 0x42fe0000,
                                          0x42ff0000, 0xc2fe0001, 0x7f7fffff, 0x3f800000};
  static constexpr uint32_t kNotFinite[] = {0x7f800000, 0xff800000, 0x7fc00000, 0xff812345, 0x7f800001};
  const uint32_t draw = prng::bits(seed, stream, i);
  switch (i / 256 % 8) {
    case 0:
    case 1:
      return prng::normal(seed, stream, i, 0.02f);
    case 2:  // halves: ties of rounding
      return exact::mul(static_cast<float>(static_cast<int32_t>(draw % 509) - 254), 0.5f);
    case 3:  // denormals and the smallest normals
      return exact::from_bits(draw & 0x80ffffffu);
    case 4:  // a wide range of finite magnitudes
      return exact::from_bits(draw & 0xbfffffffu);
    case 5:
      return exact::from_bits(kSpecial[draw % 12]);
    case 6:
      return exact::from_bits(draw >> 8 & 31u ? kSpecial[draw % 12] : kNotFinite[draw % 5]);
    default:
      return exact::from_bits(draw & 0x80000000u);  // +0 and -0
  }
}

// An even seed gives what tensors hold, so that a codec of large blocks shows more than what it makes of a
// NaN: normal values of two magnitudes, and runs of zeros.
float even_element(uint64_t seed, uint64_t stream, uint64_t i) {
  if (i / 256 % 8 == 7) return exact::from_bits(prng::bits(seed, stream, i) & 0x80000000u);
  return prng::normal(seed, stream, i, i / 1024 % 2 == 0 ? 0.02f : 1.5f);
}

float golden_element(uint64_t seed, uint64_t stream, uint64_t i) {
  return seed % 2 == 1 ? odd_element(seed, stream, i) : even_element(seed, stream, i);
}

crypto::Bytes bytes_of(const std::vector<float>& floats) {
  return {reinterpret_cast<const uint8_t*>(floats.data()), floats.size() * sizeof(float)};
}

// The active backend in DeviceCoder's words.
struct HostCoder {
  const Codec& codec;
  const CodecLoops& loops = codec_loops(codec);
  Status encode(const CodecKey& key, const float* source, size_t elements, uint8_t* wire) const {
    loops.encode(codec.options, key, source, elements, wire);
    return Status::ok();
  }
  Status decode(const CodecKey& key, const uint8_t* wire, size_t elements, float* target) const {
    loops.decode(codec.options, key, wire, elements, target);
    return Status::ok();
  }
  Status decode_add(const CodecKey& key, const uint8_t* wire, size_t elements, float* target) const {
    loops.decode_add(codec.options, key, wire, elements, target);
    return Status::ok();
  }
  Status decode_add_encode(const CodecKey& from, const CodecKey& to, const uint8_t* wire, const float* source,
                           size_t elements, uint8_t* result) const {
    loops.decode_add_encode(codec.options, from, to, wire, source, elements, result);
    return Status::ok();
  }
  Status mean(const CodecKey& key, const uint8_t* const* wires, uint32_t ranks, size_t elements,
              uint8_t* wire) const {
    loops.mean(codec.options, key, wires, ranks, elements, wire);
    return Status::ok();
  }
};

Status open(std::string_view spec, uint64_t elements, const Codec** codec) {
  GM_TRY(codec_open(spec, codec));
  if (elements <= kGoldenElementsMax) return backend::check_float_mode();
  return {GM_INVALID_ARGUMENT, "elements is " + std::to_string(elements) + "; a golden case has at most " +
                                   std::to_string(kGoldenElementsMax)};
}

template <class Coder>
Status run(const Codec& codec, Coder&& coder, uint64_t elements, uint64_t seed, std::string* digest) {
  crypto::Sha256 hash;
  GM_TRY(crypto::Sha256::create(&hash));
  const uint64_t first = kBlocksBefore * codec.traits.block_elements;
  const auto key = [&](uint32_t rank) { return CodecKey{seed, kStep, first, rank}; };
  std::vector<float> inputs[kContributions];
  std::vector<uint8_t> wires[kContributions];
  const uint8_t* pointers[kContributions];
  for (uint32_t rank = 0; rank < kContributions; rank++) {
    inputs[rank].resize(elements);
    for (uint64_t i = 0; i < elements; i++) inputs[rank][i] = golden_element(seed, rank, i);
    wires[rank].resize(codec.bytes(elements));
    GM_TRY(coder.encode(key(rank), inputs[rank].data(), elements, wires[rank].data()));
    pointers[rank] = wires[rank].data();
    GM_TRY(hash.update(wires[rank]));
  }
  std::vector<float> decoded(elements);
  GM_TRY(coder.decode(key(0), pointers[0], elements, decoded.data()));
  GM_TRY(hash.update(bytes_of(decoded)));
  std::vector<uint8_t> hop(codec.bytes(elements)), mean(codec.bytes(elements));
  GM_TRY(coder.decode_add_encode(key(0), key(1), pointers[0], inputs[1].data(), elements, hop.data()));
  GM_TRY(hash.update(hop));
  GM_TRY(coder.decode_add(key(0), pointers[0], elements, inputs[1].data()));
  GM_TRY(hash.update(bytes_of(inputs[1])));
  GM_TRY(coder.mean(key(kMeanRank), pointers, kContributions, elements, mean.data()));
  GM_TRY(hash.update(mean));
  crypto::Digest result;
  GM_TRY(hash.finish(&result));
  *digest = crypto::hex(result);
  return Status::ok();
}

}  // namespace

Status golden_codec(std::string_view spec, uint64_t elements, uint64_t seed, std::string* digest) {
  const Codec* codec;
  GM_TRY(open(spec, elements, &codec));
  return run(*codec, HostCoder{*codec}, elements, seed, digest);
}

Status golden_codec(std::string_view spec, uint64_t elements, uint64_t seed,
                    const device::SharedDevice& device, std::string* digest) {
  const Codec* codec;
  DeviceCoder coder;
  GM_TRY(open(spec, elements, &codec));
  GM_TRY(DeviceCoder::create(device, *codec, &coder));
  return run(*codec, coder, elements, seed, digest);
}

}  // namespace gradmesh
