// The digest of a GPU's memory, by its own kernels, with the CPU's bytes. Golden cases (doctor, the entry
// check) compare the two; a run's states lie in host memory, so it hashes there.
#pragma once
#include "base/status.h"
#include "device/device.h"
#include "state/digest.h"

namespace gradmesh {

// BLAKE3 of source[bytes], in the memory of the stream's device at a multiple of 16, as state_digest() gives
// it of the same bytes; waits for the stream. GM_OUT_OF_MEMORY when the GPU cannot hold a value for each 128
// kB.
Status device_digest(const device::Stream& stream, const uint8_t* source, size_t bytes, StateDigest* digest);

}  // namespace gradmesh
