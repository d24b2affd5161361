// The choice of the active backend's arithmetic.
#include "collective/arithmetic.h"

#include "numeric/backend.h"

namespace gradmesh {

namespace scalar {
extern const Arithmetic arithmetic_loops;
}
#if GM_X86
namespace avx2 {
extern const Arithmetic arithmetic_loops;
}
namespace avx512 {
extern const Arithmetic arithmetic_loops;
}
#endif

const Arithmetic& arithmetic() {
  switch (backend::active()) {
#if GM_X86
    case backend::Backend::avx512:
      return avx512::arithmetic_loops;
    case backend::Backend::avx2:
      return avx2::arithmetic_loops;
#endif
    default:
      return scalar::arithmetic_loops;
  }
}

}  // namespace gradmesh
