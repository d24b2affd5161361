// How fast an endpoint may send: a bucket of tokens, one for a byte. Everything that leaves is counted; only
// data waits for tokens.
//
// Two buckets, so that the rate is exact and the bursts are small: the shallow one lets kBurstMs go at once
// and fills at kPeak times the rate, the deep one fills at the rate and remembers kCatchUpMs of it, so that
// what a late wake-up missed is made good.
#pragma once
#include <atomic>
#include <cstddef>
#include <cstdint>

namespace gradmesh {

class Pace {
 public:
  static constexpr int64_t kBurstMs = 4, kCatchUpMs = 12;
  static constexpr int64_t kLateMs = 3;  // a wake-up may be so late, and the rate is still exact
  static constexpr double kPeak = 1.25;
  static constexpr double kPacketBytes = 1448;  // payload of a full one: less is not worth a call

  // Bytes per second; 0: no limit. From any thread; counts from the next byte on.
  void set_rate(uint64_t bytes_per_second) { rate_ = bytes_per_second; }
  uint64_t rate() const { return rate_; }

  // Bytes of data that may leave at this time; less than a packet's worth is 0.
  size_t allowance(int64_t now_ns);
  // Counts bytes that left; control frames may overdraw.
  void spend(size_t bytes);
  // Nanoseconds until allowance() is not 0; 0: now.
  int64_t wait_ns(int64_t now_ns);

 private:
  void refill(int64_t now_ns);

  std::atomic<uint64_t> rate_ = 0;
  double applied_ = 0;                           // the rate that the buckets are for
  double shallow_ = 0, deep_ = 0, quantum_ = 0;  // quantum: what is waited for, a millisecond's worth
  int64_t filled_ns_ = 0;
};

}  // namespace gradmesh
