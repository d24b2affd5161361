// The rows of ops.def as data, and the kernels of each backend.
#include <algorithm>
#include <iterator>

#include "numeric/backend.h"
#include "ops/shapes.h"

namespace gradmesh::ops {
namespace {

constexpr OpRow kRows[] = {
#define GM_OP(name, id, inputs, outputs, integers, floats, doc) \
  {#name, id, inputs, outputs, integers, floats, doc},
#include "ops/ops.def"
#undef GM_OP
};
static_assert(std::size(kRows) == kOps);

constexpr bool rows_are_sound() {
  for (uint32_t i = 0; i < kOps; ++i)
    if (kRows[i].id != i || kRows[i].inputs > kInputsMax || kRows[i].outputs > kOutputsMax) return false;
  return true;
}
static_assert(rows_are_sound());

#define GM_OP(name, id, inputs, outputs, integers, floats, doc) &GM_OPS_ISA::name,
constexpr Kernel kScalar[] = {
#define GM_OPS_ISA scalar
#include "ops/ops.def"
#undef GM_OPS_ISA
};
#if defined(GM_X86)
constexpr Kernel kAvx2[] = {
#define GM_OPS_ISA avx2
#include "ops/ops.def"
#undef GM_OPS_ISA
};
constexpr Kernel kAvx512[] = {
#define GM_OPS_ISA avx512
#include "ops/ops.def"
#undef GM_OPS_ISA
};
#endif
#undef GM_OP

}  // namespace

const OpRow* op_find(uint32_t id) { return id < kOps ? &kRows[id] : nullptr; }
const OpRow* op_find(std::string_view name) {
  const auto found =
      std::find_if(std::begin(kRows), std::end(kRows), [&](const OpRow& r) { return r.name == name; });
  return found == std::end(kRows) ? nullptr : found;
}

Kernel op_kernel(Op op) {
  const auto id = static_cast<uint32_t>(op);
#if defined(GM_X86)
  if (backend::active() == backend::Backend::avx512) return kAvx512[id];
  if (backend::active() == backend::Backend::avx2) return kAvx2[id];
#endif
  return kScalar[id];
}

}  // namespace gradmesh::ops
