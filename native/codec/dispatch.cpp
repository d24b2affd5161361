// The choice of the active backend's loops.
#include "base/assert.h"
#include "codec/codec.h"
#include "numeric/backend.h"

namespace gradmesh {

#define GM_CODEC(name, ...) extern const CodecLoops name##_loops;
namespace scalar {
#include "codec/registry.h"
}
#if GM_X86
#define GM_CODEC(name, ...) extern const CodecLoops name##_loops;
namespace avx2 {
#include "codec/registry.h"
}
#define GM_CODEC(name, ...) extern const CodecLoops name##_loops;
namespace avx512 {
#include "codec/registry.h"
}
#endif

namespace {

constexpr const CodecLoops* kScalar[] = {
#define GM_CODEC(name, ...) &scalar::name##_loops,
#include "codec/registry.h"
};
#if GM_X86
constexpr const CodecLoops* kAvx2[] = {
#define GM_CODEC(name, ...) &avx2::name##_loops,
#include "codec/registry.h"
};
constexpr const CodecLoops* kAvx512[] = {
#define GM_CODEC(name, ...) &avx512::name##_loops,
#include "codec/registry.h"
};
#endif

}  // namespace

const CodecLoops& codec_loops(const Codec& codec) {
  GM_ASSERT(codec.row < sizeof kScalar / sizeof *kScalar);
  switch (backend::active()) {
#if GM_X86
    case backend::Backend::avx512:
      return *kAvx512[codec.row];
    case backend::Backend::avx2:
      return *kAvx2[codec.row];
#endif
    default:
      return *kScalar[codec.row];
  }
}

}  // namespace gradmesh
