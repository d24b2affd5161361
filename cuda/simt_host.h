// CUDA's words for a plain C++ compiler: launches on the emulated block of host/block.h, barriers, warp
// functions, atomics. launch.h says what a kernel may use.
#pragma once
#include <cstring>
#include <mutex>
#include <numeric>

#include "host/block.h"
#include "host/integers.h"
#include "host/runtime.h"

namespace simt {

// What every card from sm_80 on has, in bytes a block.
inline constexpr size_t kSharedBytes = 48 << 10, kSharedBytesAllowed = 99 << 10;

// The first seed is GRADMESH_SIMT_SEED; each launch goes on from its last state, so no two have the same
// order.
inline void set_seed(uint64_t seed) {
  machine.seed = seed;
  machine.order = {seed};
}
inline const bool seeded = [] {
  if (const char* text = std::getenv("GRADMESH_SIMT_SEED")) set_seed(std::strtoull(text, nullptr, 10));
  return true;
}();

inline void* dynamic_shared() { return machine.shared.data(); }

struct Allowance {
  const char* kernel;
  size_t bytes;
};
inline std::vector<Allowance> allowances;
inline std::mutex running;

inline cudaError_t allow_shared(const char* kernel, size_t bytes) {
  const std::lock_guard lock(running);
  if (bytes > kSharedBytesAllowed) return cudaErrorInvalidValue;
  allowances.push_back({kernel, bytes});
  return cudaSuccess;
}

inline bool launchable(const char* kernel, const dim3& grid, const dim3& block, size_t shared_bytes) {
  size_t allowed = kSharedBytes;
  for (const Allowance& each : allowances)
    if (std::strcmp(each.kernel, kernel) == 0 && each.bytes > allowed) allowed = each.bytes;
  const uint64_t threads = uint64_t{block.x} * block.y * block.z;
  return grid.x > 0 && grid.y > 0 && grid.z > 0 && grid.x < 1u << 31 && grid.y < 1u << 16 &&
         grid.z < 1u << 16 && threads > 0 && threads <= 1024 && block.z <= 64 && shared_bytes <= allowed;
}

// Runs every block, in an order drawn from the seed.
template <class Body>
cudaError_t launch(const char* kernel, dim3 grid, dim3 block, size_t shared_bytes, cudaStream_t, Body body) {
  const std::lock_guard lock(running);
  if (!launchable(kernel, grid, block, shared_bytes)) return cudaErrorInvalidConfiguration;
  machine.kernel = kernel;
  machine.grid = grid;
  machine.block = block;
  machine.body = [](const void* arguments) { (*static_cast<const Body*>(arguments))(); };
  machine.arguments = &body;
  machine.shared.resize(shared_bytes);
  std::vector<uint64_t> blocks(uint64_t{grid.x} * grid.y * grid.z);
  std::iota(blocks.begin(), blocks.end(), uint64_t{0});
  for (size_t left = blocks.size(); left > 0; left--) {
    std::swap(blocks[machine.order.next() % left], blocks[left - 1]);
    const uint64_t index = blocks[left - 1];
    machine.block_index = {static_cast<unsigned>(index % grid.x),
                           static_cast<unsigned>(index / grid.x % grid.y),
                           static_cast<unsigned>(index / grid.x / grid.y)};
    run_block();
  }
  return cudaSuccess;
}

template <class T>
uint64_t pack(T value) {
  static_assert(sizeof(T) == 4 || sizeof(T) == 8, "warp functions exchange values of 4 or 8 bytes");
  uint64_t bits = 0;
  std::memcpy(&bits, &value, sizeof value);
  return bits;
}

template <class T>
T exchange(unsigned mask, T value, unsigned source, const Site& site) {
  const Brought all = meet_warp(mask, pack(value), site);
  if ((all.mask >> source & 1) == 0)
    fail("thread %u takes the value of lane %u, which takes no part in %s", machine.current, source,
         text(site).c_str());
  T result;
  std::memcpy(&result, &all.values[source], sizeof result);
  return result;
}

inline unsigned ballot(unsigned mask, bool predicate, const Site& site, unsigned* lanes) {
  const Brought all = meet_warp(mask, predicate, site);
  unsigned result = 0;
  for (unsigned lane = 0; lane < 32; lane++)
    if ((all.mask >> lane & 1) != 0 && all.values[lane] != 0) result |= 1u << lane;
  *lanes = all.mask;
  return result;
}

template <class T, class Combine>
T reduce(unsigned mask, T value, const Site& site, Combine combine) {
  static_assert(sizeof(T) == 4, "warp reductions take integers of 32 bits");
  const Brought all = meet_warp(mask, pack(value), site);
  bool first = true;
  T result = value;
  for (unsigned lane = 0; lane < 32; lane++) {
    if ((all.mask >> lane & 1) == 0) continue;
    T other;
    std::memcpy(&other, &all.values[lane], sizeof other);
    result = first ? other : combine(result, other);
    first = false;
  }
  return result;
}

inline unsigned lane() { return machine.current % 32; }

}  // namespace simt

