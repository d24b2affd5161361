// The golden case of a codec: a fixed computation whose digest must be the same on every machine.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>

#include "base/status.h"
#include "device/device.h"

namespace gradmesh {

inline constexpr uint64_t kGoldenElementsMax = uint64_t{1} << 24;

// Makes three inputs of so many elements from the seed, special values included where the seed is odd
// (golden.cpp says how), codes each, decodes the first, codes its sum with the second input as a ring's hop
// does, adds it to the second input, codes the mean of all, and gives the SHA-256 of all these bytes in this
// order, as 64 hex characters. Runs on the active backend. GM_INVALID_ARGUMENT names what is wrong.
Status golden_codec(std::string_view spec, uint64_t elements, uint64_t seed, std::string* digest);
// The same on a device. GM_UNSUPPORTED where it has no twin of the codec.
Status golden_codec(std::string_view spec, uint64_t elements, uint64_t seed,
                    const device::SharedDevice& device, std::string* digest);

}  // namespace gradmesh
