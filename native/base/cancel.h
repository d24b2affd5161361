// A flag that a caller raises to stop long work; the work looks at it at its own pauses.
#pragma once
#include <atomic>
#include <functional>
#include <mutex>

namespace gradmesh {

class Cancel {
 public:
  bool raised() const { return raised_.load(std::memory_order_acquire); }
  void raise() {
    const std::lock_guard lock(mutex_);
    raised_.store(true, std::memory_order_release);
    if (wake_) wake_();
  }
  // Called once when the flag is raised, from the raising thread; null removes it.
  void on_raise(std::function<void()> wake) {
    const std::lock_guard lock(mutex_);
    wake_ = std::move(wake);
    if (wake_ && raised()) wake_();
  }

 private:
  std::atomic<bool> raised_ = false;
  std::mutex mutex_;
  std::function<void()> wake_;
};

}  // namespace gradmesh
