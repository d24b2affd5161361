// How long each operator has taken, counted while a graph runs and read from any thread.
#pragma once
#include <array>
#include <atomic>
#include <string>

#include "ops/shapes.h"

namespace gradmesh::ops {

class Profile {
 public:
  void count(Op op, uint64_t nanoseconds) {
    Counter& counter = counters_[static_cast<size_t>(op)];
    counter.runs += 1;
    counter.nanoseconds += nanoseconds;
  }
  // {"matmul": {"runs": 3, "nanoseconds": 1000}, ...}: the operators that have run.
  std::string json() const {
    std::string json = "{";
    for (uint32_t id = 0; id < kOps; ++id) {
      const uint64_t runs = counters_[id].runs, nanoseconds = counters_[id].nanoseconds;
      if (runs == 0) continue;
      json += std::string(json.size() > 1 ? ", " : "") + "\"" + op_find(id)->name +
              "\": {\"runs\": " + std::to_string(runs) + ", \"nanoseconds\": " + std::to_string(nanoseconds) +
              "}";
    }
    return json + "}";
  }

 private:
  struct Counter {
    std::atomic<uint64_t> runs = 0, nanoseconds = 0;
  };
  std::array<Counter, kOps> counters_;
};

}  // namespace gradmesh::ops
