// A random set of indices that every machine draws alike.
#pragma once
#include <cstddef>
#include <cstdint>

namespace gradmesh {

inline constexpr uint64_t kSampleElementsMax = uint64_t{1} << 31;  // indices are int32

// target[count] = distinct indices below `elements`, ascending; every set of so many is equally likely.
// Floyd's algorithm (Bentley and Floyd 1987, "A sample of brilliance"): for j = elements - count .. elements
// - 1 draw t in [0, j], and take t, or j where t is taken already. The draws are exact: words of the stream,
// from element 0 on, times j + 1, of whose product the upper 32 bits are t; a word is passed over where the
// lower ones are below 2^32 mod (j + 1) (Lemire 2019, "Fast random integer generation in an interval"). Needs
// elements / 8 bytes of memory. Precondition: count <= elements <= kSampleElementsMax.
void sample_indices(uint64_t seed, uint64_t stream, uint64_t elements, int32_t* target, size_t count);

}  // namespace gradmesh
