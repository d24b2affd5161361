// The choice of the active backend's steps.
#include "codec/lowrank_steps.h"

#include "numeric/backend.h"

namespace gradmesh {

namespace scalar {
extern const LowrankSteps kLowrankSteps;
}
#if GM_X86
namespace avx2 {
extern const LowrankSteps kLowrankSteps;
}
namespace avx512 {
extern const LowrankSteps kLowrankSteps;
}
#endif

const LowrankSteps& lowrank_steps() {
  switch (backend::active()) {
#if GM_X86
    case backend::Backend::avx512:
      return avx512::kLowrankSteps;
    case backend::Backend::avx2:
      return avx2::kLowrankSteps;
#endif
    default:
      return scalar::kLowrankSteps;
  }
}

}  // namespace gradmesh
