// Filling and emptying the buckets.
#include "transport/pace.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace gradmesh {

namespace {

// What a bucket of so many milliseconds holds; enough for a packet and a late wake-up in any case.
double depth(double rate, int64_t milliseconds) {
  const auto share = [rate](int64_t ms) { return rate * static_cast<double>(ms) * 1e-3; };
  return std::max(share(milliseconds), Pace::kPacketBytes + share(Pace::kLateMs));
}

}  // namespace

void Pace::refill(int64_t now_ns) {
  const double rate = static_cast<double>(rate_.load(std::memory_order_relaxed));
  if (rate != applied_) {
    applied_ = rate;
    shallow_ = deep_ = kPacketBytes;
    quantum_ = std::max(kPacketBytes, rate * 1e-3);
    filled_ns_ = now_ns;
  }
  const double earned = rate * static_cast<double>(now_ns - filled_ns_) * 1e-9;
  filled_ns_ = now_ns;
  shallow_ = std::min(shallow_ + kPeak * earned, depth(rate, kBurstMs));
  deep_ = std::min(deep_ + earned, depth(rate, kCatchUpMs));
}

size_t Pace::allowance(int64_t now_ns) {
  if (rate() == 0) return std::numeric_limits<size_t>::max();
  refill(now_ns);
  const double tokens = std::min(shallow_, deep_);
  return tokens < quantum_ ? 0 : static_cast<size_t>(tokens);
}

void Pace::spend(size_t bytes) {
  if (rate() == 0) applied_ = 0;  // what leaves without a limit is owed to none: refill() starts anew
  shallow_ -= static_cast<double>(bytes);
  deep_ -= static_cast<double>(bytes);
}

int64_t Pace::wait_ns(int64_t now_ns) {
  if (allowance(now_ns) > 0) return 0;
  const double rate = applied_;
  const double seconds = std::max((quantum_ - shallow_) / (kPeak * rate), (quantum_ - deep_) / rate);
  return std::max<int64_t>(1, static_cast<int64_t>(std::ceil(seconds * 1e9)));
}

}  // namespace gradmesh
