// Writing past the caches. A large result is not read again before it has left them, and an ordinary store
// would first read the line that it overwrites. Only files of isa/ include this.
#pragma once
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "numeric/exact.h"
#include "numeric/intrinsics.h"

namespace gradmesh::GM_ISA {
namespace {

// Calls that write less stay in the caches: a collective's segments are 256 KiB and are sent at once.
constexpr size_t kStreamBytes = size_t{4} << 20;
// Results are made in tiles of so many elements, which stay in the nearest cache, and leave from there.
constexpr size_t kTile = 4096;

// Copies a tile to where it belongs. Whole cache lines go past the caches, the ends as usual.
HD void stream_out(uint8_t* target, const uint8_t* tile, size_t bytes) {
#if GM_ISA_avx512 || GM_ISA_avx2
  const size_t head = static_cast<size_t>(-reinterpret_cast<uintptr_t>(target)) % 64;
  if (head < bytes) {
    memcpy(target, tile, head);
    target += head, tile += head, bytes -= head;
    for (; bytes >= 64; target += 64, tile += 64, bytes -= 64) {
#if GM_ISA_avx512
      _mm512_stream_si512(reinterpret_cast<__m512i*>(target), _mm512_loadu_si512(tile));
#else
      const __m256i* from = reinterpret_cast<const __m256i*>(tile);
      _mm256_stream_si256(reinterpret_cast<__m256i*>(target), _mm256_loadu_si256(from));
      _mm256_stream_si256(reinterpret_cast<__m256i*>(target) + 1, _mm256_loadu_si256(from + 1));
#endif
    }
  }
#endif
  memcpy(target, tile, bytes);
}

// Before a call returns whose results went by stream_out(): another thread that learns of them must see them.
HD void stream_end() {
#if GM_ISA_avx512 || GM_ISA_avx2
  _mm_sfence();
#endif
}

}  // namespace
}  // namespace gradmesh::GM_ISA
