// Which instruction set the kernels run on. The best one the CPU has, unless GRADMESH_FORCE_BACKEND or
// force() says otherwise. Every backend gives the same bytes; only the speed differs.
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
// Chooses by name ("scalar", "avx2", "avx512"; "auto" for the best). An unknown name, or one this CPU lacks,
// is GM_INVALID_ARGUMENT with the allowed names. Do it before work starts: a kernel looks once, when it
// begins.
Status force(const std::string& name);
// GM_INVALID_ARGUMENT where this thread's MXCSR (x86 rounding and denormal modes) is not the default, and
// where GRADMESH_FORCE_BACKEND names no backend of this machine. Every entry point that runs kernels calls
// it.
Status check_float_mode();

// What CPUID and XGETBV say, as numbers, so that choosing is a function a test can give any CPU to.
struct CpuBits {
  uint32_t leaf1_ecx = 0;  // FMA 12, OSXSAVE 27, AVX 28, F16C 29
  uint32_t leaf7_ebx = 0;  // AVX2 5, AVX512F 16, DQ 17, BW 30, VL 31
  uint64_t xcr0 = 0;       // register state that the operating system saves: XMM 1, YMM 2, ZMM 5-7
};
CpuBits cpu_bits();
std::vector<Backend> supported(const CpuBits& bits);

}  // namespace gradmesh::backend
