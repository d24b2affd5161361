// The digest of device memory, as the plugin's table and the tests of its kernels call it.
#pragma once
#include <cstddef>
#include <cstdint>

#include "launch.h"

namespace gradmesh::cuda {

// What digest() needs beside the bytes, aligned to 16.
size_t digest_scratch_bytes(size_t bytes);

// BLAKE3 of source[bytes], which begins at a multiple of 16, -> digest[32]: all in device memory, as is
// scratch.
cudaError_t digest(const uint8_t* source, size_t bytes, void* scratch, uint8_t* digest, cudaStream_t stream);

}  // namespace gradmesh::cuda
