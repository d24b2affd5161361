// Blocks whose size is a power of two: a check of the option, and divisions as shifts.
#pragma once
#include <cstddef>
#include <cstdint>

#include "codec/options.h"
#include "numeric/exact.h"

namespace gradmesh {

// log2 of a power of two.
HD uint32_t log2_of(uint32_t power) {
#if defined(__CUDA_ARCH__)
  return 31u - static_cast<uint32_t>(__clz(static_cast<int>(power)));
#else
  return 31u - static_cast<uint32_t>(__builtin_clz(power));
#endif
}

// The number of the block that holds element `at`, where blocks are a power of two long.
HD size_t block_number(const CodecOptions& options, size_t at) { return at >> log2_of(options.block); }
HD size_t block_count(const CodecOptions& options, size_t elements) {
  return block_number(options, elements + options.block - 1);
}

// What problem() of a codec says whose block must be one, or null.
inline const char* block_problem(const CodecOptions& options) {
  return (options.block & (options.block - 1)) == 0
             ? nullptr
             : "option \"block\" is not a power of two; allowed: 64, 128, .. 4096";
}

}  // namespace gradmesh
