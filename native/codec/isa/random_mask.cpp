// The loops of random_mask.
#include "codec/random_mask.h"

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "codec/isa/blocks.h"

namespace gradmesh::GM_ISA {
namespace {

using codecs::random_mask;

struct RandomMaskBlock {
  static size_t block(const CodecOptions& options) { return options.block; }

  // The kept places of a block of `count` elements. In a whole block none is passed over, so that the loop
  // vectorizes.
  HD void places_of(const random_mask::Order& order, size_t count, size_t kept, uint32_t* place) {
    if (count == order.mask + size_t{1}) {
      for (size_t j = 0; j < kept; j++) place[j] = random_mask::place(order, static_cast<uint32_t>(j));
      return;
    }
    size_t found = 0;
    for (uint32_t j = 0; found < kept; j++) {
      place[found] = random_mask::place(order, j);
      found += place[found] < count;
    }
  }

  static void encode(const CodecOptions& options, const CodecKey& key, const float* source, size_t at,
                     size_t count, uint8_t* wire, size_t elements) {
    alignas(64) uint32_t place[kBlockElementsMost];
    alignas(64) float values[kBlockElementsMost];
    const size_t kept = random_mask::kept_of(options, count);
    const random_mask::Places places = random_mask::places(options, at, elements);
    places_of(random_mask::order(options, key, at, count), count, kept, place);
    for (size_t j = 0; j < kept; j++) memcpy(values + j, source + place[j], 4);
    kept::encode(options.values, values, kept, wire + places.values, wire + places.scale);
  }

  static void decode(const CodecOptions& options, const CodecKey& key, const uint8_t* wire, size_t at,
                     size_t count, size_t elements, float* target) {
    alignas(64) uint32_t place[kBlockElementsMost], bits[kBlockElementsMost];
    const size_t kept = random_mask::kept_of(options, count);
    const random_mask::Places places = random_mask::places(options, at, elements);
    places_of(random_mask::order(options, key, at, count), count, kept, place);
    kept::decode_all(options.values, wire + places.values, kept, wire + places.scale, bits);
    memset(target, 0, count * sizeof *target);
    for (size_t j = 0; j < kept; j++) memcpy(target + place[j], bits + j, 4);
  }
};

}  // namespace

extern const CodecLoops random_mask_loops;
const CodecLoops random_mask_loops = block_loops<RandomMaskBlock>();

}  // namespace gradmesh::GM_ISA
