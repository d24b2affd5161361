// Choosing a backend: by CPU bits, by name, by the environment; and the float mode that kernels insist on.
#include "numeric/backend.h"

#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>

#include "check.h"

#if GM_X86
#include <xmmintrin.h>
#endif

using namespace gradmesh;
using backend::Backend;

namespace {

constexpr uint32_t kLeaf1 = 1u << 12 | 1u << 27 | 1u << 28 | 1u << 29;
constexpr uint32_t kAvx2 = 1u << 5, kAvx512 = 1u << 16 | 1u << 17 | 1u << 30 | 1u << 31;

// What a child process with this GRADMESH_FORCE_BACKEND finds: the test runs itself, since the choice is made
// once.
int in_child(const char* value) {
  const pid_t child = fork();
  if (child == 0) {
    setenv("GRADMESH_FORCE_BACKEND", value, 1);
    setenv("GRADMESH_TEST_CHILD", "1", 1);
    execl("/proc/self/exe", "test_numeric", "reports its environment to its parent", nullptr);
    _exit(100);
  }
  int status = 0;
  waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

}  // namespace

TEST("a CPU is given what it and its operating system can run") {
  using Backends = std::vector<Backend>;
  CHECK((backend::supported({}) == Backends{Backend::scalar}));
  CHECK((backend::supported({kLeaf1, kAvx2, 0x7}) == Backends{Backend::scalar, Backend::avx2}));
  CHECK((backend::supported({kLeaf1, kAvx2 | kAvx512, 0xe7}) ==
         Backends{Backend::scalar, Backend::avx2, Backend::avx512}));
  // AVX-512 in the CPU, but the system does not save ZMM registers; then nor YMM; then a CPU without FMA or
  // BW.
  CHECK(backend::supported({kLeaf1, kAvx2 | kAvx512, 0x7}).back() == Backend::avx2);
  CHECK(backend::supported({kLeaf1, kAvx2 | kAvx512, 0x3}).back() == Backend::scalar);
  CHECK(backend::supported({kLeaf1 & ~(1u << 12), kAvx2 | kAvx512, 0xe7}).back() == Backend::scalar);
  CHECK(backend::supported({kLeaf1, kAvx2 | (kAvx512 & ~(1u << 30)), 0xe7}).back() == Backend::avx2);
}

TEST("force chooses by name and refuses others by name") {
  for (const Backend each : backend::available()) {
    CHECK(static_cast<bool>(backend::force(backend::name(each))));
    CHECK(backend::active() == each);
  }
  const Backend before = backend::active();
  for (const char* bad : {"", "sse9", "AVX2", "avx512 "}) {
    const Status status = backend::force(bad);
    CHECK(status.code() == GM_INVALID_ARGUMENT && backend::active() == before);
    CHECK_THAT(status.message().find("auto, scalar") != std::string::npos, status.message());
  }
  CHECK(static_cast<bool>(backend::force("auto")) && backend::active() == backend::available().back());
}

TEST("reports its environment to its parent") {
  if (std::getenv("GRADMESH_TEST_CHILD") == nullptr) return;
  const Status status = backend::check_float_mode();
  if (!status) {
    const bool names = status.message().find("GRADMESH_FORCE_BACKEND is \"sse9\"") != std::string::npos;
    _exit(names && static_cast<bool>(backend::force("auto")) && static_cast<bool>(backend::check_float_mode())
              ? 50
              : 51);
  }
  _exit(10 + static_cast<int>(backend::active()));
}

TEST("GRADMESH_FORCE_BACKEND is obeyed; one that names no backend stops kernels until force() is called") {
  for (const Backend each : backend::available())
    CHECK(in_child(backend::name(each)) == 10 + static_cast<int>(each));
  CHECK(in_child("auto") == 10 + static_cast<int>(backend::available().back()));
  CHECK(in_child("sse9") == 50);
}

#if GM_X86
TEST("a thread that flushes denormals or rounds another way is refused") {
  const unsigned before = _mm_getcsr();
  CHECK(static_cast<bool>(backend::check_float_mode()));
  for (const unsigned bit :
       {0x8000u, 0x0040u, 0x2000u, 0x4000u}) {  // flush to zero, denormals are zero, rounding
    _mm_setcsr(before ^ bit);
    const Status status = backend::check_float_mode();
    _mm_setcsr(before);
    CHECK(status.code() == GM_INVALID_ARGUMENT && status.message().find("MXCSR") != std::string::npos);
  }
  _mm_setcsr(before | 0x3f);  // the sticky flags of earlier work change nothing
  CHECK(static_cast<bool>(backend::check_float_mode()));
  _mm_setcsr(before);
}
#endif
