// The fp32 codec: the bits of each float32, little-endian, also those of a NaN.
#pragma once
#include <cstdint>

#include "numeric/exact.h"

namespace gradmesh::codecs {

struct fp32 {
  static constexpr bool kElementwise = true;
  using Wire = uint32_t;
  // Both on bits: a float register could quiet a NaN.
  HD Wire encode(uint32_t bits) { return bits; }
  HD uint32_t decode(Wire wire) { return wire; }
};

}  // namespace gradmesh::codecs
