// CRC-32C (Castagnoli polynomial, RFC 3720 section 12.1), by the fastest of the CPU's instructions for it.
#pragma once
#include <cstddef>
#include <cstdint>

namespace gradmesh {

// Goes on from `crc`, 0 at the start; crc32c(crc32c(0, a), b) is that of a followed by b.
uint32_t crc32c(uint32_t crc, const void* bytes, size_t size);

// The ways to it, from the one that every CPU has to the fastest.
enum class Crc32c : uint8_t { table, instruction, folding, wide_folding };
// The same by `most`, or what below it the CPU has; tests compare them.
uint32_t crc32c_by(Crc32c most, uint32_t crc, const void* bytes, size_t size);

}  // namespace gradmesh
