// Runs the threads of one emulated block: each until it must wait, then another, in an order drawn from a
// seed.
#pragma once
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "fiber.h"
#include "types.h"

namespace simt {

// Where in a kernel's source a thread waits.
struct Site {
  const char* function;
  const char* file;
  int line;
  bool operator==(const Site& other) const { return line == other.line && function == other.function; }
};

inline std::string text(const Site& site) {
  return std::string(site.function) + " (" + site.file + ":" + std::to_string(site.line) + ")";
}

// SplitMix64 (Steele et al. 2014): small, and any seed will do.
struct Order {
  uint64_t state;
  uint64_t next() {
    uint64_t z = state += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
  }
  unsigned below(unsigned bound) { return static_cast<unsigned>((next() >> 32) * bound >> 32); }
};

// What the lanes of a warp's meeting brought.
struct Brought {
  unsigned mask = 0;
  uint64_t values[32] = {};
};

// Threads that meet: a block at a barrier, or the lanes of a mask at a warp function.
struct Meeting {
  Site site = {};
  unsigned expected = 0;          // 0: nobody waits
  unsigned unread = 0;            // lanes that have not yet taken what was brought
  std::vector<unsigned> waiting;  // the threads that have arrived
  Brought brought;
};

struct Thread {
  Fiber* fiber = nullptr;
  bool done = false;
  Site site = {};  // where it waits
};

// One block at a time, behind the lock of launch(): a GPU of one multiprocessor.
struct Machine {
  const char* kernel = "";
  uint64_t seed = 1;
  Order order = {1};
  dim3 grid, block;
  uint3 block_index = {0, 0, 0}, thread_index = {0, 0, 0};
  void (*body)(const void*) = nullptr;
  const void* arguments = nullptr;

