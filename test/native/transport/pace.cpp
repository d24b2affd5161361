// The buckets, in simulated time.
#include "transport/pace.h"

#include <algorithm>

#include "check.h"

using namespace gradmesh;

namespace {

constexpr int64_t kSecond = 1'000'000'000;

struct Sent {
  int64_t at;
  size_t bytes;
};

// Sends as much as is allowed, in pieces of at most `piece`, for a second; wakes up to `late_ns` late.
std::vector<Sent> send_for_a_second(Pace& pace, int64_t start, size_t piece, int64_t late_ns,
                                    std::mt19937_64& random) {
  std::vector<Sent> log;
  for (int64_t now = start; now < start + kSecond;) {
    if (const size_t allowed = std::min(pace.allowance(now), piece); allowed > 0) {
      pace.spend(allowed);
      log.push_back({now, allowed});
      continue;
    }
    const int64_t wait = pace.wait_ns(now);
    CHECK(wait > 0);
    now += wait + (late_ns > 0 ? static_cast<int64_t>(random() % static_cast<uint64_t>(late_ns)) : 0);
  }
  return log;
}

double total(const std::vector<Sent>& log) {
  double bytes = 0;
  for (const Sent& sent : log) bytes += static_cast<double>(sent.bytes);
  return bytes;
}

}  // namespace

TEST(
    "a second's bytes are within 2 % of the rate from 1 Mbit/s to 5 Gbit/s, also where every wake-up is "
    "late") {
  std::mt19937_64 random(check::seed());
  for (const double bits : {1e6, 1e7, 1e8, 1e9, 5e9})
    for (const int64_t late_ns : {int64_t{0}, int64_t{100'000}, int64_t{3'000'000}}) {
      Pace pace;
      pace.set_rate(static_cast<uint64_t>(bits / 8));
      const int64_t start = static_cast<int64_t>(random() >> 8);
      const double ratio = total(send_for_a_second(pace, start, 128 << 10, late_ns, random)) / (bits / 8);
      CHECK_THAT(ratio > 0.98 && ratio < 1.02, std::to_string(bits) + " bit/s: " + std::to_string(ratio));
    }
}

TEST("bursts are small: no 5 ms hold more than kPeak times their share and one burst") {
  std::mt19937_64 random(check::seed());
  for (const double bits : {1e6, 1e8, 5e9}) {
    Pace pace;
    pace.set_rate(static_cast<uint64_t>(bits / 8));
    const auto log = send_for_a_second(pace, 0, 128 << 10, 2'000'000, random);
    const double burst =
        std::max(bits / 8 * 1e-3 * Pace::kBurstMs, Pace::kPacketBytes + bits / 8 * 1e-3 * Pace::kLateMs);
    const double most = bits / 8 * 5e-3 * Pace::kPeak + burst;
    double window = 0;
    for (size_t first = 0, last = 0; last < log.size(); ++last) {
      window += static_cast<double>(log[last].bytes);
      for (; log[last].at - log[first].at >= 5'000'000; ++first)
        window -= static_cast<double>(log[first].bytes);
      CHECK_THAT(window <= most + 1, std::to_string(window) + " bytes, at most " + std::to_string(most));
    }
  }
}

TEST("control may overdraw, and is paid back; the rate may change, and 0 is none") {
  Pace pace;
  CHECK(pace.allowance(0) > 1u << 30 && pace.wait_ns(0) == 0);
  pace.set_rate(1'000'000);
  CHECK(pace.allowance(kSecond) > 0);
  pace.spend(500'000);
  const int64_t wait = pace.wait_ns(kSecond);
  CHECK(wait > kSecond * 49 / 100 && wait < kSecond * 51 / 100);
  CHECK(pace.allowance(kSecond + wait - 1000) == 0 && pace.allowance(kSecond + wait) > 0);
  pace.set_rate(0);
  CHECK(pace.wait_ns(kSecond) == 0);
}
