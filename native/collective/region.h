// How many bytes a region is: what a send or recv of it carries.
#pragma once
#include "collective/schedule.h"

namespace gradmesh {

inline uint64_t region_bytes(const Codec& codec, Dtype dtype, const Region& region) {
  switch (region.space) {
    case Space::staging:
      return codec.bytes(region.elements);
    case Space::floats:
      return region.elements * sizeof(float);
    default:
      return region.elements * dtype_bytes(dtype);
  }
}

// Where it lies in its memory: in elements of input and output, in bytes of staging and floats, which are one
// memory.
inline Range region_extent(const Codec& codec, const Region& region) {
  if (region.space == Space::input || region.space == Space::output) return {region.offset, region.elements};
  return {region.offset,
          region.space == Space::floats ? region.elements * sizeof(float) : codec.bytes(region.elements)};
}

}  // namespace gradmesh
