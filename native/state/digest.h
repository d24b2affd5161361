// The content hash of state, and the check that state is finite.
#pragma once
#include <span>

#include "base/crypto.h"
#include "base/status.h"

namespace gradmesh {

// The tree hash of the concatenation of `buffers`: the stream is cut into leaves of 1 MiB (the last may be
// shorter; an empty stream has none), however it is cut into buffers.
//   leaf = SHA256(0x00 || index as u64 little-endian || the leaf's bytes)
//   root = SHA256(0x01 || the stream's length as u64 little-endian || all leaves in order)
// The first byte keeps a leaf from passing as a root (RFC 6962, section 2.1), the index a leaf from moving.
// So leaves can be hashed in parallel, and one leaf can be disputed without the rest. GM_UNSUPPORTED without
// libcrypto.
inline constexpr size_t kDigestLeafBytes = size_t{1} << 20;
Status tree_digest(std::span<const crypto::Bytes> buffers, crypto::Digest* digest);

// Whether no element is NaN or infinite, by integer tests of the exponent bits: no float mode has a say.
bool all_finite(std::span<const float> source);

}  // namespace gradmesh
