// One block of a codec whose scale is a power of two (mx.h, e3m0.h), as packed.h takes it. The loops over the
// definition are for every instruction set; AVX-512 has instructions for whole groups of 32. Only files of
// isa/ include this.
#pragma once
#include "codec/isa/exact_loops.h"
#include "codec/isa/wide_codes.h"

namespace gradmesh::GM_ISA {
namespace {

template <class Codec_>
struct Pow2Kernel {
  using Codec = Codec_;
  static constexpr size_t kScaleBytes = 1;
  static constexpr size_t kAhead = 256;  // elements whose scales are found before their codes

  HD void encode_elements(const float* __restrict source, size_t count, float inverse,
                          uint8_t* __restrict codes) {
    if (Codec::kBits == 8) {
      for (size_t i = 0; i < count; i++) codes[i] = static_cast<uint8_t>(Codec::encode(source[i], inverse));
      return;
    }
    alignas(64) uint8_t q[kTile + 1];
    for (size_t i = 0; i < count; i++) q[i] = static_cast<uint8_t>(Codec::encode(source[i], inverse));
    pack_nibbles(q, count, codes);
  }
  HD void decode_elements(const uint8_t* __restrict codes, size_t count, float scale,
                          float* __restrict target) {
    for (size_t i = 0; i < count; i++) target[i] = Codec::decode(code_at<Codec>(codes, i), scale);
  }

  HD void encode(const float* source, size_t count, uint8_t* codes, uint8_t* scale) {
    if (Wide32<Codec>::kHas && count % 32 == 0) return encode_groups(source, count, codes, scale);
    const uint32_t byte = Codec::scale_byte(largest_magnitude(source, count));
    *scale = static_cast<uint8_t>(byte);
    if (byte == codecs::kNanByte) {
      memset(codes, 0, Codec::code_bytes(count));
      return;
    }
    encode_elements(source, count, codecs::inverse_scale_of(byte), codes);
  }
  HD void decode(const uint8_t* codes, const uint8_t* scale, size_t count, float* target) {
    const uint32_t byte = *scale;
    if (byte == codecs::kNanByte) return fill(target, count, exact::kNan);
    if (Wide32<Codec>::kHas && count % 32 == 0 && byte <= Wide32<Codec>::kMostByte)
      return decode_groups(codes, byte, count, target);
    decode_elements(codes, count, codecs::scale_of(byte), target);
  }

  HD void encode_groups(const float* source, size_t count, uint8_t* codes, uint8_t* scale) {
    *scale = static_cast<uint8_t>(Codec::scale_byte(wide_largest(source, count)));
    encode_scaled(source, count, *scale, codes);
  }
  HD void encode_scaled(const float* source, size_t count, uint32_t byte, uint8_t* codes) {
    if (byte == codecs::kNanByte) {
      memset(codes, 0, Codec::code_bytes(count));
      return;
    }
    const float inverse = codecs::inverse_scale_of(byte);
    for (size_t i = 0; i < count; i += 32)
      Wide32<Codec>::encode(source + i, inverse, codes + i * Codec::kBits / 8);
  }
  // Whole blocks, some at a time in two passes: what finds a scale takes long from its first step to its
  // last, and the codes would wait for it. So few that loads of the next ones begin before the codes of these
  // are done. The definition has no use for that.
  HD size_t encode_ahead(size_t block, const float* source, size_t count, uint8_t* codes, uint8_t* scales) {
    if (!Wide32<Codec>::kHas) return 0;
    const size_t blocks = count / block, ahead = block < kAhead ? kAhead / block : 1;
    for (size_t first = 0; first < blocks; first += ahead) {
      const size_t end = blocks - first < ahead ? blocks : first + ahead;
      for (size_t i = first; i < end; i++)
        scales[i] = static_cast<uint8_t>(Codec::scale_byte(wide_largest(source + i * block, block)));
      for (size_t i = first; i < end; i++)
        encode_scaled(source + i * block, block, scales[i], codes + i * block * Codec::kBits / 8);
    }
    return blocks * block;
  }
  HD void decode_groups(const uint8_t* codes, uint32_t byte, size_t count, float* target) {
    for (size_t i = 0; i < count; i += 32)
      Wide32<Codec>::decode(codes + i * Codec::kBits / 8, byte, target + i);
  }
};

}  // namespace
}  // namespace gradmesh::GM_ISA
