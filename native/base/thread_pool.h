// A fixed team of threads that run one function together, again and again. The caller is its first member, so
// a team of one never leaves the caller's thread.
#pragma once
#include <atomic>
#include <cstdint>
#include <functional>
#include <thread>
#include <vector>

namespace gradmesh {

class ThreadPool {
 public:
  // Starts threads - 1 workers, with the default floating-point modes. threads >= 1.
  explicit ThreadPool(uint32_t threads);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  uint32_t threads() const { return static_cast<uint32_t>(workers_.size()) + 1; }
  // Calls body(0) here and body(1) .. body(threads() - 1) on the workers; returns when all have returned. One
  // caller at a time; the body must not throw.
  void run(const std::function<void(uint32_t)>& body);

 private:
  void work(uint32_t index);
  void stop();

  std::vector<std::thread> workers_;
  const std::function<void(uint32_t)>* body_ = nullptr;  // null: the pool ends
  std::atomic<uint32_t> round_ = 0;                      // raised to start the workers
  std::atomic<uint32_t> running_ = 0;                    // workers that have not finished the round
};

}  // namespace gradmesh
