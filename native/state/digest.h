// The content hash of state, and the check that state is finite.
#pragma once
#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "base/thread_pool.h"
#include "state/stream.h"

namespace gradmesh {

using StateDigest = std::array<uint8_t, 32>;

// BLAKE3 (32 bytes, unkeyed) of the concatenation of `buffers`, however it is cut into them; nothing is
// concatenated. Its tree is fixed by the length alone, so pool (null: none; nobody else runs on it meanwhile)
// shares the work and changes no bit.
StateDigest state_digest(std::span<const Bytes> buffers, ThreadPool* pool);

// Whether no element is NaN or infinite, by integer tests of the exponent bits: no float mode has a say.
bool all_finite(std::span<const float> source);

}  // namespace gradmesh
