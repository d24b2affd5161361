// Which instruction set the kernels run on. The best one the CPU has, unless GRADMESH_FORCE_BACKEND or force() says
// otherwise. Every backend gives the same bytes; only the speed differs.
#pragma once
#include <string>
#include <vector>

#include "base/status.h"

namespace gradmesh::backend {

enum class Backend : uint8_t { scalar = 0, avx2 = 1, avx512 = 2 };
inline constexpr int kBackends = 3;

const char* name(Backend backend);
// What this CPU can run, slowest first; scalar is always there.
std::vector<Backend> available();
// The backend that dispatch uses now.
Backend active();
// Chooses by name ("scalar", "avx2", "avx512"; "auto" for the best). An unknown name, or one this CPU lacks, is
// GM_INVALID_ARGUMENT with the allowed names.
Status force(const std::string& name);
// GM_INVALID_ARGUMENT where this thread's MXCSR (x86 rounding and denormal modes) is not the default.
Status check_float_mode();

}  // namespace gradmesh::backend