  unsigned current = 0;
  Place scheduler;
  std::vector<Thread> threads;
  std::vector<unsigned> ready;
  std::vector<Fiber*> idle;
  std::vector<std::unique_ptr<Fiber>> fibers;
  Meeting barrier;
  std::vector<Meeting> warps;  // up to 32 open meetings a warp: disjoint masks
  std::vector<unsigned char> shared;
};
inline Machine machine;

inline uint3 index_of(unsigned thread) {
  const dim3& block = machine.block;
  return {thread % block.x, thread / block.x % block.y, thread / block.x / block.y};
}

// Ends the process with one sentence about the kernel.
template <class... Values>
[[noreturn]] void fail(const char* format, Values... values) {
  const uint3 b = machine.block_index;
  std::fprintf(stderr, "simt: kernel %s, block (%u, %u, %u): ", machine.kernel, b.x, b.y, b.z);
  std::fprintf(stderr, format, values...);
  std::fprintf(stderr, " (GRADMESH_SIMT_SEED=%llu)\n", static_cast<unsigned long long>(machine.seed));
  std::abort();
}

inline void wait(const Site& site) {
  Thread& thread = machine.threads[machine.current];
  thread.site = site;
  go(thread.fiber->place, machine.scheduler);
}

// Everybody has arrived: all may go on, in whatever order.
inline void release(Meeting& meeting) {
  machine.ready.insert(machine.ready.end(), meeting.waiting.begin(), meeting.waiting.end());
  meeting.waiting.clear();
  meeting.expected = 0;
}

inline void meet_block(const Site& site) {
  Meeting& barrier = machine.barrier;
  const unsigned count = static_cast<unsigned>(machine.threads.size());
  if (barrier.expected != 0 && !(barrier.site == site))
    fail("thread %u waits at %s, while thread %u waits at %s", machine.current, text(site).c_str(),
         barrier.waiting[0], text(barrier.site).c_str());
  barrier.site = site;
  barrier.expected = count;
  barrier.waiting.push_back(machine.current);
  if (barrier.waiting.size() == count) release(barrier);
  wait(site);
}

// The warp's open meeting of the mask, or one that is free. There are 32, and the other 31 lanes each hold at
// most one. Masks that share a lane may both be open: a lane of the one may still be on its way to the other.
inline Meeting& meeting_of(unsigned warp, unsigned mask) {
  Meeting* free = nullptr;
  for (unsigned i = 0; i < 32; i++) {
    Meeting& each = machine.warps[warp * 32 + i];
    if (each.expected != 0 && each.brought.mask == mask) return each;
    if (each.expected == 0 && each.unread == 0 && free == nullptr) free = &each;
  }
  return *free;
}

inline void check_meeting(const Meeting& meeting, unsigned mask, const Site& site) {
  if ((mask >> machine.current % 32 & 1) == 0)
    fail("thread %u is not in the mask 0x%08x of its own %s", machine.current, mask, text(site).c_str());
  if (meeting.expected == 0 || meeting.site == site) return;
  fail("divergent warp function: thread %u is at %s, while thread %u of its warp is at %s", machine.current,
       text(site).c_str(), meeting.waiting[0], text(meeting.site).c_str());
}

// Brings a value to the lanes of the mask, waits until all have come, and returns what they brought.
inline Brought meet_warp(unsigned mask, uint64_t value, const Site& site) {
  const unsigned warp = machine.current / 32;
  const unsigned lanes = static_cast<unsigned>(machine.threads.size()) - warp * 32;
  if (lanes < 32) mask &= (1u << lanes) - 1;  // the last warp of a block may be a part of one
  Meeting& meeting = meeting_of(warp, mask);
  check_meeting(meeting, mask, site);
  meeting.site = site;
  meeting.brought.mask = mask;
  meeting.brought.values[machine.current % 32] = value;
  meeting.expected = static_cast<unsigned>(__builtin_popcount(mask));
  meeting.waiting.push_back(machine.current);
  if (meeting.waiting.size() == meeting.expected) {
    meeting.unread = meeting.expected;
    release(meeting);
  }
  wait(site);
  meeting.unread--;
  return meeting.brought;
}

// A fiber runs one thread to its end, then waits to be given another.
inline void fiber_body() {
  for (;;) {
    machine.body(machine.arguments);
    Thread& thread = machine.threads[machine.current];
    thread.done = true;
    machine.idle.push_back(thread.fiber);
    go(thread.fiber->place, machine.scheduler);
  }
}

// Nobody can go on: says who waits where, and who is missing.
[[noreturn]] inline void report_deadlock() {
  const Thread* waiting = nullptr;
  unsigned waiting_index = 0, count = 0;
  for (unsigned i = 0; i < machine.threads.size(); i++)
    if (!machine.threads[i].done) {
      if (waiting == nullptr) waiting = &machine.threads[waiting_index = i];
      count += waiting->site == machine.threads[i].site;
    }
  const Site& site = waiting->site;
  for (unsigned i = 0; i < machine.threads.size(); i++) {
    const Thread& thread = machine.threads[i];
    if (!thread.done && thread.site == site) continue;
    const std::string where = thread.done ? "returned" : "waits at " + text(thread.site);
    fail("%u threads, the first of them %u, wait at %s, which thread %u never reached: it %s", count,
         waiting_index, text(site).c_str(), i, where.c_str());
  }
  fail("%u threads wait at %s for lanes that never come", count, text(site).c_str());
}

inline Fiber* take_fiber() {
  if (machine.idle.empty()) {
    machine.fibers.push_back(std::make_unique<Fiber>(fiber_body));
    machine.idle.push_back(machine.fibers.back().get());
  }
  Fiber* fiber = machine.idle.back();
  machine.idle.pop_back();
  return fiber;
}

inline void run_block() {
  const unsigned count = machine.block.x * machine.block.y * machine.block.z;
  machine.threads.assign(count, Thread());
  machine.barrier.expected = 0;
  machine.warps.resize((count + 31) / 32 * 32);
  for (unsigned i = 0; i < count; i++) machine.ready.push_back(i);
  for (unsigned char& byte : machine.shared) byte = static_cast<unsigned char>(machine.order.next());
  while (!machine.ready.empty()) {
    std::swap(machine.ready[machine.order.below(static_cast<unsigned>(machine.ready.size()))],
              machine.ready.back());
    const unsigned next = machine.ready.back();
    machine.ready.pop_back();
    Thread& thread = machine.threads[next];
    if (thread.fiber == nullptr) thread.fiber = take_fiber();
    machine.current = next;
    machine.thread_index = index_of(next);
    go(machine.scheduler, thread.fiber->place);
  }
  for (const Thread& thread : machine.threads)
    if (!thread.done) report_deadlock();
}

}  // namespace simt
