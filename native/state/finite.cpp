// The finiteness test.
#include <algorithm>
#include <cstring>

#include "state/digest.h"

namespace gradmesh {

bool all_finite(std::span<const float> source) {
  constexpr size_t kTile = 4096;  // stops early without a branch per element
  for (size_t at = 0; at < source.size(); at += kTile) {
    const size_t count = std::min(kTile, source.size() - at);
    uint32_t bad = 0;
    for (size_t i = 0; i < count; i++) {
      uint32_t bits;
      std::memcpy(&bits, source.data() + at + i, 4);
      bad |= (bits & 0x7f800000u) == 0x7f800000u;
    }
    if (bad != 0) return false;
  }
  return true;
}

}  // namespace gradmesh
