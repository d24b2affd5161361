// The emulator itself: what is right passes under every seed, and what is wrong (a missing barrier, a
// divergent shuffle, a thread that leaves others waiting) is caught.
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <set>

#include "../../../cuda/launch.h"
#include "check.h"

namespace {

constexpr unsigned kBlock = 256;
constexpr uint64_t kSeeds = 20;

template <bool barriers>
__device__ unsigned block_sum(unsigned value) {
  __shared__ unsigned warp_sums[kBlock / 32];
  for (int d = 16; d > 0; d >>= 1) value += __shfl_xor_sync(~0u, value, d);
  if (threadIdx.x % 32 == 0) warp_sums[threadIdx.x / 32] = value;
  if (barriers) __syncthreads();
  unsigned sum = 0;
  for (unsigned warp = 0; warp < kBlock / 32; warp++) sum += warp_sums[warp];
  return sum;
}

template <bool barriers>
__global__ void sum_kernel(const unsigned* source, unsigned* sums) {
  const size_t i = size_t{blockIdx.x} * kBlock + threadIdx.x;
  const unsigned sum = block_sum<barriers>(source[i]);
  if (threadIdx.x == 0) sums[blockIdx.x] = sum;
}

// The second barrier of a loop over tiles keeps a fast thread from writing over what a slow one still reads.
template <bool barriers>
__global__ void rotate_kernel(const unsigned* source, unsigned* target, unsigned tiles) {
  __shared__ unsigned tile[kBlock];
  for (unsigned t = 0; t < tiles; t++) {
    tile[threadIdx.x] = source[t * kBlock + threadIdx.x];
    __syncthreads();
    target[t * kBlock + threadIdx.x] = tile[(threadIdx.x + 1) % kBlock];
    if (barriers) __syncthreads();
  }
}

template <bool barriers>
__global__ void warp_kernel(unsigned* target) {
  __shared__ unsigned values[32];
  values[threadIdx.x] = threadIdx.x + 1000 * blockIdx.x;
  if (barriers) __syncwarp();
  target[blockIdx.x * 32 + threadIdx.x] = values[31 - threadIdx.x];
}

__global__ void place_kernel(unsigned* visits, unsigned* order, unsigned* counter) {
  const unsigned block = (blockIdx.z * gridDim.y + blockIdx.y) * gridDim.x + blockIdx.x;
  const unsigned thread = (threadIdx.z * blockDim.y + threadIdx.y) * blockDim.x + threadIdx.x;
  const unsigned threads = blockDim.x * blockDim.y * blockDim.z;
  atomicAdd(&visits[block * threads + thread], 1u);
  order[atomicAdd(counter, 1u)] = block * threads + thread;
}

__global__ void shuffle_kernel(int* results, unsigned long long* wide) {
  const int lane = static_cast<int>(threadIdx.x);
  int* mine = results + lane * 8;
  mine[0] = __shfl_sync(~0u, lane, 5);
  mine[1] = __shfl_sync(~0u, lane, 3, 8);
  mine[2] = __shfl_up_sync(~0u, lane, 2);
  mine[3] = __shfl_down_sync(~0u, lane, 2, 16);
  mine[4] = __shfl_xor_sync(~0u, lane, 9);
  mine[5] = static_cast<int>(__ballot_sync(~0u, lane % 3 == 0));
  mine[6] = __any_sync(~0u, lane == 31) * 2 + __all_sync(~0u, lane < 31);
  // Two halves of the warp meet apart, each as often as it likes.
  const bool low = lane < 16;
  int sum = lane;
  if (low)
    for (int d = 8; d > 0; d >>= 1) sum += __shfl_xor_sync(0x0000ffffu, sum, d);
  else
    sum = static_cast<int>(__reduce_max_sync(0xffff0000u, static_cast<unsigned>(lane)));
  mine[7] = sum;
  wide[lane] = __shfl_xor_sync(~0u, 0x100000000ull * static_cast<unsigned>(lane), 1);
}

__global__ void dynamic_kernel(unsigned* target) {
  DYNAMIC_SHARED(unsigned, tile);
  tile[threadIdx.x] = threadIdx.x;
  __syncthreads();
  target[threadIdx.x] = tile[blockDim.x - 1 - threadIdx.x];
}

__global__ void early_return_kernel(unsigned* target) {
  if (threadIdx.x == 7) return;
  __syncthreads();
  target[threadIdx.x] = 1;
}
__global__ void two_barriers_kernel(unsigned* target) {
  if (threadIdx.x % 2 == 0)
    __syncthreads();
  else
    __syncthreads();
  target[threadIdx.x] = 1;
}
__global__ void divergent_kernel(unsigned* target) {
  unsigned value = threadIdx.x;
  if (threadIdx.x < 16) value = __shfl_xor_sync(~0u, value, 1);
  target[threadIdx.x] = __shfl_xor_sync(~0u, value, 2);
}
__global__ void lonely_kernel(unsigned* target) {
  unsigned value = threadIdx.x;
  if (threadIdx.x < 16) value = __shfl_xor_sync(~0u, value, 1);
  target[threadIdx.x] = value;
}
__global__ void foreign_lane_kernel(unsigned* target) {
  if (threadIdx.x < 16) target[threadIdx.x] = __shfl_sync(0xffffu, threadIdx.x, 20);
}
__global__ void foreign_mask_kernel(unsigned* target) {
  target[threadIdx.x] = __shfl_sync(0xffffu, threadIdx.x, 0);
}

// How many of the seeds give another result than the first function computes.
template <class Run>
unsigned wrong_seeds(Run run) {
  unsigned wrong = 0;
  for (uint64_t i = 0; i < kSeeds; i++) {
    simt::set_seed(check::seed() + i);
    wrong += !run();
  }
  return wrong;
}

std::vector<unsigned> numbers(size_t count) {
  std::mt19937 random(static_cast<unsigned>(check::seed()));
  std::vector<unsigned> all(count);
  for (unsigned& each : all) each = static_cast<unsigned>(random());
  return all;
}

template <bool barriers>
bool sums_right() {
  constexpr unsigned kBlocks = 8;
  const std::vector<unsigned> source = numbers(kBlocks * kBlock);
  std::vector<unsigned> sums(kBlocks), expected(kBlocks);
  for (size_t i = 0; i < source.size(); i++) expected[i / kBlock] += source[i];
  if (LAUNCH(sum_kernel<barriers>, kBlocks, kBlock, 0, nullptr, source.data(), sums.data()) != cudaSuccess)
    return false;
  return sums == expected;
}

template <bool barriers>
bool rotates_right() {
  constexpr unsigned kTiles = 4;
  const std::vector<unsigned> source = numbers(kTiles * kBlock);
  std::vector<unsigned> target(source.size());
  if (LAUNCH(rotate_kernel<barriers>, 1, kBlock, 0, nullptr, source.data(), target.data(), kTiles) !=
      cudaSuccess)
    return false;
  for (unsigned i = 0; i < source.size(); i++)
    if (target[i] != source[i / kBlock * kBlock + (i + 1) % kBlock]) return false;
  return true;
}

template <bool barriers>
bool warps_right() {
  std::vector<unsigned> target(4 * 32);
  if (LAUNCH(warp_kernel<barriers>, 4, 32, 0, nullptr, target.data()) != cudaSuccess) return false;
  for (unsigned i = 0; i < target.size(); i++)
    if (target[i] != 31 - i % 32 + 1000 * (i / 32)) return false;
  return true;
}

// What the kernel's process prints before it aborts; empty if it does not abort.
template <class Kernel>
std::string last_words(Kernel run) {
  int pipe_ends[2];
  if (pipe(pipe_ends) != 0) return "";
  const pid_t child = fork();
  if (child == 0) {
    dup2(pipe_ends[1], STDERR_FILENO);
    run();
    _exit(0);
  }
  close(pipe_ends[1]);
  std::string text;
  char buffer[512];
  for (ssize_t got; (got = read(pipe_ends[0], buffer, sizeof buffer)) > 0;)
    text.append(buffer, static_cast<size_t>(got));
  close(pipe_ends[0]);
  int status = 0;
  waitpid(child, &status, 0);
  return WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT ? text : "";
}

#define CHECK_DIES(kernel, threads, ...)                                                             \
  do {                                                                                               \
    std::vector<unsigned> target(threads);                                                           \
    const std::string words =                                                                        \
        last_words([&] { (void)LAUNCH(kernel, 1, threads, 0, nullptr, target.data()); });            \
    for (const char* part : {#kernel, "GRADMESH_SIMT_SEED=", __VA_ARGS__})                           \
      CHECK_THAT(words.find(part) != std::string::npos, std::string(part) + " is not in: " + words); \
  } while (false)

}  // namespace

TEST("a block's sum is right under every seed, and wrong without its barrier") {
  CHECK(wrong_seeds(sums_right<true>) == 0);
  CHECK(wrong_seeds(sums_right<false>) == kSeeds);
}

TEST("a loop over tiles is right under every seed, and wrong without its second barrier") {
  CHECK(wrong_seeds(rotates_right<true>) == 0);
  CHECK(wrong_seeds(rotates_right<false>) == kSeeds);
}

TEST("an exchange through shared memory needs __syncwarp") {
  CHECK(wrong_seeds(warps_right<true>) == 0);
  CHECK(wrong_seeds(warps_right<false>) == kSeeds);
}

TEST("every thread of a grid of three dimensions runs once, in an order of the seed") {
  const dim3 grid(3, 2, 4), block(8, 4, 2);
  const unsigned threads = 24 * 64;
  std::set<std::vector<unsigned>> orders;
  for (const uint64_t seed : {1, 2, 1}) {
    std::vector<unsigned> visits(threads), order(threads);
    unsigned counter = 0;
    simt::set_seed(seed);
    CHECK(LAUNCH(place_kernel, grid, block, 0, nullptr, visits.data(), order.data(), &counter) ==
          cudaSuccess);
    CHECK(std::all_of(visits.begin(), visits.end(), [](unsigned count) { return count == 1; }));
    orders.insert(order);
  }
  CHECK(orders.size() == 2);
}

TEST("warp functions give what the CUDA guide says") {
  for (uint64_t i = 0; i < kSeeds; i++) {
    simt::set_seed(check::seed() + i);
    int results[32][8];
    unsigned long long wide[32];
    CHECK(LAUNCH(shuffle_kernel, 1, 32, 0, nullptr, &results[0][0], wide) == cudaSuccess);
    for (int lane = 0; lane < 32; lane++) {
      const int* mine = results[lane];
      CHECK(mine[0] == 5);
      CHECK(mine[1] == lane / 8 * 8 + 3);
      CHECK(mine[2] == (lane < 2 ? lane : lane - 2));
      CHECK(mine[3] == (lane % 16 < 14 ? lane + 2 : lane));
      CHECK(mine[4] == (lane ^ 9));
      CHECK(static_cast<unsigned>(mine[5]) == 0x49249249u);
      CHECK(mine[6] == 2);
      CHECK(mine[7] == (lane < 16 ? 120 : 31));
      CHECK(wide[lane] == 0x100000000ull * static_cast<unsigned>(lane ^ 1));
    }
  }
}

TEST("dynamic shared memory holds what is asked for, and more only when allowed") {
  std::vector<unsigned> target(64);
  CHECK(LAUNCH(dynamic_kernel, 1, 64, 64 * sizeof(unsigned), nullptr, target.data()) == cudaSuccess);
  for (unsigned i = 0; i < 64; i++) CHECK(target[i] == 63 - i);
  const size_t large = 64 << 10;
  CHECK(LAUNCH(dynamic_kernel, 1, 64, large, nullptr, target.data()) == cudaErrorInvalidConfiguration);
  CHECK(ALLOW_SHARED(dynamic_kernel, 1 << 20) == cudaErrorInvalidValue);
  CHECK(ALLOW_SHARED(dynamic_kernel, large) == cudaSuccess);
  CHECK(LAUNCH(dynamic_kernel, 1, 64, large, nullptr, target.data()) == cudaSuccess);
}

TEST("a launch that a GPU refuses is refused") {
  std::vector<unsigned> target(64);
  CHECK(LAUNCH(dynamic_kernel, 0, 64, 0, nullptr, target.data()) == cudaErrorInvalidConfiguration);
  CHECK(LAUNCH(dynamic_kernel, 1, 1025, 0, nullptr, target.data()) == cudaErrorInvalidConfiguration);
  CHECK(LAUNCH(dynamic_kernel, dim3(1, 1 << 16), 64, 0, nullptr, target.data()) ==
        cudaErrorInvalidConfiguration);
}

TEST("wrong kernels end the process with the kernel's name and the reason") {
  CHECK_DIES(early_return_kernel, 64, "63 threads", "wait at __syncthreads", "simt.cpp",
             "thread 7 never reached", "it returned");
  CHECK_DIES(two_barriers_kernel, 64, "waits at __syncthreads", "while thread");
  CHECK_DIES(divergent_kernel, 32, "divergent warp function", "__shfl_xor_sync");
  CHECK_DIES(lonely_kernel, 32, "16 threads", "wait at __shfl_xor_sync", "it returned");
  CHECK_DIES(foreign_lane_kernel, 32, "takes the value of lane 20", "takes no part");
  CHECK_DIES(foreign_mask_kernel, 32, "is not in the mask 0x0000ffff");
}

TEST("integer functions are CUDA's") {
  CHECK(__clz(0) == 32 && __clz(1) == 31 && __clzll(0) == 64 && __clzll(-1) == 0);
  CHECK(__ffs(0) == 0 && __ffs(8) == 4 && __popc(0xf0u) == 4 && __popcll(~0ull) == 64);
  CHECK(__brev(1u) == 0x80000000u && __brevll(2ull) == 1ull << 62);
  CHECK(__umulhi(0xffffffffu, 0xffffffffu) == 0xfffffffeu);
  CHECK(__byte_perm(0x33221100u, 0x77665544u, 0x7531u) == 0x77553311u);
  CHECK(__funnelshift_l(0x80000000u, 1u, 1) == 3u && __funnelshift_r(2u, 1u, 1) == 0x80000001u);
  unsigned value = 5;
  CHECK(atomicMax(&value, 9u) == 5 && atomicMin(&value, 2u) == 9 && atomicOr(&value, 4u) == 2 && value == 6);
  CHECK(atomicCAS(&value, 6u, 7u) == 6 && atomicExch(&value, 1u) == 7 && atomicAnd(&value, 0u) == 1 &&
        value == 0);
}
