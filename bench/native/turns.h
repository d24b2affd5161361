// Timing in turns: what is measured and its yardstick run one after the other, again and again, so that
// whatever else the machine does meets both alike.
#pragma once
#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

namespace turns {

// Memory that the process owns at once: every page is touched before the clock counts.
class Memory {
 public:
  explicit Memory(size_t bytes) : bytes_(static_cast<uint8_t*>(std::aligned_alloc(64, rounded(bytes)))) {
    if (bytes_ == nullptr) std::abort();
    std::memset(bytes_, 0, rounded(bytes));
  }
  Memory(const Memory&) = delete;
  Memory& operator=(const Memory&) = delete;
  ~Memory() { std::free(bytes_); }
  uint8_t* bytes() const { return bytes_; }
  float* floats() const { return reinterpret_cast<float*>(bytes_); }

 private:
  static size_t rounded(size_t bytes) { return (bytes + 64) / 64 * 64; }
  uint8_t* bytes_;
};

inline double seconds_now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

inline double median(std::vector<double> values) {
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

// How many turns a run gets.
struct Plan {
  int most = 9;
  double least_s = 2e-3;  // a turn repeats what is faster
  int repeats(double once) const {
    return once >= least_s ? 1 : static_cast<int>(least_s / std::max(once, 1e-8)) + 1;
  }
  // What takes long has few: its time varies less, and there is much to measure.
  int turns(double once) const { return std::min(most, once > 1 ? 1 : once > 0.3 ? 3 : most); }
};

struct Result {
  size_t moved;           // bytes that a run reads and writes
  double seconds;         // of one run, the median
  double memcpy_seconds;  // of the yardstick: memcpy of half of the bytes that a run reads and writes
  double ratio;           // yardstick / run, the median over turns: 1 is as fast as memory
  int count;
};

// Seconds of one of `repeats` runs.
template <class Body>
double timed(int repeats, Body body) {
  const double start = seconds_now();
  for (int i = 0; i < repeats; i++) {
    body();
    __asm__ volatile("" ::: "memory");  // so that no repeat is left out
  }
  return (seconds_now() - start) / repeats;
}

// Times body(), of which a run has just taken `once`, beside memcpy(to, from) of moved / 2 bytes, which reads
// and writes `moved` bytes too.
template <class Body>
Result beside_memcpy(const Plan& plan, double once, size_t moved, const Memory& from, const Memory& to,
                     Body body) {
  const int repeats = plan.repeats(once), count = plan.turns(once);
  const auto copy = [&] { std::memcpy(to.bytes(), from.bytes(), moved / 2); };
  std::vector<double> runs, copies, ratios;
  for (int turn = 0; turn < count; turn++) {
    runs.push_back(timed(repeats, body));
    copies.push_back(timed(repeats, copy));
    ratios.push_back(copies.back() / runs.back());
  }
  return {moved, median(runs), median(copies), median(ratios), count};
}

// A line of JSON: `head` is its first members. `size` was asked for; `bytes` of float32 elements were coded.
inline void print_json(const std::string& head, const char* operation, size_t size, size_t bytes,
                       const Result& result) {
  std::printf(R"({%s,"operation":"%s","size":%zu,"bytes":%zu,"moved":%zu,)", head.c_str(), operation, size,
              bytes, result.moved);
  std::printf(R"("seconds":%.9g,"memcpySeconds":%.9g,"ratio":%.6g,"turns":%d})", result.seconds,
              result.memcpy_seconds, result.ratio, result.count);
  std::puts("");
  std::fflush(stdout);
}

}  // namespace turns
