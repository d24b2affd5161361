// Golden cases of codecs. The inputs are part of the vectors' meaning: changing one changes every digest.
#include "codec/golden.h"

#include <vector>

#include "base/crypto.h"
#include "base/prng.h"
#include "codec/codec.h"
#include "numeric/backend.h"
#include "numeric/exact.h"

namespace gradmesh {
namespace {

constexpr uint32_t kContributions = 3;

// Every 256 elements are of one kind, so that one extreme value does not hide the rest of a codec's block.
float golden_element(uint64_t seed, uint64_t stream, uint64_t i) {
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

crypto::Bytes bytes_of(const std::vector<float>& floats) {
  return {reinterpret_cast<const uint8_t*>(floats.data()), floats.size() * sizeof(float)};
}

}  // namespace

Status golden_codec(std::string_view name, uint64_t elements, uint64_t seed, std::string* digest) {
  const Codec* codec = codec_find(name);
  if (codec == nullptr)
    return {GM_INVALID_ARGUMENT, "name is \"" + std::string(name) + "\", which is no codec"};
  if (elements > kGoldenElementsMax)
    return {GM_INVALID_ARGUMENT, "elements is " + std::to_string(elements) + "; a golden case has at most " +
                                     std::to_string(kGoldenElementsMax)};
  GM_TRY(backend::check_float_mode());
  const CodecLoops& loops = codec_loops(*codec);
  crypto::Sha256 hash;
  GM_TRY(crypto::Sha256::create(&hash));

  std::vector<float> inputs[kContributions];
  std::vector<uint8_t> wires[kContributions], mean(codec->bytes(elements));
  const uint8_t* pointers[kContributions];
  for (uint32_t rank = 0; rank < kContributions; rank++) {
    inputs[rank].resize(elements);
    for (uint64_t i = 0; i < elements; i++) inputs[rank][i] = golden_element(seed, rank, i);
    wires[rank].resize(codec->bytes(elements));
    loops.encode(inputs[rank].data(), elements, wires[rank].data());
    pointers[rank] = wires[rank].data();
    GM_TRY(hash.update(wires[rank]));
  }
  std::vector<float> decoded(elements);
  loops.decode(pointers[0], elements, decoded.data());
  GM_TRY(hash.update(bytes_of(decoded)));
  loops.decode_add(pointers[0], elements, inputs[1].data());
  GM_TRY(hash.update(bytes_of(inputs[1])));
  loops.mean(pointers, kContributions, elements, mean.data());
  GM_TRY(hash.update(mean));
  crypto::Digest result;
  GM_TRY(hash.finish(&result));
  *digest = crypto::hex(result);
  return Status::ok();
}

}  // namespace gradmesh