#define threadIdx (::simt::machine.thread_index)
#define blockIdx (::simt::machine.block_index)
#define blockDim (::simt::machine.block)
#define gridDim (::simt::machine.grid)

// Where a call stands in the source, as default arguments of what it calls.
#define SIMT_HERE int line = __builtin_LINE(), const char *file = __builtin_FILE()

inline void __syncthreads(SIMT_HERE) { ::simt::meet_block({"__syncthreads", file, line}); }
inline void __syncwarp(unsigned mask = ~0u, SIMT_HERE) {
  ::simt::meet_warp(mask, 0, {"__syncwarp", file, line});
}
inline void __threadfence() {}
inline void __threadfence_block() {}

// The lane's group of `width` lanes, and its place there, as in the CUDA C++ guide's "Warp Shuffle
// Functions".
template <class T>
T __shfl_sync(unsigned mask, T value, int source, int width = 32, SIMT_HERE) {
  const unsigned group = ::simt::lane() & ~(static_cast<unsigned>(width) - 1);
  const unsigned from = group + (static_cast<unsigned>(source) & (static_cast<unsigned>(width) - 1));
  return ::simt::exchange(mask, value, from, {"__shfl_sync", file, line});
}
template <class T>
T __shfl_up_sync(unsigned mask, T value, unsigned delta, int width = 32, SIMT_HERE) {
  const unsigned lane = ::simt::lane(), place = lane & (static_cast<unsigned>(width) - 1);
  return ::simt::exchange(mask, value, place >= delta ? lane - delta : lane, {"__shfl_up_sync", file, line});
}
template <class T>
T __shfl_down_sync(unsigned mask, T value, unsigned delta, int width = 32, SIMT_HERE) {
  const unsigned lane = ::simt::lane(), place = lane & (static_cast<unsigned>(width) - 1);
  const bool inside = delta < static_cast<unsigned>(width) - place;
  return ::simt::exchange(mask, value, inside ? lane + delta : lane, {"__shfl_down_sync", file, line});
}
template <class T>
T __shfl_xor_sync(unsigned mask, T value, int bits, int width = 32, SIMT_HERE) {
  const unsigned lane = ::simt::lane(), other = lane ^ static_cast<unsigned>(bits);
  // A later group cannot be reached, an earlier one can.
  const bool inside = other / static_cast<unsigned>(width) <= lane / static_cast<unsigned>(width);
  return ::simt::exchange(mask, value, inside ? other : lane, {"__shfl_xor_sync", file, line});
}

inline unsigned __ballot_sync(unsigned mask, int predicate, SIMT_HERE) {
  unsigned lanes;
  return ::simt::ballot(mask, predicate != 0, {"__ballot_sync", file, line}, &lanes);
}
inline int __any_sync(unsigned mask, int predicate, SIMT_HERE) {
  unsigned lanes;
  return ::simt::ballot(mask, predicate != 0, {"__any_sync", file, line}, &lanes) != 0;
}
inline int __all_sync(unsigned mask, int predicate, SIMT_HERE) {
  unsigned lanes;
  const unsigned yes = ::simt::ballot(mask, predicate != 0, {"__all_sync", file, line}, &lanes);
  return yes == lanes;
}
template <class T>
T __reduce_add_sync(unsigned mask, T value, SIMT_HERE) {
  const auto add = [](T a, T b) {
    return static_cast<T>(static_cast<unsigned>(a) + static_cast<unsigned>(b));
  };
  return ::simt::reduce(mask, value, {"__reduce_add_sync", file, line}, add);
}
template <class T>
T __reduce_max_sync(unsigned mask, T value, SIMT_HERE) {
  const auto larger = [](T a, T b) { return a > b ? a : b; };
  return ::simt::reduce(mask, value, {"__reduce_max_sync", file, line}, larger);
}
template <class T>
T __reduce_min_sync(unsigned mask, T value, SIMT_HERE) {
  const auto smaller = [](T a, T b) { return a < b ? a : b; };
  return ::simt::reduce(mask, value, {"__reduce_min_sync", file, line}, smaller);
}
inline unsigned __reduce_or_sync(unsigned mask, unsigned value, SIMT_HERE) {
  const auto either = [](unsigned a, unsigned b) { return a | b; };
  return ::simt::reduce(mask, value, {"__reduce_or_sync", file, line}, either);
}
#undef SIMT_HERE
