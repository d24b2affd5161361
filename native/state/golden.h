// The golden case of the digest: a fixed stream of bytes whose digest must be the same on every machine.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>

#include "base/status.h"
#include "device/device.h"

namespace gradmesh {

inline constexpr uint64_t kGoldenStateBytesMax = uint64_t{1} << 28;

// name is "blake3", which hashes `elements` bytes, byte i being (seed + i) mod 251, in three buffers: the
// input of BLAKE3's own test vectors where the seed is 0. 64 hex characters. GM_INVALID_ARGUMENT names what
// is wrong.
Status golden_state(std::string_view name, uint64_t elements, uint64_t seed, std::string* digest);
// The same on a device, in one buffer.
Status golden_state(std::string_view name, uint64_t elements, uint64_t seed,
                    const device::SharedDevice& device, std::string* digest);

}  // namespace gradmesh
