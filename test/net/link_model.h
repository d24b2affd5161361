// What a link does to packets, as arithmetic alone: chances per segment, and a line of a given rate with a
// bounded queue.
#pragma once
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <random>

namespace gradmesh::net {

constexpr int64_t kNanosecondsPerSecond = 1'000'000'000;

// Independent trials of one probability. It draws how many trials pass until the next hit (a geometric
// number), so that a packet of many segments costs one subtraction.
class Chance {
 public:
  // `probability` in [0, 1].
  void set(double probability, std::mt19937_64& random) {
    probability_ = probability;
    draw(random);
  }
  double probability() const { return probability_; }

  // Index of the first hit among the next `trials`, or `trials` when none hits; trials after the hit are not
  // used up.
  int64_t first_hit(int64_t trials, std::mt19937_64& random) {
    if (probability_ <= 0) return trials;
    if (misses_ >= trials) {
      misses_ -= trials;
      return trials;
    }
    const int64_t hit = misses_;
    draw(random);
    return hit;
  }

 private:
  void draw(std::mt19937_64& random) {
    misses_ = 0;
    if (probability_ <= 0 || probability_ >= 1) return;
    const double uniform = 1 - std::generate_canonical<double, 53>(random);  // in (0, 1]
    const double misses = std::floor(std::log(uniform) / std::log1p(-probability_));
    misses_ = static_cast<int64_t>(std::min(misses, 1e18));
  }

  double probability_ = 0;
  int64_t misses_ = 0;
};

// A line that sends bytes one after another at a rate, behind a queue that holds so many bytes and drops what
// comes when it is full. Times in nanoseconds of any one clock; rate in bits of IP packets per second.
class Line {
 public:
  Line() = default;
  Line(double bits_per_second, int64_t queue_bytes)
      : nanoseconds_per_byte_(8e9 / bits_per_second), queue_bytes_(queue_bytes) {}

  // Divides the rate the line was made with.
  void slow_down(double factor) { factor_ = factor; }

  // How many more bytes the queue takes at `now`.
  int64_t room(int64_t now) const {
    const double waiting = static_cast<double>(std::max<int64_t>(free_ - now, 0)) / per_byte();
    return queue_bytes_ - static_cast<int64_t>(waiting);
  }

  // Puts a packet on the line; returns when its last byte has left it.
  int64_t send(int64_t bytes, int64_t now) {
    const double exact = static_cast<double>(bytes) * per_byte() + fraction_;
    const auto whole = static_cast<int64_t>(exact);
    fraction_ = exact - static_cast<double>(whole);
    free_ = std::max(free_, now) + whole;
    return free_;
  }

 private:
  double per_byte() const { return nanoseconds_per_byte_ * factor_; }

  double nanoseconds_per_byte_ = 0;
  double factor_ = 1;
  int64_t queue_bytes_ = 0;
  int64_t free_ = 0;
  double fraction_ = 0;  // of a nanosecond, carried over, so that small packets do not run fast
};

}  // namespace gradmesh::net
