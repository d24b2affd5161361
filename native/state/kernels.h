// What the digest calls: chaining values of many chunks or parents at once, for each instruction set.
#pragma once
#include <cstddef>
#include <cstdint>

namespace gradmesh::blake3 {

// Chunks that are hashed at a time, of the widest instruction set: callers that have the
// choice hand over this many or more.
inline constexpr size_t kLanesMax = 32;

struct Kernels {
  // bytes[count][1024], the chunks first, first + 1, ... -> values[count][8]. None of them is the tree's
  // root.
  void (*chunks)(const uint8_t* bytes, size_t count, uint64_t first, uint32_t* values);
  // children[2 count][8] -> values[count][8]. values may be children. None of them is the root.
  void (*parents)(const uint32_t* children, size_t count, uint32_t* values);
};

namespace scalar {
extern const Kernels kernels;
}
#if defined(GM_X86)
namespace avx2 {
extern const Kernels kernels;
}
namespace avx512 {
extern const Kernels kernels;
}
#endif

}  // namespace gradmesh::blake3
