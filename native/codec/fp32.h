// The fp32 codec: the bits of each float32, little-endian, also those of a NaN.
#pragma once
#include <cstddef>
#include <cstdint>

#include "codec/options.h"
#include "numeric/exact.h"

namespace gradmesh::codecs {

struct fp32 {
  static CodecTraits traits(const CodecOptions&) {
    CodecTraits traits;
    traits.identity = traits.linear = traits.unbiased = traits.contractive = true;
    return traits;
  }
  static const char* problem(const CodecOptions&) { return nullptr; }
  HD size_t bytes(const CodecOptions&, size_t elements) { return elements * sizeof(Wire); }

  using Wire = uint32_t;
  // Both on bits: a float register could quiet a NaN.
  HD Wire encode(uint32_t bits) { return bits; }
  HD uint32_t decode(Wire wire) { return wire; }
};

}  // namespace gradmesh::codecs
