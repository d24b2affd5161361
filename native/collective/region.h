// How many bytes a region is: what a send or recv of it carries.
#pragma once
#include "collective/schedule.h"

namespace gradmesh {

// The codecs of a schedule's wires; they live as long as the process.
struct Wires {
  const Codec *up, *down;
  const Codec& of(Space space) const { return space == Space::down ? *down : *up; }
};
inline Wires wires_of(const ScheduleRequest& request) { return {request.codec, &request.down_codec()}; }

inline uint64_t region_bytes(const Wires& wires, Dtype dtype, const Region& region) {
  switch (region.space) {
    case Space::staging:
    case Space::down:
      return wires.of(region.space).bytes(region.elements);
    case Space::floats:
    case Space::state:
    case Space::next:
      return region.elements * sizeof(float);
    default:
      return region.elements * dtype_bytes(dtype);
  }
}

// Where it lies in its memory: in bytes of scratch, which is one memory, else in elements.
inline Range region_extent(const Wires& wires, const Region& region) {
  if (!is_scratch(region.space)) return {region.offset, region.elements};
  return {region.offset, region_bytes(wires, Dtype::fp32, region)};
}

}  // namespace gradmesh
