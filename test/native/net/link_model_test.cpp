// A line's rate and queue, and the chances of segments, as arithmetic.
#include "link_model.h"

#include <cmath>

#include "check.h"

namespace {

using namespace gradmesh::net;

TEST("a line sends at its rate, one packet after another") {
  Line line(1e9, 1 << 20);  // 8 ns a byte
  CHECK(line.send(1500, 1000) == 1000 + 12000);
  CHECK(line.send(1500, 1000) == 1000 + 24000);
  CHECK(line.send(1000, 100000) == 108000);  // it was idle
  line.slow_down(10);
  CHECK(line.send(1000, 200000) == 280000);
}

TEST("parts of nanoseconds add up") {
  Line line(3e9, 1 << 20);  // 8/3 ns a byte
  int64_t end = 0;
  for (int packet = 0; packet < 300000; packet++) end = line.send(1, 0);
  CHECK_THAT(std::abs(end - 800000) <= 1, std::to_string(end));
}

TEST("a queue has room for what has not left it") {
  Line line(1e9, 10000);
  CHECK(line.room(0) == 10000);
  line.send(6000, 0);
  CHECK(line.room(0) == 4000);
  CHECK(line.room(8 * 2000) == 6000);
  CHECK(line.room(8 * 6000) == 10000);
  CHECK(line.room(8 * 60000) == 10000);
}

TEST("a chance hits as often as its probability says, wherever the trials are cut") {
  for (const double probability : {0.001, 0.1, 0.5, 0.99}) {
    std::mt19937_64 random(check::seed());
    Chance chance;
    chance.set(probability, random);
    int64_t trials = 0, hits = 0;
    const int64_t trials_least = static_cast<int64_t>(2000 / std::min(probability, 1 - probability));
    while (trials < trials_least) {
      const int64_t count = 1 + static_cast<int64_t>(random() % 44);
      const int64_t hit = chance.first_hit(count, random);
      hits += hit < count;
      trials += std::min(hit + 1, count);
    }
    const double n = static_cast<double>(trials);
    const double deviation =
        (static_cast<double>(hits) - n * probability) / std::sqrt(n * probability * (1 - probability));
    CHECK_THAT(std::abs(deviation) < 6,
               std::to_string(probability) + ": " + std::to_string(deviation) + " sigma");
  }
}

TEST("never and always") {
  std::mt19937_64 random(1);
  Chance chance;
  chance.set(0, random);
  CHECK(chance.first_hit(1 << 30, random) == 1 << 30);
  chance.set(1, random);
  CHECK(chance.first_hit(5, random) == 0 && chance.first_hit(5, random) == 0);
}

}  // namespace
