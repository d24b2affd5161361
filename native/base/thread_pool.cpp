// Workers wait on the round counter: a short spin, since operators follow each other within microseconds,
// then a futex, so that an idle team costs nothing.
#include "base/thread_pool.h"

#include <cfenv>

#include "base/assert.h"

namespace gradmesh {
namespace {

constexpr int kSpins = 2000;  // a few microseconds

void wait_while(const std::atomic<uint32_t>& value, uint32_t old) {
  for (int i = 0; i < kSpins; ++i)
    if (value.load(std::memory_order_acquire) != old) return;
  while (value.load(std::memory_order_acquire) == old) value.wait(old, std::memory_order_acquire);
}

}  // namespace

ThreadPool::ThreadPool(uint32_t threads) {
  GM_ASSERT(threads >= 1);
  workers_.reserve(threads - 1);
  try {
    for (uint32_t i = 1; i < threads; ++i) workers_.emplace_back([this, i] { work(i); });
  } catch (...) {
    stop();
    throw;
  }
}

ThreadPool::~ThreadPool() { stop(); }

void ThreadPool::stop() {
  body_ = nullptr;
  round_.fetch_add(1, std::memory_order_release);
  round_.notify_all();
  for (std::thread& worker : workers_) worker.join();
}

void ThreadPool::run(const std::function<void(uint32_t)>& body) {
  const uint32_t workers = static_cast<uint32_t>(workers_.size());
  if (workers > 0) {
    body_ = &body;
    running_.store(workers, std::memory_order_relaxed);
    round_.fetch_add(1, std::memory_order_release);
    round_.notify_all();
  }
  body(0);
  for (uint32_t left = running_.load(std::memory_order_acquire); left > 0;
       left = running_.load(std::memory_order_acquire))
    wait_while(running_, left);
}

void ThreadPool::work(uint32_t index) {
  std::fesetenv(FE_DFL_ENV);
  for (uint32_t seen = 0;;) {
    wait_while(round_, seen);
    seen = round_.load(std::memory_order_acquire);
    if (body_ == nullptr) return;
    (*body_)(index);
    if (running_.fetch_sub(1, std::memory_order_release) == 1) running_.notify_all();
  }
}

}  // namespace gradmesh
