// The registry of codecs as data, and the choice of the active backend's loops.
#include <cstddef>

#include "base/assert.h"
#include "codec/bf16.h"
#include "codec/codec.h"
#include "codec/fp32.h"
#include "codec/int8_block.h"
#include "numeric/backend.h"

namespace gradmesh {

namespace scalar {
extern const CodecLoops codec_table[kCodecs];
}
#if GM_X86
namespace avx2 {
extern const CodecLoops codec_table[kCodecs];
}
namespace avx512 {
extern const CodecLoops codec_table[kCodecs];
}
#endif

namespace {

template <class Definition>
size_t bytes(size_t elements) {
  if constexpr (Definition::kElementwise) {
    return elements * sizeof(typename Definition::Wire);
  } else {
    return elements + elements / Definition::kBlock + (elements % Definition::kBlock != 0);
  }
}

constexpr Codec kTable[] = {
#define GM_CODEC(name, id, block, unbiased, contractive, linear, exact_sum, doc) \
  {#name, id, block, unbiased, contractive, linear, exact_sum, bytes<codecs::name>, doc},
#include "codec/codecs.def"
#undef GM_CODEC
};
static_assert(sizeof kTable / sizeof *kTable == kCodecs, "kCodecs counts the rows of codecs.def");

constexpr bool ids_are_indices() {
  for (uint32_t i = 0; i < kCodecs; i++)
    if (kTable[i].id != i) return false;
  return true;
}
static_assert(ids_are_indices(), "codec ids are dense and in the order of codecs.def");

}  // namespace

const Codec* codec_find(uint32_t id) { return id < kCodecs ? &kTable[id] : nullptr; }

const Codec* codec_find(std::string_view name) {
  for (const Codec& codec : kTable)
    if (name == codec.name) return &codec;
  return nullptr;
}

const CodecLoops& codec_loops(const Codec& codec) {
  GM_ASSERT(codec.id < kCodecs);
  switch (backend::active()) {
#if GM_X86
    case backend::Backend::avx512:
      return avx512::codec_table[codec.id];
    case backend::Backend::avx2:
      return avx2::codec_table[codec.id];
#endif
    default:
      return scalar::codec_table[codec.id];
  }
}

}  // namespace gradmesh
