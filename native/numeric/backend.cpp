// Chooses the instruction set by CPUID, by what the operating system saves of its registers, and by request.
#include "numeric/backend.h"

#include <atomic>
#include <cstdio>
#include <cstdlib>

#if GM_X86
#include <cpuid.h>
#include <xmmintrin.h>
#endif

namespace gradmesh::backend {
namespace {

constexpr const char* kNames[kBackends] = {"scalar", "avx2", "avx512"};

std::string allowed() {
  std::string names = "auto";
  for (const Backend backend : available()) names += std::string(", ") + name(backend);
  return names;
}

Status parse(const std::string& text, const char* field, Backend* result) {
  const std::vector<Backend> all = available();
  if (text == "auto") {
    *result = all.back();
    return Status::ok();
  }
  for (const Backend backend : all) {
    if (text == name(backend)) {
      *result = backend;
      return Status::ok();
    }
  }
  bool known = false;
  for (const char* each : kNames) known = known || text == each;
  return {GM_INVALID_ARGUMENT, std::string(field) + " is \"" + text + "\", which " +
                                   (known ? "this CPU or operating system lacks" : "is no backend") +
                                   "; allowed here: " + allowed()};
}

struct Choice {
  std::atomic<Backend> backend;
  std::atomic<bool>
      broken;  // the environment asked for what is not there, and nobody has called force() since
  Status environment;
  Choice() {
    Backend chosen = available().back();
    if (const char* text = std::getenv("GRADMESH_FORCE_BACKEND"))
      environment = parse(text, "GRADMESH_FORCE_BACKEND", &chosen);
    backend = chosen;
    broken = !environment;
  }
};
Choice& choice() {
  static Choice once;
  return once;
}

}  // namespace

const char* name(Backend backend) { return kNames[static_cast<int>(backend)]; }

CpuBits cpu_bits() {
  CpuBits bits;
#if GM_X86
  unsigned a, b, c, d;
  if (__get_cpuid(1, &a, &b, &c, &d)) bits.leaf1_ecx = c;
  if (__get_cpuid_count(7, 0, &a, &b, &c, &d)) bits.leaf7_ebx = b;
  if (bits.leaf1_ecx >> 27 & 1) {
    uint32_t low, high;
    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    bits.xcr0 = static_cast<uint64_t>(high) << 32 | low;
  }
#endif
  return bits;
}

std::vector<Backend> supported(const CpuBits& bits) {
  std::vector<Backend> result = {Backend::scalar};
  const auto all = [](uint64_t value, uint64_t mask) { return (value & mask) == mask; };
  constexpr uint32_t kLeaf1 = 1u << 12 | 1u << 27 | 1u << 28 | 1u << 29;
  constexpr uint32_t kAvx2 = 1u << 5, kAvx512 = 1u << 16 | 1u << 17 | 1u << 30 | 1u << 31;
  constexpr uint64_t kYmmState = 0x6, kZmmState = 0xe6;
  if (!all(bits.leaf1_ecx, kLeaf1) || !all(bits.leaf7_ebx, kAvx2) || !all(bits.xcr0, kYmmState))
    return result;
  result.push_back(Backend::avx2);
  if (all(bits.leaf7_ebx, kAvx512) && all(bits.xcr0, kZmmState)) result.push_back(Backend::avx512);
  return result;
}

std::vector<Backend> available() { return supported(cpu_bits()); }

Backend active() { return choice().backend.load(std::memory_order_relaxed); }

Status force(const std::string& name) {
  Backend chosen = Backend::scalar;
  GM_TRY(parse(name, "backend", &chosen));
  choice().backend = chosen;
  choice().broken = false;
  return Status::ok();
}

Status check_float_mode() {
  if (choice().broken) return choice().environment;
#if GM_X86
  // The default: round to nearest, all exceptions masked, denormals neither flushed nor read as zero. The low
  // six bits are sticky flags, which change no result.
  constexpr unsigned kDefault = 0x1f80, kFlags = 0x3f;
  if (const unsigned mode = _mm_getcsr() & ~kFlags; mode != kDefault) {
    char text[16];
    std::snprintf(text, sizeof text, "0x%04x", mode);
    return {GM_INVALID_ARGUMENT, std::string("this thread's floating-point mode (MXCSR) is ") + text +
                                     "; only the default 0x1f80 gives reproducible bits: some library has "
                                     "changed rounding or flushes denormals"};
  }
#endif
  return Status::ok();
}

}  // namespace gradmesh::backend
