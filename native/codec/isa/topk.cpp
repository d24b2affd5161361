// The loops of topk; isa/select.h chooses the elements.
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "codec/isa/blocks.h"
#include "codec/isa/select.h"

namespace gradmesh::GM_ISA {
namespace {

static_assert(kMost == kBlockElementsMost, "a block is what select() takes");

struct TopkBlock {
  static size_t block(const CodecOptions& options) { return options.block; }

  static void encode(const CodecOptions& options, const CodecKey&, const float* source, size_t at,
                     size_t count, uint8_t* wire, size_t elements) {
    alignas(64) uint32_t index[kMost + kSpare];
    alignas(64) float values[kMost];
    const size_t kept = topk::kept_of(options, count);
    const topk::Places places = topk::places(options, at, elements);
    select(source, count, kept, index);
    for (size_t j = 0; j < kept; j++) memcpy(values + j, source + index[j], 4);
    kept::encode(options.values, values, kept, wire + places.values, wire + places.scale);
    pack(index, kept, topk::width(options), wire + places.indices);
  }

  static void decode(const CodecOptions& options, const CodecKey&, const uint8_t* wire, size_t at,
                     size_t count, size_t elements, float* target) {
    alignas(64) uint32_t index[kMost], bits[kMost];
    const size_t kept = topk::kept_of(options, count);
    const topk::Places places = topk::places(options, at, elements);
    unpack(wire + places.indices, topk::index_bytes(options, kept), kept, topk::width(options), index);
    kept::decode_all(options.values, wire + places.values, kept, wire + places.scale, bits);
    memset(target, 0, count * sizeof *target);
    for (size_t j = 0; j < kept; j++)
      if (index[j] < count) memcpy(target + index[j], bits + j, 4);
  }
};

}  // namespace

extern const CodecLoops topk_loops;
const CodecLoops topk_loops = block_loops<TopkBlock>();

}  // namespace gradmesh::GM_ISA
