// CRC-32C (Castagnoli polynomial, RFC 3720 section 12.1), by the CPU's instruction where it has one.
#pragma once
#include <cstddef>
#include <cstdint>

namespace gradmesh {

// Goes on from `crc`, 0 at the start; crc32c(crc32c(0, a), b) is that of a followed by b.
uint32_t crc32c(uint32_t crc, const void* bytes, size_t size);
// The same by table, for CPUs without the instruction; tests compare the two.
uint32_t crc32c_portable(uint32_t crc, const void* bytes, size_t size);

}  // namespace gradmesh
