// Scratch memory of an endpoint, kept between operations and grown when one needs more. Its content means
// nothing between operations.
#pragma once
#include <sys/mman.h>

#include <cstdint>
#include <cstdlib>
#include <memory>

#include "base/status.h"

namespace gradmesh {

class Arena {
 public:
  // 64-byte aligned memory of at least so many bytes; what hold() gave before is gone.
  Status hold(uint64_t bytes, uint8_t** memory) {
    if (bytes > capacity_) {
      memory_.reset();
      capacity_ = 0;
      const uint64_t size = (bytes + kPageBytes - 1) / kPageBytes * kPageBytes;
      memory_.reset(static_cast<uint8_t*>(std::aligned_alloc(kPageBytes, size)));
      if (!memory_) return {GM_OUT_OF_MEMORY, std::to_string(bytes) + " bytes of scratch memory"};
      madvise(memory_.get(), size, MADV_HUGEPAGE);
      capacity_ = size;
    }
    *memory = memory_.get();
    return Status::ok();
  }

 private:
  static constexpr uint64_t kPageBytes = 2 << 20;  // a huge page: the copies of the kernel cost less
  struct Free {
    void operator()(uint8_t* memory) const { std::free(memory); }
  };
  std::unique_ptr<uint8_t[], Free> memory_;
  uint64_t capacity_ = 0;
};

}  // namespace gradmesh
