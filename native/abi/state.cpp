// The C ABI of random numbers and samples, and of state: digests and the finiteness test.
#include <algorithm>
#include <cmath>
#include <mutex>
#include <thread>
#include <vector>

#include "abi/abi.h"
#include "base/crypto.h"
#include "base/prng.h"
#include "base/sample.h"
#include "numeric/backend.h"
#include "state/digest.h"

using namespace gradmesh;

namespace {

// Three blocks an element (normals) stay far below the counter's 2^64.
constexpr uint64_t kRandomElementsMax = uint64_t{1} << 60;

Status check_random(uint64_t first, gm_f32s target) {
  if (first > kRandomElementsMax || target.length > kRandomElementsMax - first)
    return {GM_INVALID_ARGUMENT, "first is " + std::to_string(first) + " and target has " +
                                     std::to_string(target.length) +
                                     " elements; together at most 2^60 are allowed"};
  return backend::check_float_mode();
}

// Beyond this many threads, memory is what a digest waits for. Fewer bytes take a thread two milliseconds,
// less than the wait for another one where every core is at work.
constexpr uint32_t kDigestThreadsMax = 8;
constexpr uint64_t kDigestSharedBytes = uint64_t{16} << 20;

// The digest; a large one on a team of threads that all callers share, but one that finds it taken works
// alone. The team is never freed: a call may outlive what runs at the process's end.
StateDigest shared_digest(std::span<const Bytes> buffers) {
  uint64_t bytes = 0;
  for (const Bytes& buffer : buffers) bytes += buffer.size();
  if (bytes < kDigestSharedBytes) return state_digest(buffers, nullptr);
  static ThreadPool& pool =
      *new ThreadPool(std::clamp(std::thread::hardware_concurrency(), 1u, kDigestThreadsMax));
  static std::mutex taken;
  const std::unique_lock lock(taken, std::try_to_lock);
  return state_digest(buffers, lock.owns_lock() ? &pool : nullptr);
}

}  // namespace

extern "C" {

int32_t gm_random_uniform(uint64_t seed, uint64_t stream, uint64_t first, gm_f32s target) {
  return abi::guard([&]() -> Status {
    GM_TRY(abi::check_given({{"target", target}}));
    GM_TRY(check_random(first, target));
    fill_uniform(seed, stream, first, target.data, target.length);
    return Status::ok();
  });
}

int32_t gm_random_normal(uint64_t seed, uint64_t stream, uint64_t first, double deviation, gm_f32s target) {
  return abi::guard([&]() -> Status {
    GM_TRY(abi::check_given({{"target", target}}));
    GM_TRY(check_random(first, target));
    const auto rounded = static_cast<float>(deviation);
    if (!std::isfinite(rounded) || rounded < 0)
      return {GM_INVALID_ARGUMENT, "deviation is " + std::to_string(deviation) +
                                       "; allowed are 0 and positive numbers that a float32 holds"};
    fill_normal(seed, stream, first, rounded, target.data, target.length);
    return Status::ok();
  });
}

int32_t gm_sample_indices(uint64_t seed, uint64_t stream, uint64_t elements, gm_i32s target) {
  return abi::guard([&]() -> Status {
    GM_TRY(abi::check_given({{"target", target}}));
    if (elements > kSampleElementsMax)
      return {GM_INVALID_ARGUMENT, "elements is " + std::to_string(elements) + "; at most 2^31 are allowed"};
    if (target.length > elements)
      return {GM_INVALID_ARGUMENT, "target has " + std::to_string(target.length) + " elements; at most " +
                                       std::to_string(elements) + " distinct indices exist"};
    sample_indices(seed, stream, elements, target.data, target.length);
    return Status::ok();
  });
}

int32_t gm_digest(gm_buffers buffers, gm_text_out* result) {
  return abi::guard([&]() -> Status {
    GM_TRY(abi::check_given({{"result", result}}));
    GM_TRY(abi::check_buffers("buffers", buffers));
    std::vector<Bytes> views;
    views.reserve(buffers.length);
    for (size_t i = 0; i < buffers.length; i++)
      views.emplace_back(buffers.items[i].data, buffers.items[i].length);
    return abi::copy_text(crypto::hex(shared_digest(views)), result);
  });
}

int32_t gm_all_finite(gm_f32s source, bool* result) {
  return abi::guard([&]() -> Status {
    GM_TRY(abi::check_given({{"source", source}, {"result", result}}));
    *result = all_finite({source.data, source.length});
    return Status::ok();
  });
}

}  // extern "C"
