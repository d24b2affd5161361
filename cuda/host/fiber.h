// A fiber: a function with a stack of its own that can stop in its middle and go on later. The emulator runs
// a GPU thread on each.
#pragma once
#include <sys/mman.h>
#include <ucontext.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>

// swapcontext makes a system call a switch, which is most of an emulated kernel's time. The compiler's own
// jumps make none; AddressSanitizer understands only swapcontext, and other processors have only that tried.
#if defined(__x86_64__) && !defined(__SANITIZE_ADDRESS__)
#define SIMT_JUMPS 1
#endif

namespace simt {

// A place to go on from: a stack and where on it.
struct Place {
  ucontext_t context;
#if defined(SIMT_JUMPS)
  void* point[5];  // what __builtin_setjmp keeps
  bool saved = false;
#endif
};

#if defined(SIMT_JUMPS)
[[noreturn]] __attribute__((noinline)) inline void jump(Place& target) { __builtin_longjmp(target.point, 1); }
#endif

// Keeps where the caller stands in `source`, and goes on at `target`.
__attribute__((noinline)) inline void go(Place& source, Place& target) {
#if defined(SIMT_JUMPS)
  if (__builtin_setjmp(source.point) != 0) return;
  source.saved = true;
  if (target.saved) jump(target);
  setcontext(&target.context);  // the first time: the stack is empty
#else
  swapcontext(&source.context, &target.context);
#endif
}

class Fiber {
 public:
  static constexpr size_t kStackBytes = 256 << 10;

  // `body` never returns; it leaves by go().
  explicit Fiber(void (*body)()) {
    const size_t page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
    bytes_ = kStackBytes + page;
    stack_ =
        mmap(nullptr, bytes_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    // The lowest page stays closed: a kernel whose local arrays overflow the stack faults at once.
    if (stack_ == MAP_FAILED || mprotect(stack_, page, PROT_NONE) != 0) {
      std::fprintf(stderr, "simt: no memory for the stack of an emulated thread\n");
      std::abort();
    }
    getcontext(&place.context);
    place.context.uc_stack.ss_sp = static_cast<char*>(stack_) + page;
    place.context.uc_stack.ss_size = kStackBytes;
    place.context.uc_link = nullptr;
    makecontext(&place.context, body, 0);
  }
  ~Fiber() { munmap(stack_, bytes_); }
  Fiber(const Fiber&) = delete;
  Fiber& operator=(const Fiber&) = delete;

  Place place;

 private:
  size_t bytes_;
  void* stack_;
};

}  // namespace simt
