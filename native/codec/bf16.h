// The bf16 codec: each element rounded to the nearest bfloat16, ties to even. Denormals are kept, Inf stays
// Inf, NaN stays NaN (quiet), and finite values from 2^128 - 2^119 on become Inf. The worst error is 2^-9 of
// a normal value.
#pragma once
#include <cstddef>
#include <cstdint>

#include "codec/options.h"
#include "numeric/half.h"

namespace gradmesh::codecs {

struct bf16 {
  static CodecTraits traits(const CodecOptions&) {
    CodecTraits traits;
    traits.block_elements = 8;  // so that chunks of a tensor on a device begin at multiples of 16 bytes
    traits.contractive = true;
    return traits;
  }
  static const char* problem(const CodecOptions&) { return nullptr; }
  HD size_t bytes(const CodecOptions&, size_t elements) { return elements * sizeof(Wire); }

  using Wire = uint16_t;
  HD Wire encode(uint32_t bits) { return half::to_bf16_bits(bits); }
  HD uint32_t decode(Wire wire) { return half::bf16_bits(wire); }
};

}  // namespace gradmesh::codecs
