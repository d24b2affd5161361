// Ranks in one thread that run their schedules with the real executor and codecs, in an order drawn at
// random: frames of a link stay in order, and everything else may happen at any time.
#pragma once
#include <deque>
#include <map>
#include <memory>
#include <random>

#include "check.h"
#include "collective/executor.h"
#include "collective/schedule.h"

namespace schedule_world {

using namespace gradmesh;
using Random = std::mt19937_64;

inline constexpr uint64_t kSeed = 77, kStep = 3;  // of the codecs' random numbers

uint32_t id_of(const std::string& collective);
std::string describe(const ScheduleRequest& request);

// A tensor's memory, in its dtype.
std::vector<uint8_t> to_memory(Dtype dtype, const std::vector<float>& values);
std::vector<float> from_memory(Dtype dtype, const std::vector<uint8_t>& memory);

bool same_bits(const std::vector<float>& a, const std::vector<float>& b);

class World {
 public:
  // request.rank is ignored. inputs and outputs: by rank, in the dtype; outputs may be empty: junk.
  // states: by rank, float32, of a request that feeds back.
  World(const ScheduleRequest& request, std::vector<std::vector<uint8_t>> inputs,
        std::vector<std::vector<uint8_t>> outputs = {}, std::vector<std::vector<float>> states = {});

  // What is wrong with the schedules by themselves: tags, peers, waits, memory, races (of ranks whose steps
  // are few enough). Empty: nothing.
  std::string problem() const;
  // Runs steps in random order until nothing moves, or until `steps` are done. What went wrong, or empty.
  std::string run(Random& random, uint64_t steps = ~uint64_t{0});

  const Schedule& schedule(uint32_t rank) const { return *ranks_[rank].schedule; }
  const std::vector<bool>& done(uint32_t rank) const { return ranks_[rank].executor->done(); }
  const std::vector<uint8_t>& output(uint32_t rank) const { return ranks_[rank].output; }
  const std::vector<uint8_t>& input(uint32_t rank) const { return ranks_[rank].input; }
  const std::vector<float>& state(uint32_t rank) const { return ranks_[rank].state; }
  // Junk (kJunk) where nothing was written.
  const std::vector<float>& next(uint32_t rank) const { return ranks_[rank].next; }
  static constexpr float kJunk = -99.5f;
  uint64_t sent(uint32_t rank) const { return ranks_[rank].sent; }
  // The most frames, each sent because of the one before, that ended in any step.
  uint32_t latency() const { return latency_; }
  uint64_t steps_done() const { return steps_done_; }

 private:
  struct Frame {
    uint64_t tag;
    std::vector<uint8_t> bytes;
    uint32_t depth;
  };
  struct Rank {
    std::shared_ptr<const Schedule> schedule;
    std::vector<uint8_t> input, output;
    std::vector<float> state, next;
    std::vector<uint64_t> staging;  // aligned as the executor wants it
    std::unique_ptr<Executor> executor;
    std::map<std::pair<uint32_t, uint64_t>, uint32_t> recvs;  // by peer and tag
    std::deque<uint32_t> leaving;
    std::vector<uint32_t> depth;
    uint64_t sent = 0;
  };

  bool act(Random& random, uint32_t rank);
  bool transmit(uint32_t rank);
  bool deliver(uint32_t from, uint32_t to);
  void completed(uint32_t rank, uint32_t step, uint32_t depth);

  ScheduleRequest request_;
  std::vector<Rank> ranks_;
  std::map<std::pair<uint32_t, uint32_t>, std::deque<Frame>> links_;
  std::string fault_;
  uint32_t latency_ = 0;
  uint64_t steps_done_ = 0;
};

// Runs a request whole and checks everything that needs no reference: problem(), no deadlock, intact inputs,
// bytes and latency as the cost says.
std::unique_ptr<World> check_world(const ScheduleRequest& request, std::vector<std::vector<uint8_t>> inputs,
                                   Random& random, std::vector<std::vector<uint8_t>> outputs = {},
                                   std::vector<std::vector<float>> states = {});

}  // namespace schedule_world
