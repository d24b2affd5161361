// The team of threads: every member runs every round once, and rounds don't mix.
#include "base/thread_pool.h"

#include "check.h"

using gradmesh::ThreadPool;

TEST("thread pool: each member runs each round once, then run returns") {
  for (const uint32_t threads : {1u, 2u, 5u}) {
    ThreadPool pool(threads);
    CHECK(pool.threads() == threads);
    std::vector<uint64_t> sums(threads);
    for (uint64_t round = 1; round <= 2000; round++) {
      pool.run([&](uint32_t member) { sums[member] += round; });
      for (const uint64_t sum : sums) CHECK(sum == round * (round + 1) / 2);
    }
  }
}

TEST("thread pool: a team of one stays on the caller's thread") {
  ThreadPool pool(1);
  const auto caller = std::this_thread::get_id();
  pool.run([&](uint32_t) { CHECK(std::this_thread::get_id() == caller); });
}

TEST("thread pool: it ends without ever having run, and from an idle wait") {
  for (int i = 0; i < 50; i++) {
    ThreadPool idle(3);
    if (i % 2) idle.run([](uint32_t) {});
  }
}
