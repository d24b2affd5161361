// The golden case of an operator: a fixed computation whose digest must be the same on every machine.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>

#include "base/status.h"
#include "device/device.h"

namespace gradmesh {

inline constexpr uint64_t kGoldenOpElementsMax = uint64_t{1} << 22;

// Runs the operator once, on one thread of the active backend, with shapes that grow with `elements` (from 1
// on) and inputs drawn from the seed (golden.cpp says how). The digest is the SHA-256 of the outputs' bytes
// in order, as 64 hex characters. GM_INVALID_ARGUMENT names what is wrong.
Status golden_op(std::string_view name, uint64_t elements, uint64_t seed, std::string* digest);
// The same on a device.
Status golden_op(std::string_view name, uint64_t elements, uint64_t seed, const device::SharedDevice& device,
                 std::string* digest);

}  // namespace gradmesh
